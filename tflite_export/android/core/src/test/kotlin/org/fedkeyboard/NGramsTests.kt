package org.fedkeyboard

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.exp
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

val NGRAMS_TESTS = mapOf(
    "golden n-grams" to {
        val ngrams = PACKAGE.ngrams()
        val tolerance = GOLDEN.number("ngram_tolerance")
        for (example in GOLDEN.objects("examples")) {
            val text = example.string("text")
            val words = listOf(Vocabulary.BEGIN) + VOCABULARY.encode(text)
            val added = DoubleArray(PACKAGE.sizes.vocabulary).also { ngrams.mix(it, words) }
            val mixed = DoubleArray(added.size) { 1.0 }.also { ngrams.mix(it, words) }
            val said = example.objectOf("ngrams")
            for (id in added.indices) assertEquals(said.number("kept"), mixed[id] - added[id], tolerance, text)
            val most = added.sortedDescending()
            val pairs = said.list("added").map { pair -> (pair as List<*>).map { it as Double } }
            pairs.forEachIndexed { i, (id, amount) ->
                assertEquals(amount, added[id.toInt()], tolerance, text)
                assertEquals(amount, most[i], tolerance, text)
            }
            if (pairs.size < 5) assertEquals(0.0, most[pairs.size], text)
        }
    },
    "each length in turn takes its share" to {
        for (vocabulary in listOf(6, 70_000)) {
            val ngrams = NGrams(ngramsFile(vocabulary, PAIRS, TRIPLES), vocabulary)
            fun assertMixed(said: List<Double>, vararg words: Int) {
                val mixed = DoubleArray(vocabulary) { 0.1 }.also { ngrams.mix(it, words.toList()) }
                for (id in said.indices) assertEquals(said[id], mixed[id], 1e-12, "$id after ${words.toList()}")
            }
            val (one, two, three) = listOf(16, 32, 48).map { exp(-it / 16.0) }
            val begun = 0.1 * (1 - one - two)
            assertMixed(listOf(begun, begun, begun, begun, begun + one, begun + two), 1)
            val both = 0.1 * (1 - two) * (1 - three)
            val five = 0.1 * (1 - two) + two
            assertMixed(listOf(both, both, both, both, both, five * (1 - three) + three), 1, 4)
            val alone = 0.1 * (1 - two)
            // 5, 4 is no pair; nothing is below 5, nor below 4, 5.
            assertMixed(listOf(alone, alone, alone, alone, alone, five), 1, 5, 4)
            assertMixed(List(6) { 0.1 }, 1, 4, 5)
        }
    },
    "a file with N = 1 mixes nothing" to {
        val ngrams = NGrams(ngramsFile(6), 6)
        val probabilities = DoubleArray(6) { 0.1 * it }
        ngrams.mix(probabilities, listOf(1, 4, 4))
        assertEquals(List(6) { 0.1 * it }, probabilities.toList())
    },
    "n-grams that are cut, too long or another file are refused" to {
        val whole = ngramsFile(6, PAIRS, TRIPLES)
        for (size in whole.indices) assertRefused(whole.copyOf(size))
        assertRefused(whole + 0)
        assertRefused(whole, vocabulary = 7)
        assertRefused(PACKAGE.file(PhonePackage.SPELLINGS).readBytes())
        assertRefused(whole.copyOf().also { it[0] = 'f'.code.toByte() })
        for (longest in listOf(0, 2, 4, 9, -1)) assertRefused(whole.copyOf().also { it.setInt(8, longest) })
        // Sizes for which there would be no memory.
        for (size in listOf(-1, Int.MAX_VALUE, 1 shl 30)) assertRefused(whole.copyOf().also { it.setInt(12, size) })
    },
    "n-grams that contradict themselves are refused" to {
        fun assertDamaged(vararg levels: TestLevel) = assertRefused(ngramsFile(6, *levels))
        assertDamaged(PAIRS.copy(counts = listOf(0, 2, 0, 0, 2, 0)))
        assertDamaged(PAIRS.copy(counts = listOf(0, 0xffff, 0, 0, 1, 0)))
        assertDamaged(PAIRS.copy(words = listOf(4, 6, 5)))
        assertDamaged(PAIRS.copy(words = listOf(5, 4, 5)))
        assertDamaged(PAIRS.copy(words = listOf(4, 4, 5)))
        assertDamaged(PAIRS.copy(codes = listOf(0, 32, 32)))
        for (count in listOf(-1, Int.MAX_VALUE)) {
            val counts = listOf(0, count, count, 0, 1, 0)
            assertRefused(ngramsFile(70_000, PAIRS.copy(counts = counts)), vocabulary = 70_000)
        }
    },
    "whatever a byte is changed to, n-grams are refused, or mix" to {
        val whole = ngramsFile(6, PAIRS, TRIPLES)
        val random = Random(1)
        repeat(10_000) {
            val changed = whole.copyOf().also { it[random.nextInt(it.size)] = random.nextInt().toByte() }
            try {
                val ngrams = NGrams(changed, 6)
                for (word in 0 until 6) ngrams.mix(DoubleArray(6), listOf(1, 4, word))
            } catch (error: FedKeyboardException) {
                assertOneLine(error)
            }
        }
    },
    "n-grams that are not those of the manifest are refused" to {
        inTemporary { directory ->
            val opened = withNGrams(directory, ngramsFile(PACKAGE.sizes.vocabulary))
            opened.ngrams()
            File(directory, PhonePackage.NGRAMS).writeBytes(PACKAGE.file(PhonePackage.NGRAMS).readBytes())
            assertFailsWith<FedKeyboardException> { opened.ngrams() }
            File(directory, PhonePackage.NGRAMS).delete()
            assertFailsWith<FedKeyboardException> { opened.ngrams() }
        }
    },
)

