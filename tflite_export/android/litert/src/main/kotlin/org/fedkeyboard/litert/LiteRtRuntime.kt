package org.fedkeyboard.litert

import java.io.File
import java.nio.Buffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import org.fedkeyboard.Floats
import org.fedkeyboard.Ints
import org.fedkeyboard.Runtime
import org.fedkeyboard.Tensor
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter

/** LiteRT on Android. Opening maps [model] into memory, so it must be a file, not an asset. */
class LiteRtRuntime(model: File, threads: Int = 1) : Runtime {
    private class Output(val isFloat: Boolean, val shape: List<Int>)

    private class Signature(val varying: Set<String>, val outputs: Map<String, Output>)

    private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(threads))
    private val signatures = HashMap<String, Signature>()

    override fun run(signature: String, inputs: Map<String, Tensor>): Map<String, Tensor> {
        val described = signatures.getOrPut(signature) { describe(signature) }
        val given = inputs.mapValues { (name, tensor) ->
            // LiteRT resizes an input for an array of arrays, but not for a buffer.
            if (name in described.varying) arrays(tensor) else buffer(tensor)
        }
        val outputs = described.outputs.mapValues { (_, output) -> zeros(output) }
        interpreter.runSignature(given, outputs.mapValues { (_, tensor) -> buffer(tensor) }, signature)
        return outputs
    }

    override fun close() = interpreter.close()

    /** Once a signature: each tensor that the interpreter hands out holds native memory. */
    private fun describe(signature: String) = Signature(
        varying = interpreter.getSignatureInputs(signature).filterTo(HashSet()) { name ->
            -1 in interpreter.getInputTensorFromSignature(name, signature).shapeSignature()
        },
        outputs = interpreter.getSignatureOutputs(signature).associateWith { name ->
            val tensor = interpreter.getOutputTensorFromSignature(name, signature)
            Output(tensor.dataType() == DataType.FLOAT32, tensor.shape().toList())
        },
    )

    private fun zeros(output: Output): Tensor {
        val count = output.shape.fold(1, Int::times)
        return if (output.isFloat) Floats(FloatArray(count), output.shape) else Ints(IntArray(count), output.shape)
    }

    /** Shares the tensor's values. Also of a scalar, into which LiteRT could not write otherwise. */
    private fun buffer(tensor: Tensor): Buffer = when (tensor) {
        is Floats -> FloatBuffer.wrap(tensor.values)
        is Ints -> IntBuffer.wrap(tensor.values)
    }

    private fun arrays(tensor: Tensor): Array<*> {
        val (rows, columns) = tensor.shape
        return when (tensor) {
            is Floats -> Array(rows) { tensor.values.copyOfRange(it * columns, (it + 1) * columns) }
            is Ints -> Array(rows) { tensor.values.copyOfRange(it * columns, (it + 1) * columns) }
        }
    }
}
