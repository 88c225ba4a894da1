package org.fedkeyboard

import java.text.Normalizer
import java.util.Locale

/**
 * Returns the words of [text], in order, by the rules of `fedkeyboard/words.py`.
 *
 * They repeat the simulation's exactly; a keyboard that splits otherwise gets worse suggestions and
 * no error.
 */
fun words(text: String): List<String> {
    val straight = text.map { if (it in APOSTROPHES) '\'' else it }.joinToString("")
    // Rule 3. A keyboard's language must not matter: a Turkish locale would lower-case I otherwise.
    val lower = nfkc(straight).lowercase(Locale.ROOT).replace('\u03c2', '\u03c3').replace("\u00df", "ss")
    return runs(nfkc(lower)).map { it.trim('\'') }.filter(::hasLetterOrDigit)
}

private const val APOSTROPHES = "\u0060\u00b4\u02bc\u2018\u2019\u201b\uff07"

private fun nfkc(text: String): String = Normalizer.normalize(text, Normalizer.Form.NFKC)

/** Rule 4: the longest runs of word characters and apostrophes. */
private fun runs(text: String): List<String> {
    val runs = mutableListOf<String>()
    val run = StringBuilder()
    var at = 0
    while (at < text.length) {
        // A code point may be two chars.
        val codePoint = text.codePointAt(at)
        at += Character.charCount(codePoint)
        when {
            isIgnored(codePoint) -> {}
            isOfWord(codePoint) -> run.appendCodePoint(codePoint)
            run.isNotEmpty() -> {
                runs += run.toString()
                run.clear()
            }
        }
    }
    if (run.isNotEmpty()) runs += run.toString()
    return runs
}

private fun isIgnored(codePoint: Int): Boolean =
    codePoint in 0xFE00..0xFE0F || Character.getType(codePoint) == Character.FORMAT.toInt()

private fun isOfWord(codePoint: Int): Boolean =
    codePoint == '\''.code ||
        Character.isLetterOrDigit(codePoint) ||
        Character.getType(codePoint) == Character.NON_SPACING_MARK.toInt() ||
        Character.getType(codePoint) == Character.COMBINING_SPACING_MARK.toInt()

/** Rule 5. */
private fun hasLetterOrDigit(run: String): Boolean =
    run.codePoints().anyMatch(Character::isLetterOrDigit)
