package org.fedkeyboard

import java.io.File

/**
 * The entries of `vocabulary.txt`; an entry's place is its id.
 *
 * @property rules how text becomes words.
 * @param spellings how entries are shown, of those that are not shown as they are.
 */
class Vocabulary(val entries: List<String>, val rules: Words, spellings: Map<String, String> = emptyMap()) {
    /** How each entry is shown. */
    val shown: List<String> = entries.map { spellings[it] ?: it }
    private val ids = entries.withIndex().associate { (id, entry) -> entry to id }

    init {
        if (entries.take(SPECIAL.size) != SPECIAL) {
            throw FedKeyboardException("not a vocabulary: its first lines are not $SPECIAL")
        }
    }

    /** Returns the ids of the words of [text], [UNKNOWN] for words that are not here. */
    fun encode(text: String): List<Int> = ids(rules.of(text))

    /**
     * Returns a row of [length] + 1 ids for each text that has a word: begin, its words, end, cut and
     * filled up with padding. The model reads all but the last and predicts all but the first.
     *
     * A text of more words is several rows: each takes as many of its sentences as fit, and a sentence
     * that fits in none is cut where the row is full.
     */
    fun rows(texts: List<String>, length: Int): List<IntArray> =
        texts.flatMap { packed(rules.bySentence(it), length) }.map { words ->
            (listOf(BEGIN) + ids(words) + END).take(length + 1).toIntArray().copyOf(length + 1)
        }

    private fun ids(words: List<String>): List<Int> = words.map { ids[it] ?: UNKNOWN }

    private fun packed(sentences: List<List<String>>, length: Int): List<List<String>> {
        val rows = mutableListOf<List<String>>()
        for (piece in sentences.flatMap { it.chunked(length) }) {
            val last = rows.lastOrNull()
            if (last != null && last.size + piece.size <= length) rows[rows.lastIndex] = last + piece else rows += piece
        }
        return rows
    }

    companion object {
        const val PAD = 0
        const val BEGIN = 1
        const val END = 2
        const val UNKNOWN = 3
        internal val SPECIAL = listOf("<pad>", "<s>", "</s>", "<unk>")

        /** Reads `vocabulary.txt`, `spellings.json` and `characters.json`. */
        fun read(vocabulary: File, spellings: File, characters: File): Vocabulary = Vocabulary(
            vocabulary.readText().removeSuffix("\n").split("\n"),
            Words(JsonObject.read(characters.readText())),
            JsonObject.read(spellings.readText()).strings(),
        )
    }
}
