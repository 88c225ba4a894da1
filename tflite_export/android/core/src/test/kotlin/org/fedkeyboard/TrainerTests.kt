package org.fedkeyboard

import kotlin.test.assertEquals

val TRAINER_TESTS = mapOf(
    "golden training: rows and losses" to {
        withTrainer { trainer, _ ->
            val golden = GOLDEN.objectOf("training")
            val texts = golden.list("texts").map { it as String }
            val rows = VOCABULARY.rows(texts, PACKAGE.sizes.length)
            assertEquals(golden.list("rows"), rows.map { row -> row.map(Int::toDouble) })
            val losses = golden.list("losses").map { it as Double }
            val settings = LearningSettings(
                golden.number("learning_rate").toFloat(),
                golden.number("clipping_norm").toFloat(),
                batchSize = rows.size,
                epochs = losses.size,
            )
            val trained = trainer.train(texts, settings)
            assertEquals(losses.size, trained.losses.size)
            for ((said, seen) in losses.zip(trained.losses)) {
                assertEquals(said, seen.toDouble(), golden.number("loss_tolerance"))
            }
            assertEquals(rows.size, trained.sentences)
        }
    },
    "the weights have the manifest's name, and reset brings them back" to {
        withTrainer { trainer, _ ->
            assertEquals(PACKAGE.weightsSha256, trainer.weights().sha256())
            trainer.train(SENTENCES, LearningSettings(epochs = 1))
            assertEquals(false, trainer.weights().sha256() == PACKAGE.weightsSha256)
            trainer.reset()
            assertEquals(PACKAGE.weightsSha256, trainer.weights().sha256())
        }
    },
    "batches are of the size asked for, and the last has the rest" to {
        withTrainer { trainer, _ ->
            val trained = trainer.train(SENTENCES, LearningSettings(batchSize = 3, epochs = 2))
            assertEquals(4, trained.losses.size)
            assertEquals(5, trained.sentences)
        }
    },
    "evaluation does not depend on the batches" to {
        withTrainer { trainer, _ ->
            val whole = trainer.evaluate(SENTENCES)
            val split = trainer.evaluate(SENTENCES, batchSize = 2)
            assertEquals(whole.loss, split.loss, 1e-5f)
            assertEquals(whole.copy(loss = 0f), split.copy(loss = 0f))
            assertEquals(SENTENCES.sumOf { VOCABULARY.rules.of(it).size }, whole.words)
        }
    },
    "sentences held out are not learned from" to {
        withTrainer { trainer, _ ->
            val aside = trainer.evaluate(SENTENCES.takeLast(2))
            val trained = trainer.train(SENTENCES, LearningSettings(epochs = 2), heldOut = 0.4)
            assertEquals(3, trained.sentences)
            assertEquals(aside, trained.before)
            assertEquals(trainer.evaluate(SENTENCES.takeLast(2)), trained.after)
            trainer.reset()
            val plain = trainer.train(SENTENCES.take(3), LearningSettings(epochs = 2))
            assertEquals(plain.losses, trained.losses)
            assertEquals(null, plain.before)
        }
    },
    "training ends before the next step when it is told to" to {
        withTrainer { trainer, _ ->
            var asked = 0
            val trained = trainer.train(SENTENCES, LearningSettings(batchSize = 1)) { asked++ == 2 }
            assertEquals(2, trained.losses.size)
            assertEquals(false, trained.finished)
        }
    },
    "what was learned is suggested" to {
        withTrainer { trainer, runtime ->
            SuggestionEngine(runtime, VOCABULARY, PACKAGE).use { engine ->
                // A word that the model would not think of, after one that is too rare for n-grams.
                val word = VOCABULARY.entries[VOCABULARY.entries.size / 2]
                val begin = "i am going to ${VOCABULARY.entries.last()}"
                assertEquals(false, word in engine.suggest(begin).map { it.word })
                val sentences = List(16) { "$begin $word" }
                trainer.train(sentences, LearningSettings(learningRate = 1f, epochs = 30))
                engine.reset()
                assertEquals(word, engine.suggest(begin).first().word)
            }
        }
    },
)

val SENTENCES =
    listOf("see you at home", "i don't know what you mean", "ok", "how are you today", "thank you very much")

fun withTrainer(phonePackage: PhonePackage = PACKAGE, test: (LocalTrainer, Runtime) -> Unit) {
    BridgedRuntime(phonePackage.file(PhonePackage.TRAINING)).use { runtime ->
        test(LocalTrainer(runtime, VOCABULARY, phonePackage), runtime)
    }
}
