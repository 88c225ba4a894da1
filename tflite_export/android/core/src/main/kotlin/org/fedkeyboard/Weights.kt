package org.fedkeyboard

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest

/** The six weights, or a difference of them, by name and in the order that names them in a manifest. */
class Weights(val tensors: Map<String, Floats>) {
    /** Returns the sha256 that a manifest calls these weights by. */
    fun sha256(): String {
        val digest = MessageDigest.getInstance("SHA-256")
        for (name in NAMES) digest.update(littleEndian(tensors.getValue(name).values))
        return hexadecimal(digest)
    }

    /** Whether all are finite: training has not diverged. */
    fun isFinite(): Boolean = tensors.values.all { it.values.all(Float::isFinite) }

    operator fun minus(other: Weights): Weights = combined(other) { one, two -> one - two }

    operator fun plus(other: Weights): Weights = combined(other) { one, two -> one + two }

    private inline fun combined(other: Weights, of: (Float, Float) -> Float): Weights = Weights(
        tensors.mapValues { (name, tensor) ->
            val added = other.tensors.getValue(name).values
            Floats(FloatArray(added.size) { of(tensor.values[it], added[it]) }, tensor.shape)
        },
    )

    companion object {
        val NAMES =
            listOf("embedding", "input_kernel", "recurrent_kernel", "bias", "projection", "output_bias")

        /** Returns each weight's shape. */
        fun shapes(sizes: Sizes): Map<String, List<Int>> = NAMES.zip(
            listOf(
                listOf(sizes.vocabulary, sizes.embedding),
                listOf(sizes.embedding, 3 * sizes.units),
                listOf(sizes.embedding, 3 * sizes.units),
                listOf(3 * sizes.units),
                listOf(sizes.units, sizes.embedding),
                listOf(sizes.vocabulary),
            ),
        ).toMap()
    }
}

internal fun littleEndian(values: FloatArray): ByteArray {
    val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
    bytes.asFloatBuffer().put(values)
    return bytes.array()
}
