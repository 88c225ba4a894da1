package org.fedkeyboard

import java.io.File
import java.security.MessageDigest

/** The model's sizes, as docs/package.md calls them: V, D, H and T. */
class Sizes(val vocabulary: Int, val embedding: Int, val units: Int, val length: Int)

/**
 * A phone package (docs/package.md) in a [directory].
 *
 * @property weightsSha256 names the weights that `model_train.tflite` opens with.
 * @property algorithm how the package was trained; phones send updates for `fedavg` alone.
 * @property weighsBySentences whether an update counts by its sentences, or as 1.
 * @property roundSettings how a phone trains for an update, as the simulated ones did.
 * @property maximumSentences on how many sentences at most.
 */
class PhonePackage private constructor(val directory: File, manifest: JsonObject) {
    val sizes: Sizes
    val weightsSha256: String
    val algorithm: String
    val weighsBySentences: Boolean
    val roundSettings: LearningSettings
    val maximumSentences: Int
    private val sha256: JsonObject = manifest.objectOf("files")

    init {
        val model = manifest.objectOf("model")
        sizes = Sizes(
            vocabulary = model.int("vocabulary"),
            embedding = model.int("embedding"),
            units = model.int("units"),
            length = model.int("length"),
        )
        weightsSha256 = model.string("weights_sha256")
        val client = manifest.objectOf("training").objectOf("settings").objectOf("client")
        algorithm = client.string("algorithm")
        weighsBySentences = client.string("weighting") == "sentences"
        roundSettings = LearningSettings(
            learningRate = client.number("learning_rate").toFloat(),
            clippingNorm = client.number("clipping_norm").toFloat(),
            batchSize = client.int("batch_size"),
            epochs = client.int("epochs"),
        )
        maximumSentences = client.int("maximum_sentences")
    }

    /** Names the vocabulary, and so the meaning of the weights' rows. */
    val vocabularySha256: String get() = sha256.objectOf(VOCABULARY).string("sha256")

    /** Reads the vocabulary, how its words are shown, and the rules of words. */
    fun vocabulary(): Vocabulary = Vocabulary.read(file(VOCABULARY), file(SPELLINGS), file(CHARACTERS)).also {
        if (it.entries.size != sizes.vocabulary) {
            throw FedKeyboardException("$VOCABULARY: not as long as the manifest says")
        }
    }

    /** Reads what is mixed with the model's probabilities. */
    fun ngrams(): NGrams {
        val file = file(NGRAMS)
        if (file.length() > LARGEST_NGRAMS) throw FedKeyboardException("$file: too large for n-grams")
        return NGrams(file.readBytes(), sizes.vocabulary)
    }

    /** Returns a file of the package, after a look whether it is what the manifest says. */
    fun file(name: String): File {
        val file = File(directory, name)
        if (!file.isFile) throw FedKeyboardException("$file: no such file")
        if (sha256(file) != sha256.objectOf(name).string("sha256")) {
            throw FedKeyboardException("$file: has other contents than the manifest says")
        }
        return file
    }

    companion object {
        const val MANIFEST = "manifest.json"
        const val INFERENCE = "model_infer.tflite"
        const val TRAINING = "model_train.tflite"
        const val NGRAMS = "ngrams.bin"
        const val VOCABULARY = "vocabulary.txt"
        const val SPELLINGS = "spellings.json"
        const val CHARACTERS = "characters.json"
        private const val FORMAT = "fedkeyboard-phone-package"
        private const val MAJOR = "4"
        private const val LARGEST_MANIFEST = 4 shl 20
        private const val LARGEST_NGRAMS = 64 shl 20

        /** Opens a package; throws [FedKeyboardException] if it is none that this version reads. */
        fun open(directory: File): PhonePackage {
            val file = File(directory, MANIFEST)
            if (!file.isFile) throw FedKeyboardException("$file: no such file")
            if (file.length() > LARGEST_MANIFEST) throw FedKeyboardException("$file: too large for a manifest")
            val content = file.readBytes()
            val manifest = JsonObject.read(content.decodeToString())
            val format = manifest.objectOf("format")
            val name = format.string("name")
            val version = format.string("version")
            if (name != FORMAT || version.substringBefore('.') != MAJOR) {
                throw FedKeyboardException("$file: this app reads $FORMAT $MAJOR, not $name $version")
            }
            if (!isSealed(content)) throw FedKeyboardException("$file: damaged")
            return PhonePackage(directory, manifest)
        }
    }
}

/** Returns a manifest's bytes with the sha256 in them that they have with 64 zeros in its place. */
internal fun sealed(content: ByteArray): ByteArray {
    val digits = content.size - AFTER_DIGITS - DIGITS until content.size - AFTER_DIGITS
    if (digits.first < 0) return content
    val zeros = content.copyOf().apply { fill('0'.code.toByte(), digits.first, digits.last + 1) }
    val sha256 = hexadecimal(MessageDigest.getInstance("SHA-256").apply { update(zeros) })
    return sha256.encodeToByteArray().copyInto(zeros, digits.first)
}

private fun isSealed(content: ByteArray) = content.size > DIGITS && sealed(content).contentEquals(content)

private const val DIGITS = 64
private const val AFTER_DIGITS = 4

internal fun sha256(file: File): String {
    val digest = MessageDigest.getInstance("SHA-256")
    file.inputStream().use { input ->
        val buffer = ByteArray(1 shl 16)
        while (true) {
            val read = input.read(buffer)
            if (read < 0) break
            digest.update(buffer, 0, read)
        }
    }
    return hexadecimal(digest)
}

internal fun hexadecimal(digest: MessageDigest): String =
    digest.digest().joinToString("") { "%02x".format(it) }
