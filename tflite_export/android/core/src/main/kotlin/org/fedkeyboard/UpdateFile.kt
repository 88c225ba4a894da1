package org.fedkeyboard

import java.io.EOFException
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.GregorianCalendar
import java.util.zip.CRC32
import java.util.zip.CheckedInputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipException
import java.util.zip.ZipFile
import java.util.zip.ZipOutputStream

/** What an update file is for: it stays on the phone, or is sent. */
enum class Purpose { PERSONAL, UPDATE }

/** `metadata.json` of a personal checkpoint or an update (docs/package.md). */
data class UpdateMetadata(
    val purpose: Purpose,
    val weightsSha256: String,
    val vocabularySha256: String,
    val weight: Double,
    val sentences: Int,
    val steps: Int,
    val loss: Double?,
    val settings: LearningSettings,
)

/** The file format `fedkeyboard.update`: a ZIP of NumPy arrays, the differences of the weights. */
internal object UpdateFile {
    private const val FORMAT = "fedkeyboard.update"
    private const val VERSION = "1.0"
    private const val METADATA = "metadata.json"
    private val MAGIC = byteArrayOf(0x93.toByte()) + "NUMPY".toByteArray() + byteArrayOf(1, 0)

    /** The magic and the header's length, two bytes. */
    private val PREAMBLE = MAGIC.size + 2

    /** Writes [file] whole or not at all. */
    fun write(file: File, metadata: UpdateMetadata, difference: Weights) {
        val partial = File(file.path + ".partial")
        try {
            FileOutputStream(partial).use { out ->
                val zip = ZipOutputStream(out)
                zip.putNextEntry(entry(METADATA))
                zip.write(Json.write(members(metadata)).toByteArray())
                for ((name, tensor) in difference.tensors) {
                    zip.putNextEntry(entry("$name.npy"))
                    writeArray(zip, tensor)
                }
                zip.finish()
                // Else the rename may reach the disk before the contents do.
                out.fd.sync()
            }
            if (!partial.renameTo(file)) throw IOException("$file: cannot be written")
        } finally {
            partial.delete()
        }
    }

    /** Reads the metadata alone; throws [FedKeyboardException] if [file] is damaged or something else. */
    fun readMetadata(file: File): UpdateMetadata = opened(file) { zip -> metadata(zip) }

    /** Reads the difference; throws [FedKeyboardException] if it is damaged or of other [shapes]. */
    fun readDifference(file: File, shapes: Map<String, List<Int>>): Weights = opened(file) { zip ->
        Weights(shapes.mapValues { (name, shape) -> entry(zip, "$name.npy") { readArray(it, shape) } })
    }

    /** When a phone learned is nobody's business; nor its time zone, hence the same local time for all. */
    private fun entry(name: String) = ZipEntry(name).apply { time = GregorianCalendar(1980, 1, 1).timeInMillis }

    private fun members(metadata: UpdateMetadata): Map<String, Any> = buildMap {
        put("format", FORMAT)
        put("version", VERSION)
        put("purpose", metadata.purpose.name.lowercase())
        put("weights_sha256", metadata.weightsSha256)
        put("vocabulary_sha256", metadata.vocabularySha256)
        put("weight", metadata.weight)
        put("sentences", metadata.sentences)
        put("steps", metadata.steps)
        metadata.loss?.let { put("loss", it) }
        put("learning_rate", metadata.settings.learningRate)
        put("clipping_norm", metadata.settings.clippingNorm)
        put("batch_size", metadata.settings.batchSize)
        put("epochs", metadata.settings.epochs)
    }

    private fun metadata(zip: ZipFile): UpdateMetadata {
        val members = JsonObject.read(entry(zip, METADATA) { it.readBytes() }.decodeToString())
        val format = members.string("format")
        val version = members.string("version")
        if (format != FORMAT || version.substringBefore('.') != VERSION.substringBefore('.')) {
            throw FedKeyboardException("this app reads $FORMAT $VERSION, not $format $version")
        }
        return UpdateMetadata(
            purpose = Purpose.entries.find { it.name.lowercase() == members.string("purpose") }
                ?: throw FedKeyboardException("of unknown purpose: ${members.string("purpose")}"),
            weightsSha256 = members.string("weights_sha256"),
            vocabularySha256 = members.string("vocabulary_sha256"),
            weight = members.number("weight"),
            sentences = members.int("sentences"),
            steps = members.int("steps"),
            loss = if (members.has("loss")) members.number("loss") else null,
            settings = LearningSettings(
                learningRate = members.number("learning_rate").toFloat(),
                clippingNorm = members.number("clipping_norm").toFloat(),
                batchSize = members.int("batch_size"),
                epochs = members.int("epochs"),
            ),
        )
    }

    /** NumPy's format 1.0: magic, version, the header's length, and the header, padded to 64 bytes. */
    private fun writeArray(out: OutputStream, tensor: Floats) {
        val header = described(tensor.shape)
        val padded = header.padEnd((PREAMBLE + header.length + 64) / 64 * 64 - PREAMBLE - 1) + "\n"
        out.write(MAGIC)
        out.write(byteArrayOf(padded.length.toByte(), (padded.length shr 8).toByte()))
        out.write(padded.toByteArray())
        out.write(littleEndian(tensor.values))
    }

    private fun readArray(input: InputStream, shape: List<Int>): Floats {
        val bytes = input.readBytes()
        val count = shape.fold(1, Int::times)
        val start = bytes.size - 4 * count
        if (start < PREAMBLE || !bytes.copyOf(MAGIC.size).contentEquals(MAGIC) ||
            bytes.decodeToString(PREAMBLE, start).trimEnd() != described(shape)
        ) {
            throw FedKeyboardException("an array is not float32 $shape")
        }
        val values = FloatArray(count)
        ByteBuffer.wrap(bytes, start, 4 * count).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values)
        if (!values.all(Float::isFinite)) throw FedKeyboardException("an array has a value that is not finite")
        return Floats(values, shape)
    }

    private fun described(shape: List<Int>): String {
        val dimensions = if (shape.size == 1) "${shape[0]}," else shape.joinToString(", ")
        return "{'descr': '<f4', 'fortran_order': False, 'shape': ($dimensions), }"
    }

    private fun <T> opened(file: File, read: (ZipFile) -> T): T = try {
        ZipFile(file).use(read)
    } catch (error: ZipException) {
        throw FedKeyboardException("$file: ${error.message}", error)
    } catch (error: EOFException) {
        throw FedKeyboardException("$file: ends too soon", error)
    }

    /** [ZipFile] looks at no checksum. */
    private fun <T> entry(zip: ZipFile, name: String, read: (InputStream) -> T): T {
        val entry = zip.getEntry(name) ?: throw FedKeyboardException("lacks $name")
        return CheckedInputStream(zip.getInputStream(entry), CRC32()).use { input ->
            read(input).also {
                if (input.checksum.value != entry.crc) throw FedKeyboardException("$name is damaged")
            }
        }
    }
}
