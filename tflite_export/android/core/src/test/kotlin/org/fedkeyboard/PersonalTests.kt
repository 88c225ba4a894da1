package org.fedkeyboard

import java.io.File
import java.io.IOException
import java.time.LocalDateTime
import java.util.zip.ZipEntry
import java.util.zip.ZipFile
import java.util.zip.ZipOutputStream
import kotlin.math.abs
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

val PERSONAL_TESTS = mapOf(
    "a personal checkpoint comes back, also after another night" to {
        inTemporary { directory ->
            val learned = learn(directory)
            withTrainer { trainer, _ ->
                assertEquals(Loaded.LOADED, trainer.loadPersonal(directory))
                assertClose(learned, trainer.weights())
                trainer.train(SENTENCES, LearningSettings(epochs = 1))
                trainer.savePersonal(directory)
                val metadata = UpdateFile.readMetadata(File(directory, PERSONAL))
                assertEquals(2 * SENTENCES.size, metadata.sentences)
                assertEquals(3 + 1, metadata.steps)
                assertEquals(0.0, metadata.weight)
            }
            assertEquals(listOf(PERSONAL), directory.list()!!.toList())
        }
    },
    "without a personal checkpoint the weights are the package's" to {
        inTemporary { directory ->
            withTrainer { trainer, _ ->
                trainer.train(SENTENCES, LearningSettings(epochs = 1))
                assertEquals(Loaded.NONE, trainer.loadPersonal(directory))
                assertEquals(PACKAGE.weightsSha256, trainer.weights().sha256())
            }
        }
    },
    "after an app update the checkpoint is migrated, or refused, as the app chooses" to {
        inTemporary { directory ->
            val learned = learn(directory)
            withTrainer(renamed(File(directory, "newer"), PACKAGE.weightsSha256)) { trainer, _ ->
                assertEquals(Loaded.REFUSED, trainer.loadPersonal(directory, migrate = false))
                assertEquals(PACKAGE.weightsSha256, trainer.weights().sha256())
                assertEquals(Loaded.MIGRATED, trainer.loadPersonal(directory))
                assertClose(learned, trainer.weights())
                trainer.savePersonal(directory)
                assertEquals(Loaded.LOADED, trainer.loadPersonal(directory))
                assertClose(learned, trainer.weights())
            }
        }
    },
    "a checkpoint of another vocabulary is refused" to {
        inTemporary { directory ->
            learn(directory)
            withTrainer(renamed(File(directory, "newer"), PACKAGE.vocabularySha256)) { trainer, _ ->
                assertEquals(Loaded.REFUSED, trainer.loadPersonal(directory))
                assertEquals(PACKAGE.weightsSha256, trainer.weights().sha256())
            }
        }
    },
    "a checkpoint that is half, empty or damaged is refused" to {
        inTemporary { directory ->
            val learned = learn(directory)
            val file = File(directory, PERSONAL)
            val whole = file.readBytes()
            val random = Random(1)
            val damaged = listOf(0, 1, 30, whole.size / 2, whole.size - 1).map(whole::copyOf) +
                List(20) { whole.copyOf().also { bytes -> bytes[random.nextInt(bytes.size)]++ } }
            withTrainer { trainer, _ ->
                for (bytes in damaged) {
                    file.writeBytes(bytes)
                    // A byte that nobody reads, as a time, may be another.
                    if (trainer.loadPersonal(directory) == Loaded.LOADED) {
                        assertClose(learned, trainer.weights())
                    } else {
                        assertEquals(PACKAGE.weightsSha256, trainer.weights().sha256())
                    }
                }
                for (bytes in damaged.take(5)) {
                    file.writeBytes(bytes)
                    assertEquals(Loaded.REFUSED, trainer.loadPersonal(directory))
                }
            }
        }
    },
    "a checkpoint of another format, purpose or shape is refused" to {
        inTemporary { directory ->
            learn(directory)
            val file = File(directory, PERSONAL)
            val metadata = UpdateFile.readMetadata(file)
            val difference = UpdateFile.readDifference(file, Weights.shapes(PACKAGE.sizes))
            withTrainer { trainer, _ ->
                UpdateFile.write(file, metadata.copy(purpose = Purpose.UPDATE), difference)
                assertEquals(Loaded.REFUSED, trainer.loadPersonal(directory))
                val bias = "bias" to Floats(FloatArray(3), listOf(3))
                UpdateFile.write(file, metadata, Weights(difference.tensors + bias))
                assertEquals(Loaded.REFUSED, trainer.loadPersonal(directory))
                UpdateFile.write(file, metadata, Weights(difference.tensors - "bias"))
                assertEquals(Loaded.REFUSED, trainer.loadPersonal(directory))
                val units = 3 * PACKAGE.sizes.units
                val infinite = "bias" to Floats(FloatArray(units) { Float.POSITIVE_INFINITY }, listOf(units))
                UpdateFile.write(file, metadata, Weights(difference.tensors + infinite))
                assertEquals(Loaded.REFUSED, trainer.loadPersonal(directory))
                UpdateFile.write(file, metadata, difference)
                assertEquals(Loaded.LOADED, trainer.loadPersonal(directory))
                rewriteMetadata(file) { it.replace("\"version\": \"1.0\"", "\"version\": \"2.0\"") }
                assertEquals(Loaded.REFUSED, trainer.loadPersonal(directory))
            }
        }
    },
    "an interrupted save leaves the last one" to {
        inTemporary { directory ->
            learn(directory)
            File(directory, "$PERSONAL.partial").writeText("half")
            withTrainer { trainer, _ ->
                assertEquals(Loaded.LOADED, trainer.loadPersonal(directory))
                trainer.savePersonal(directory)
            }
            assertEquals(listOf(PERSONAL), directory.list()!!.toList())
        }
    },
    "weights that are not finite are not kept" to {
        inTemporary { directory ->
            val learned = learn(directory)
            withTrainer { trainer, _ ->
                trainer.train(SENTENCES, LearningSettings(epochs = 1))
                val bias = Floats(FloatArray(3 * PACKAGE.sizes.units) { Float.NaN }, listOf(3 * PACKAGE.sizes.units))
                trainer.setWeights(Weights(learned.tensors + ("bias" to bias)))
                assertFailsWith<DivergedException> { trainer.savePersonal(directory) }
                assertFailsWith<DivergedException> { trainer.writeUpdate(File(directory, "update.npz")) }
                assertEquals(listOf(PERSONAL), directory.list()!!.toList())
                assertFailsWith<DivergedException> { trainer.train(SENTENCES) }
                assertEquals(Loaded.LOADED, trainer.loadPersonal(directory))
                assertClose(learned, trainer.weights())
            }
        }
    },
    "a checkpoint that cannot be read now is not called a bad one" to {
        inTemporary { directory ->
            File(directory, PERSONAL).mkdirs()
            withTrainer { trainer, _ ->
                val error = assertFailsWith<IOException> { trainer.loadPersonal(directory) }
                assertEquals(false, error is FedKeyboardException)
            }
        }
    },
    "what is its user's own is no update" to {
        inTemporary { directory ->
            val file = File(directory, "update.npz")
            learn(directory)
            withTrainer { trainer, _ ->
                trainer.loadPersonal(directory)
                trainer.train(SENTENCES, PACKAGE.roundSettings)
                assertFailsWith<IllegalStateException> { trainer.writeUpdate(file) }
                trainer.reset()
                trainer.train(SENTENCES, PACKAGE.roundSettings)
                trainer.writeUpdate(file)
            }
            val manifest = File(packageCopy(File(directory, "other")), PhonePackage.MANIFEST)
            manifest.writeSealed(manifest.readText().replace("\"fedavg\"", "\"fedsgd\""))
            withTrainer(PhonePackage.open(manifest.parentFile)) { trainer, _ ->
                trainer.train(SENTENCES, PACKAGE.roundSettings)
                assertFailsWith<IllegalStateException> { trainer.writeUpdate(file) }
            }
        }
    },
    "an update does not say when it was made, and counts what was learned from" to {
        inTemporary { directory ->
            val file = File(directory, "update.npz")
            withTrainer { trainer, _ ->
                var asked = 0
                trainer.train(SENTENCES, PACKAGE.roundSettings.copy(batchSize = 2)) { asked++ == 2 }
                trainer.writeUpdate(file)
            }
            assertEquals(4, UpdateFile.readMetadata(file).sentences)
            val times = ZipFile(file).use { zip -> zip.entries().toList().map { it.timeLocal } }
            assertEquals(List(7) { LocalDateTime.of(1980, 2, 1, 0, 0) }, times)
        }
    },
    "NumPy reads an update" to {
        inTemporary { directory ->
            val file = File(directory, "update.npz")
            withTrainer { trainer, _ ->
                assertFailsWith<IllegalStateException> { trainer.writeUpdate(file) }
                val initial = trainer.weights()
                val trained = trainer.train(SENTENCES.take(PACKAGE.maximumSentences), PACKAGE.roundSettings)
                trainer.writeUpdate(file)
                val difference = trainer.weights() - initial
                val said = JsonObject.read(python(DESCRIBE, file.path))
                val metadata = said.objectOf("metadata")
                assertEquals("fedkeyboard.update", metadata.string("format"))
                assertEquals("update", metadata.string("purpose"))
                assertEquals(PACKAGE.weightsSha256, metadata.string("weights_sha256"))
                assertEquals(PACKAGE.vocabularySha256, metadata.string("vocabulary_sha256"))
                assertEquals(if (PACKAGE.weighsBySentences) 5.0 else 1.0, metadata.number("weight"))
                assertEquals(5, metadata.int("sentences"))
                assertEquals(trained.losses.size, metadata.int("steps"))
                assertEquals(trained.losses.average(), metadata.number("loss"), 1e-6)
                for ((name, tensor) in difference.tensors) {
                    val array = said.objectOf(name)
                    assertEquals(tensor.shape.map(Int::toDouble), array.list("shape"))
                    assertEquals("<f4", array.string("type"))
                    assertEquals(sha256(littleEndian(tensor.values)), array.string("sha256"))
                }
            }
        }
    },
)

