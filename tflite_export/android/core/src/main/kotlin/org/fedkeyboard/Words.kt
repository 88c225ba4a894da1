package org.fedkeyboard

/**
 * How text becomes words: the rules of `fedkeyboard/text/words.py`, repeated exactly.
 *
 * A keyboard that splits otherwise gets worse suggestions and no error. All that is known of Unicode is
 * in the package's `characters.json`: a device's own version of it is older or newer.
 */
class Words internal constructor(table: JsonObject) {
    private val letters = Ranges(table.list("letters"))
    private val marks = Ranges(table.list("marks"))
    private val dualJoining = Ranges(table.list("dual_joining"))
    private val rightJoining = Ranges(table.list("right_joining"))
    private val ends = Ranges(table.list("ends"))

    /** Each character that does not stand for itself, and what stands for it. */
    private val folds = table.pairsOf("folds").associate { (character, folded) ->
        character.codePointAt(0) to folded.codePoints().toArray()
    }

    /** The canonical combining classes that marks have. */
    private val classes = HashMap<Int, Int>()

    /** By two characters, the one that they compose to. */
    private val pairs = table.pairsOf("pairs").associate { (pair, whole) ->
        val first = pair.codePointAt(0)
        (first to pair.codePointAt(Character.charCount(first))) to whole.codePointAt(0)
    }

    init {
        val byClass = table.objectOf("classes")
        for (name in byClass.names) {
            for (mark in Ranges(byClass.list(name)).all()) classes[mark] = name.toInt()
        }
    }

    /** Returns the words of [text], in order, normalised. */
    fun of(text: String): List<String> {
        val words = mutableListOf<String>()
        val word = mutableListOf<Int>()
        for (character in kept(text) + SEPARATOR) {
            if (character == SEPARATOR) {
                if (word.isNotEmpty()) words += composed(word)
                word.clear()
            } else if (word.isNotEmpty() || character in letters) {
                word += character
            }
        }
        return words
    }

    /** Returns the words of [text] by sentence. */
    fun bySentence(text: String): List<List<String>> {
        val parts = mutableListOf(StringBuilder())
        text.codePoints().forEach { if (it in ends) parts += StringBuilder() else parts.last().appendCodePoint(it) }
        return parts.map { of(it.toString()) }.filter { it.isNotEmpty() }
    }

    /** Rules 1 to 4. */
    private fun kept(text: String): List<Int> {
        val folded = text.codePoints().toArray().flatMap(::folded)
        val joined = folded.filterIndexed { at, it -> !isZeroWidth(it) || changesForms(folded, at) }
        val parted = joined.mapIndexed { at, it -> if (it in JOINERS && !joins(joined, at)) SEPARATOR else it }
        var letter = SEPARATOR
        return parted.filter {
            if (it !in marks) letter = it
            letter != 'i'.code || it != DOT_ABOVE
        }
    }

    private fun folded(character: Int): List<Int> =
        folds[character]?.asList() ?: listOf(if (character in letters || character in marks) character else SEPARATOR)

    /** Rule 2. */
    private fun changesForms(text: List<Int>, at: Int): Boolean {
        val (letter, marks) = before(text, at)
        val next = text.getOrElse(at + 1) { SEPARATOR }
        if (next !in letters) return false
        val joined = letter in dualJoining && (next in dualJoining || next in rightJoining)
        return marks.any { classes[it] == VIRAMA } || text[at] == NON_JOINER && joined
    }

    /** Rule 3. */
    private fun joins(text: List<Int>, at: Int): Boolean {
        val next = text.getOrElse(at + 1) { SEPARATOR }
        return if (text[at] == '"'.code) before(text, at).first in HEBREW && next in HEBREW else next in letters
    }

    /** Returns the letter before a joiner, and the marks on it. */
    private fun before(text: List<Int>, at: Int): Pair<Int, List<Int>> {
        val behind = text.subList(0, at).asReversed()
        val on = behind.takeWhile { it in marks || isZeroWidth(it) }
        return behind.getOrElse(on.size) { SEPARATOR } to on
    }

    /** Rule 6: Unicode's canonical order and composition. */
    private fun composed(word: List<Int>): String {
        val whole = mutableListOf<Int>()
        var letter = -1
        var before = 0
        for (character in ordered(word)) {
            val order = classes[character] ?: 0
            val isNext = whole.lastIndex == letter
            val both = if (letter >= 0 && (isNext || before < order)) pair(whole[letter], character) else null
            if (both != null) {
                whole[letter] = both
                continue
            }
            if (order == 0) letter = whole.size
            before = order
            whole += character
        }
        return whole.fold(StringBuilder(), StringBuilder::appendCodePoint).toString()
    }

    private fun ordered(word: List<Int>): List<Int> {
        val ordered = word.toMutableList()
        var start = 0
        while (start < ordered.size) {
            var end = start
            while (end < ordered.size && ordered[end] in classes) end++
            ordered.subList(start, end).sortBy(classes::getValue)
            start = end + 1
        }
        return ordered
    }

    private fun pair(first: Int, second: Int): Int? {
        val vowel = second - VOWELS.first
        val final = second - FINALS.first + 1
        return when {
            first in INITIALS && second in VOWELS ->
                SYLLABLES.first + ((first - INITIALS.first) * VOWELS.count() + vowel) * FINALS_AND_NONE
            first in SYLLABLES && (first - SYLLABLES.first) % FINALS_AND_NONE == 0 && second in FINALS -> first + final
            else -> pairs[first to second]
        }
    }

    private companion object {
        const val SEPARATOR = 0x20
        const val NON_JOINER = 0x200c
        const val JOINER = 0x200d
        const val DOT_ABOVE = 0x307
        const val VIRAMA = 9
        val JOINERS = setOf(0x27, 0xb7, 0x55f, 0x22)
        val HEBREW = 0x5d0..0x5f2

        // Hangul is computed.
        val INITIALS = 0x1100..0x1112
        val VOWELS = 0x1161..0x1175
        val FINALS = 0x11a8..0x11c2
        val SYLLABLES = 0xac00..0xd7a3
        const val FINALS_AND_NONE = 28

        fun isZeroWidth(character: Int): Boolean = character == NON_JOINER || character == JOINER
    }
}

private fun JsonObject.pairsOf(name: String): List<List<String>> = list(name).map { it as String }.chunked(2)

/** A set of characters, which begins and ends at each number of [changes] in turn. */
private class Ranges(changes: List<*>) {
    private val changes = IntArray(changes.size) { (changes[it] as Double).toInt() }

    operator fun contains(character: Int): Boolean {
        val found = changes.binarySearch(character)
        return (if (found >= 0) found + 1 else -found - 1) % 2 == 1
    }

    fun all(): List<Int> = changes.asList().chunked(2).flatMap { (first, end) -> first until end }
}
