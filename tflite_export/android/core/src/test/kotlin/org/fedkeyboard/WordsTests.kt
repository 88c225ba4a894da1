package org.fedkeyboard

import kotlin.test.assertEquals

val WORDS_TESTS = mapOf(
    "golden texts are split into their words and ids" to {
        val examples = GOLDEN.objects("examples")
        for (example in examples + GOLDEN.objects("texts")) {
            assertEquals(example.list("words"), VOCABULARY.rules.of(example.string("text")))
        }
        for (example in examples) {
            assertEquals(example.list("ids"), VOCABULARY.encode(example.string("text")).map(Int::toDouble))
        }
        assertEquals(true, examples.size > 20)
    },
    "golden texts are split into sentences" to {
        for (example in GOLDEN.objects("sentences")) {
            assertEquals(example.list("sentences"), VOCABULARY.rules.bySentence(example.string("text")))
        }
    },
    "random text of every script is split as in Python" to {
        val python = ProcessBuilder(PYTHON, "tests/fuzzed_words.py", "10000", "0")
            .redirectError(ProcessBuilder.Redirect.INHERIT).start()
        val cases = Json.read(python.inputStream.bufferedReader().readText()) as List<*>
        assertEquals(10000, cases.size)
        for (case in cases.map { JsonObject(it as Map<*, *>) }) {
            assertEquals(case.list("words"), VOCABULARY.rules.of(case.string("text")))
            assertEquals(case.list("sentences"), VOCABULARY.rules.bySentence(case.string("text")))
        }
    },
    "the device's language does not matter" to {
        val before = java.util.Locale.getDefault()
        java.util.Locale.setDefault(java.util.Locale.forLanguageTag("tr"))
        try {
            assertEquals(listOf("i", "i"), VOCABULARY.rules.of("I \u0130"))
        } finally {
            java.util.Locale.setDefault(before)
        }
    },
    "letters beyond 16 bits are letters" to {
        assertEquals(listOf("\ud801\udc28", "b"), VOCABULARY.rules.of("\ud801\udc00 \ud83d\ude02b"))
    },
    "a text of more than T words is cut where its sentences end, one without words has no row" to {
        val (i, am) = VOCABULARY.encode("i am")
        val rows = VOCABULARY.rows(listOf("i am", "?!", "am. i. i i i i i am! i"), 4).map { it.toList() }
        val cut = listOf(listOf(1, am, i, 2, 0), listOf(1, i, i, i, i), listOf(1, i, am, i, 2))
        assertEquals(listOf(listOf(1, i, am, 2, 0)) + cut, rows)
    },
    "words are shown as they are spelled" to {
        val entries = listOf("<pad>", "<s>", "</s>", "<unk>", "strasse", "rot")
        val german = Vocabulary(entries, VOCABULARY.rules, mapOf("strasse" to "stra\u00dfe"))
        assertEquals(listOf(4, 4, 4, 3), german.encode("Stra\u00dfe STRASSE STRA\u1e9eE stra\u017de"))
        assertEquals(listOf("stra\u00dfe", "rot"), german.shown.drop(4))
    },
)

internal fun JsonObject.objects(name: String): List<JsonObject> =
    list(name).map { JsonObject(it as Map<*, *>) }
