package org.fedkeyboard

import java.io.File
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

val PACKAGE_TESTS = mapOf(
    "a package with another first number is refused" to {
        inTemporary { directory ->
            val manifest = File(packageCopy(directory), PhonePackage.MANIFEST)
            val text = manifest.readText()
            for (version in listOf("1.0", "3.0", "40.0")) {
                manifest.writeSealed(text.replace(VERSION, "\"version\": \"$version\""))
                val error = assertFailsWith<FedKeyboardException> { PhonePackage.open(directory) }
                assertEquals(true, version in error.message!!)
            }
        }
    },
    "a package with another second number and unknown members is read" to {
        inTemporary { directory ->
            val manifest = File(packageCopy(directory), PhonePackage.MANIFEST)
            manifest.writeSealed(manifest.readText().replace(VERSION, "\"version\": \"4.7\", \"new\": [1]"))
            assertEquals(PACKAGE.weightsSha256, PhonePackage.open(directory).weightsSha256)
        }
    },
    "a manifest that is not there, or only in part, is refused" to {
        inTemporary { directory ->
            assertFailsWith<FedKeyboardException> { PhonePackage.open(directory) }
            val manifest = File(packageCopy(directory), PhonePackage.MANIFEST)
            manifest.writeText(manifest.readText().run { take(length / 2) })
            assertFailsWith<FedKeyboardException> { PhonePackage.open(directory) }
        }
    },
    "a manifest with one digit changed is refused" to {
        inTemporary { directory ->
            val manifest = File(packageCopy(directory), PhonePackage.MANIFEST)
            val text = manifest.readText()
            for (place in Regex("[0-9]").findAll(text).map { it.range.first }.filter { it % 37 == 0 }) {
                val digit = if (text[place] == '1') '2' else '1'
                manifest.writeText(text.replaceRange(place, place + 1, digit.toString()))
                assertFailsWith<FedKeyboardException> { PhonePackage.open(directory) }
            }
            manifest.writeText(text + " ")
            assertFailsWith<FedKeyboardException> { PhonePackage.open(directory) }
            manifest.writeSealed(text)
            assertEquals(text, manifest.readText())
            manifest.writeText(text + " ".repeat(5 shl 20))
            assertFailsWith<FedKeyboardException> { PhonePackage.open(directory) }
        }
    },
    "a file that was changed, cut or lost is refused" to {
        inTemporary { directory ->
            val opened = PhonePackage.open(packageCopy(directory))
            val file = opened.file(PhonePackage.INFERENCE)
            val content = file.readBytes()
            file.writeBytes(content.copyOf(content.size / 2))
            assertFailsWith<FedKeyboardException> { opened.file(PhonePackage.INFERENCE) }
            content[content.size / 2]++
            file.writeBytes(content)
            assertFailsWith<FedKeyboardException> { opened.file(PhonePackage.INFERENCE) }
            File(directory, PhonePackage.VOCABULARY).delete()
            assertFailsWith<FedKeyboardException> { opened.vocabulary() }
        }
    },
)

private val VERSION = Regex("\"version\": \"4[.0-9]*\"")

/** Writes a manifest with the hash of itself that it should have. */
internal fun File.writeSealed(text: String) = writeBytes(sealed(text.encodeToByteArray()))
