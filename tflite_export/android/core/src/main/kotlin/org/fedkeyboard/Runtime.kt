package org.fedkeyboard

import java.io.Closeable

/** Numbers with a shape; a scalar's shape is empty. */
sealed interface Tensor {
    val shape: List<Int>
}

/** A float32 tensor, its values in C order. */
class Floats(val values: FloatArray, override val shape: List<Int>) : Tensor {
    /** A scalar. */
    constructor(value: Float) : this(floatArrayOf(value), emptyList())
}

/** An int32 tensor, its values in C order. */
class Ints(val values: IntArray, override val shape: List<Int>) : Tensor

/**
 * An open `.tflite` file: all that the core needs of LiteRT.
 *
 * Not safe for threads by itself. Who calls [run] holds the runtime's monitor, so that an engine and
 * a trainer can share one.
 */
interface Runtime : Closeable {
    /** Runs a signature once; inputs and outputs go by name, since their order in the file varies. */
    fun run(signature: String, inputs: Map<String, Tensor>): Map<String, Tensor>
}

internal fun Map<String, Tensor>.floats(name: String): Floats = getValue(name) as Floats

internal fun Map<String, Tensor>.float(name: String): Float = floats(name).values.single()

internal fun Map<String, Tensor>.ints(name: String): IntArray = (getValue(name) as Ints).values
