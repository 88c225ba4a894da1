package org.fedkeyboard

import java.io.File

/** The entries of `vocabulary.txt`; an entry's place is its id. */
class Vocabulary(val entries: List<String>) {
    private val ids = entries.withIndex().associate { (id, entry) -> entry to id }

    init {
        if (entries.take(SPECIAL.size) != SPECIAL) {
            throw FedKeyboardException("not a vocabulary: its first lines are not $SPECIAL")
        }
    }

    /** Returns the ids of the words of [text], [UNKNOWN] for words that are not here. */
    fun encode(text: String): List<Int> = words(text).map { ids[it] ?: UNKNOWN }

    /**
     * Returns a row of [length] + 1 ids for each sentence that has a word: begin, its words, end, cut
     * and filled up with padding. The model reads all but the last and predicts all but the first.
     */
    fun rows(sentences: List<String>, length: Int): List<IntArray> =
        sentences.map(::encode).filter { it.isNotEmpty() }.map { ids ->
            (listOf(BEGIN) + ids.take(length) + END).take(length + 1).toIntArray().copyOf(length + 1)
        }

    companion object {
        const val PAD = 0
        const val BEGIN = 1
        const val END = 2
        const val UNKNOWN = 3
        private val SPECIAL = listOf("<pad>", "<s>", "</s>", "<unk>")

        /** Reads `vocabulary.txt`. */
        fun read(file: File): Vocabulary = Vocabulary(file.readText().removeSuffix("\n").split("\n"))
    }
}
