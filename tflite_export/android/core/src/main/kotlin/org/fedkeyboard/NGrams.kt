package org.fedkeyboard

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Arrays
import kotlin.math.exp

/**
 * What was written after one word or several, beside the model: `ngrams.bin` (docs/package.md).
 *
 * A sequence has a number among those of its length, that of a single word is its id; below it are the
 * words that were written after it.
 *
 * @param content the file's, checked here: [FedKeyboardException] if it is none, or a damaged one.
 * @param vocabulary how many entries the model has.
 */
class NGrams(content: ByteArray, private val vocabulary: Int) {
    private val width = if (vocabulary > 1 shl 16) 4 else 2

    /** What is below the sequences of one word, of two, and so on. */
    private val levels: List<Level>

    init {
        val head = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
        if (content.size < HEAD || !content.copyOf(MAGIC.size).contentEquals(MAGIC)) fail("not n-grams")
        if (head.getInt(4) != vocabulary) fail("of another vocabulary")
        val longest = head.getInt(8)
        if (longest !in 1..LONGEST) fail("n-grams of $longest words")
        var at = HEAD + 4 * (longest - 1)
        if (content.size < at) fail("shorter than it says")
        val sizes = List(longest - 1) { head.getInt(HEAD + 4 * it).toUInt().toLong() }
        val shorter = listOf(vocabulary.toLong()) + sizes
        // Before there is an array of any of these sizes.
        val whole = at + shorter.zip(sizes) { before, size -> width * (before + size) + size }.sum()
        if (content.size.toLong() != whole) fail("not as long as it says")
        var codes = content.size - sizes.sum().toInt()
        levels = shorter.zip(sizes) { before, size ->
            val words = at + width * before.toInt()
            Level(
                begins(numbers(content, at, before.toInt()), size.toInt()),
                numbers(content, words, size.toInt()),
                content.copyOfRange(codes, codes + size.toInt()),
            ).also {
                at = words + width * size.toInt()
                codes += size.toInt()
            }
        }
    }

    /**
     * Mixes what was written after [words] with what the model says.
     *
     * @param probabilities the model's, of each entry, and afterwards those of both.
     * @param words ids of the sentence so far, [Vocabulary.BEGIN] first.
     */
    fun mix(probabilities: DoubleArray, words: List<Int>) {
        for (count in 1..minOf(levels.size, words.size)) {
            val sequence = find(words.takeLast(count)) ?: continue
            levels[count - 1].mix(probabilities, sequence)
        }
    }

    /** Returns a sequence's number, null if it is not there. */
    private fun find(words: List<Int>): Int? {
        var found = words.first()
        for (i in 1 until words.size) found = levels[i - 1].find(found, words[i]) ?: return null
        return found
    }

    private fun numbers(content: ByteArray, at: Int, count: Int): IntArray {
        val bytes = ByteBuffer.wrap(content, at, width * count).order(ByteOrder.LITTLE_ENDIAN)
        if (width == 4) return IntArray(count).also(bytes.asIntBuffer()::get)
        val numbers = CharArray(count).also(bytes.asCharBuffer()::get)
        return IntArray(count) { numbers[it].code }
    }

    /** Sums [counts] up, from 0 to [size]. */
    private fun begins(counts: IntArray, size: Int): IntArray {
        val begins = IntArray(counts.size + 1)
        for (i in counts.indices) {
            begins[i + 1] = begins[i] + counts[i]
            // A sum too large for an Int is below the one before.
            if (begins[i + 1] < begins[i] || begins[i + 1] > size) fail(DAMAGED)
        }
        if (begins.last() != size) fail(DAMAGED)
        return begins
    }

    private fun fail(what: String): Nothing = throw FedKeyboardException("${PhonePackage.NGRAMS}: $what")

    /**
     * The sequences of one length.
     *
     * @param begins of each sequence that is a word shorter, where those with it begin; then the end.
     * @param words their last words, ascending among those that begin alike.
     * @param codes their probabilities, as places in [Q].
     */
    private inner class Level(
        private val begins: IntArray,
        private val words: IntArray,
        private val codes: ByteArray,
    ) {
        init {
            for (sequence in 0 until begins.size - 1) {
                var before = -1
                for (place in begins[sequence] until begins[sequence + 1]) {
                    if (words[place] <= before || words[place] >= vocabulary) fail(DAMAGED)
                    before = words[place]
                }
                // Below 0 is wrong, rounding apart.
                if (left(sequence) < -1e-9) fail(DAMAGED)
            }
        }

        fun mix(probabilities: DoubleArray, sequence: Int) {
            val left = left(sequence)
            for (id in probabilities.indices) probabilities[id] *= left
            for (place in begins[sequence] until begins[sequence + 1]) probabilities[words[place]] += q(place)
        }

        /** Returns the place of [word] below a sequence, null if it is not there. */
        fun find(sequence: Int, word: Int): Int? =
            Arrays.binarySearch(words, begins[sequence], begins[sequence + 1], word).takeIf { it >= 0 }

        /** Returns what the words below a sequence leave the model. */
        private fun left(sequence: Int): Double {
            var left = 1.0
            for (place in begins[sequence] until begins[sequence + 1]) left -= q(place)
            return left
        }

        private fun q(place: Int): Double = Q[codes[place].toInt() and 0xff]
    }

    private companion object {
        val MAGIC = "FKNG".toByteArray()

        /** The magic, V and N. */
        const val HEAD = 12
        const val LONGEST = 8
        const val DAMAGED = "damaged"
        val Q = DoubleArray(256) { exp(-it / 16.0) }
    }
}