private const val PERSONAL = "personal.npz"

private const val DESCRIBE = """
import hashlib, json, sys
import numpy
with numpy.load(sys.argv[1]) as file:
    said = {"metadata": json.loads(file["metadata.json"])}
    for name in set(file.files) - {"metadata.json"}:
        array = file[name]
        sha256 = hashlib.sha256(array.tobytes()).hexdigest()
        said[name] = {"shape": array.shape, "type": array.dtype.str, "sha256": sha256}
print(json.dumps(said))
"""

private fun python(program: String, vararg arguments: String): String {
    val process = ProcessBuilder(PYTHON, "-c", program, *arguments)
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start()
    return process.inputStream.readBytes().decodeToString().also { assertEquals(0, process.waitFor()) }
}

/** Learns for a night, and returns the weights that were saved. */
private fun learn(directory: File): Weights {
    var learned: Weights? = null
    withTrainer { trainer, _ ->
        trainer.train(SENTENCES)
        trainer.savePersonal(directory)
        learned = trainer.weights()
    }
    return learned!!
}

/** Returns a copy of the package in whose manifest a hash is another one. */
private fun renamed(directory: File, sha256: String): PhonePackage {
    val manifest = File(packageCopy(directory), PhonePackage.MANIFEST)
    manifest.writeSealed(manifest.readText().replace(sha256, "0".repeat(64)))
    return PhonePackage.open(directory)
}

private fun rewriteMetadata(file: File, change: (String) -> String) {
    val entries = ZipFile(file).use { zip ->
        zip.entries().toList().associate { it.name to zip.getInputStream(it).readBytes() }
    }
    ZipOutputStream(file.outputStream()).use { zip ->
        for ((name, bytes) in entries) {
            zip.putNextEntry(ZipEntry(name))
            zip.write(if (name == "metadata.json") change(bytes.decodeToString()).toByteArray() else bytes)
        }
    }
}

/** Adding a difference to what it was taken from rounds once more. */
private fun assertClose(one: Weights, other: Weights) {
    for ((name, tensor) in one.tensors) {
        val values = other.tensors.getValue(name).values
        val furthest = tensor.values.indices.maxOf { abs(tensor.values[it] - values[it]) }
        assertEquals(true, furthest < 1e-6f, "$name: $furthest")
    }
}
