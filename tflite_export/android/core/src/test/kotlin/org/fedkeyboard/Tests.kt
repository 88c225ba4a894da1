package org.fedkeyboard

import java.io.File
import java.security.MessageDigest
import kotlin.io.path.createTempDirectory
import kotlin.system.exitProcess

val PYTHON: String = System.getProperty("fedkeyboard.python")

/** The package that the tests read; those that change one work on a copy. */
val PACKAGE: PhonePackage by lazy { PhonePackage.open(File(System.getProperty("fedkeyboard.package"))) }

val VOCABULARY: Vocabulary by lazy { PACKAGE.vocabulary() }

internal val GOLDEN: JsonObject by lazy { JsonObject.read(PACKAGE.file("golden.json").readText()) }

/** Gives a directory that is gone afterwards. */
fun inTemporary(block: (File) -> Unit) {
    val directory = createTempDirectory("fedkeyboard").toFile()
    try {
        block(directory)
    } finally {
        directory.deleteRecursively()
    }
}

/** Copies the package into [directory], and returns that. */
fun packageCopy(directory: File): File = directory.also { PACKAGE.directory.copyRecursively(it) }

fun sha256(bytes: ByteArray): String =
    hexadecimal(MessageDigest.getInstance("SHA-256").apply { update(bytes) })

/** Runs all tests. Not JUnit, which npm does not have. */
fun main() {
    val tests = JSON_TESTS + WORDS_TESTS + PACKAGE_TESTS + NGRAMS_TESTS + ENGINE_TESTS + TRAINER_TESTS + PERSONAL_TESTS
    val failed = tests.map { (name, test) ->
        val failure = runCatching(test).exceptionOrNull()
        println("${if (failure == null) "ok    " else "FAILED"} $name")
        failure?.printStackTrace()
        failure != null
    }
    println("${failed.count { !it }} passed, ${failed.count { it }} failed")
    exitProcess(if (failed.any { it }) 1 else 0)
}