/** How many words are below each sequence that is a word shorter, those words, and their codes. */
internal data class TestLevel(val counts: List<Int>, val words: List<Int>, val codes: List<Int>)

/** Of six entries: 1, 4 and 1, 5 and 4, 5; then 1, 4, 5. */
private val PAIRS = TestLevel(listOf(0, 2, 0, 0, 1, 0), listOf(4, 5, 5), listOf(16, 32, 32))
private val TRIPLES = TestLevel(listOf(1, 0, 0), listOf(5), listOf(48))

/** Returns an `ngrams.bin` as docs/package.md says. */
internal fun ngramsFile(vocabulary: Int, vararg levels: TestLevel): ByteArray {
    val bytes = ByteBuffer.allocate(1 shl 20).order(ByteOrder.LITTLE_ENDIAN)
    bytes.put("FKNG".toByteArray()).putInt(vocabulary).putInt(1 + levels.size)
    for (level in levels) bytes.putInt(level.words.size)
    var shorter = vocabulary
    for (level in levels) {
        val counts = level.counts + List(shorter - level.counts.size) { 0 }
        for (number in counts + level.words) {
            if (vocabulary > 65_536) bytes.putInt(number) else bytes.putShort(number.toShort())
        }
        shorter = level.words.size
    }
    for (level in levels) level.codes.forEach { bytes.put(it.toByte()) }
    return bytes.array().copyOf(bytes.position())
}

/** Copies the package into [directory], with other n-grams. */
internal fun withNGrams(directory: File, content: ByteArray): PhonePackage {
    val manifest = File(packageCopy(directory), PhonePackage.MANIFEST)
    val file = File(directory, PhonePackage.NGRAMS)
    manifest.writeSealed(manifest.readText().replace(sha256(file), sha256(content)))
    file.writeBytes(content)
    return PhonePackage.open(directory)
}

private fun assertRefused(content: ByteArray, vocabulary: Int = 6) =
    assertOneLine(assertFailsWith<FedKeyboardException> { NGrams(content, vocabulary) })

private fun assertOneLine(error: FedKeyboardException) =
    assertEquals(true, Regex("ngrams.bin: [^\n]+").matches(error.message!!), error.message)

private fun ByteArray.setInt(at: Int, value: Int) {
    ByteBuffer.wrap(this).order(ByteOrder.LITTLE_ENDIAN).putInt(at, value)
}
