package org.fedkeyboard

import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.File
import java.nio.ByteBuffer

/** LiteRT itself, in a child process (`tools/litert_bridge.py`), which ends with this one. */
class BridgedRuntime(model: File) : Runtime {
    private val process =
        ProcessBuilder(PYTHON, "tflite_export/android/tools/litert_bridge.py", model.path)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start()
    private val out = DataOutputStream(process.outputStream.buffered())
    private val answers = DataInputStream(process.inputStream.buffered())

    override fun run(signature: String, inputs: Map<String, Tensor>): Map<String, Tensor> {
        out.writeUTF(signature)
        out.writeInt(inputs.size)
        for ((name, tensor) in inputs) write(name, tensor)
        out.flush()
        check(answers.readByte() == 0.toByte()) { answers.readUTF() }
        return (1..answers.readInt()).associate { read() }
    }

    override fun close() {
        out.close()
        process.waitFor()
    }

    private fun write(name: String, tensor: Tensor) {
        out.writeUTF(name)
        out.writeByte((if (tensor is Floats) 'f' else 'i').code)
        out.writeInt(tensor.shape.size)
        tensor.shape.forEach(out::writeInt)
        val bytes = ByteBuffer.allocate(4 * tensor.shape.fold(1, Int::times))
        when (tensor) {
            is Floats -> bytes.asFloatBuffer().put(tensor.values)
            is Ints -> bytes.asIntBuffer().put(tensor.values)
        }
        out.write(bytes.array())
    }

    private fun read(): Pair<String, Tensor> {
        val name = answers.readUTF()
        val isFloat = answers.readByte().toInt().toChar() == 'f'
        val shape = List(answers.readInt()) { answers.readInt() }
        val count = shape.fold(1, Int::times)
        val bytes = ByteBuffer.wrap(answers.readNBytes(4 * count))
        return name to if (isFloat) {
            Floats(FloatArray(count).also(bytes.asFloatBuffer()::get), shape)
        } else {
            Ints(IntArray(count).also(bytes.asIntBuffer()::get), shape)
        }
    }
}
