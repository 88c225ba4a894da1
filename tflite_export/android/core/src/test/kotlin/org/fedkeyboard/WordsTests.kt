package org.fedkeyboard

import kotlin.test.assertEquals

val WORDS_TESTS = mapOf(
    "golden texts are split into their words and ids" to {
        val examples = GOLDEN.objects("examples")
        for (example in examples) {
            assertEquals(example.list("words"), words(example.string("text")))
            assertEquals(example.list("ids"), VOCABULARY.encode(example.string("text")).map(Int::toDouble))
        }
        assertEquals(true, examples.size > 20)
    },
    "the device's language does not matter" to {
        val before = java.util.Locale.getDefault()
        java.util.Locale.setDefault(java.util.Locale.forLanguageTag("tr"))
        try {
            assertEquals(listOf("i", "i\u0307"), words("I \u0130"))
        } finally {
            java.util.Locale.setDefault(before)
        }
    },
    "letters beyond 16 bits are letters" to {
        assertEquals(listOf("\ud801\udc28", "b"), words("\ud801\udc00 \ud83d\ude02b"))
    },
    "a row is cut after T + 1 ids, and a sentence without words has none" to {
        val rows = VOCABULARY.rows(listOf("i am", "?!", "i i i i i"), 4)
        val (i, am) = VOCABULARY.encode("i am")
        assertEquals(listOf(listOf(1, i, am, 2, 0), listOf(1, i, i, i, i)), rows.map { it.toList() })
    },
)

internal fun JsonObject.objects(name: String): List<JsonObject> =
    list(name).map { JsonObject(it as Map<*, *>) }
