package org.fedkeyboard

/**
 * JSON as maps, lists, strings, numbers (Double), booleans and null.
 *
 * Its own reader, since `org.json` is Android's alone and the core shall need nothing but Kotlin.
 */
internal object Json {
    /** Reads a document; throws [FedKeyboardException] if it is none, or only part of one. */
    fun read(text: String): Any? {
        val reader = Reader(text)
        val value = reader.value()
        if (reader.next() != null) reader.fail()
        return value
    }

    /** Writes what [read] gives; numbers may be of any kind. */
    fun write(value: Any?): String = when (value) {
        is Map<*, *> -> value.entries.joinToString(", ", "{", "}") { (name, member) ->
            "${quoted(name as String)}: ${write(member)}"
        }
        is List<*> -> value.joinToString(", ", "[", "]", transform = ::write)
        is String -> quoted(value)
        else -> value.toString()
    }

    private fun quoted(text: String): String = text.map {
        when {
            it == '"' || it == '\\' -> "\\$it"
            it < ' ' -> "\\u%04x".format(it.code)
            else -> it.toString()
        }
    }.joinToString("", "\"", "\"")

    private class Reader(private val text: String) {
        private var at = 0

        /** Skips white space and returns the next character, null at the end. */
        fun next(): Char? {
            while (at < text.length && text[at] in " \t\r\n") at++
            return text.getOrNull(at)
        }

        fun fail(): Nothing = throw FedKeyboardException("not JSON, or only part of it, at character $at")

        fun value(): Any? = when (next()) {
            '{' -> items('}') { string().also { expect(':') } to value() }.toMap()
            '[' -> items(']') { value() }
            '"' -> string()
            else -> literal()
        }

        private fun expect(character: Char) {
            if (next() != character) fail()
            at++
        }

        private fun <T> items(end: Char, item: () -> T): List<T> {
            at++
            val items = mutableListOf<T>()
            if (next() != end) {
                items += item()
                while (next() == ',') {
                    at++
                    items += item()
                }
            }
            expect(end)
            return items
        }

        private fun string(): String {
            expect('"')
            val string = StringBuilder()
            while (true) {
                when (val character = text.getOrNull(at++) ?: fail()) {
                    '"' -> return string.toString()
                    '\\' -> string.append(escaped())
                    else -> string.append(character)
                }
            }
        }

        private fun escaped(): Char = when (val character = text.getOrNull(at++)) {
            '"', '\\', '/' -> character
            'b' -> '\b'
            'f' -> '\u000c'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                at += 4
                if (at > text.length) fail()
                text.substring(at - 4, at).toIntOrNull(16)?.toChar() ?: fail()
            }
            else -> fail()
        }

        private fun literal(): Any? {
            val start = at
            while (at < text.length && text[at] !in " \t\r\n,]}") at++
            return when (val word = text.substring(start, at)) {
                "true" -> true
                "false" -> false
                "null" -> null
                else -> word.toDoubleOrNull() ?: fail()
            }
        }
    }
}

/** An object read from JSON, whose members are asked for by type. */
internal class JsonObject(private val members: Map<*, *>) {
    fun string(name: String): String = of(name)

    fun number(name: String): Double = of(name)

    fun int(name: String): Int = number(name).toInt()

    fun objectOf(name: String): JsonObject = JsonObject(of(name))

    fun list(name: String): List<*> = of(name)

    val names: Set<String> get() = members.keys.mapTo(mutableSetOf()) { it as String }

    /** All members, of an object that has only strings. */
    fun strings(): Map<String, String> = names.associateWith(::string)

    fun has(name: String): Boolean = members[name] != null

    private inline fun <reified T> of(name: String): T =
        members[name] as? T ?: throw FedKeyboardException("lacks $name, or has it as something else")

    companion object {
        fun read(text: String): JsonObject =
            JsonObject(Json.read(text) as? Map<*, *> ?: throw FedKeyboardException("not a JSON object"))
    }
}
