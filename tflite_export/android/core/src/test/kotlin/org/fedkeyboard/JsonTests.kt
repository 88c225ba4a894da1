package org.fedkeyboard

import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

val JSON_TESTS = mapOf(
    "JSON is read" to {
        val text = """ {"a": [1, -2.5e-3, true, false, null], "b\n\u00e9\\": {"c": ""}, "d": [], "e": {}} """
        val said = mapOf(
            "a" to listOf(1.0, -0.0025, true, false, null),
            "b\n\u00e9\\" to mapOf("c" to ""),
            "d" to emptyList<Any>(),
            "e" to emptyMap<String, Any>(),
        )
        assertEquals(said, Json.read(text))
        assertEquals(said, Json.read(Json.write(said)))
    },
    "what is not JSON is refused, and part of it" to {
        val whole = """{"a": [1, "b\u00e9"]}"""
        for (end in whole.indices) assertFailsWith<FedKeyboardException> { Json.read(whole.take(end)) }
        for (text in listOf("$whole,", "[1 2]", "{1: 2}", "nul", "[1,]", "\"\\x\"")) {
            assertFailsWith<FedKeyboardException>(text) { Json.read(text) }
        }
    },
)
