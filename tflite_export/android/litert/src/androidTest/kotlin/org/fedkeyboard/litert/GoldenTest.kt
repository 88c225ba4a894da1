package org.fedkeyboard.litert

import androidx.test.platform.app.InstrumentationRegistry
import org.fedkeyboard.LearningSettings
import org.fedkeyboard.LocalTrainer
import org.fedkeyboard.PhonePackage
import org.fedkeyboard.SuggestionEngine
import org.fedkeyboard.Vocabulary
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Test

/** The package in `src/androidTest/assets/fedkeyboard`, `golden.json` with it, in LiteRT on a device. */
class GoldenTest {
    private val context = InstrumentationRegistry.getInstrumentation().targetContext
    private val fedKeyboard = openPackage(context)
    private val vocabulary = fedKeyboard.vocabulary()
    private val golden =
        JSONObject(context.assets.open("fedkeyboard/golden.json").use { it.readBytes() }.decodeToString())

    @Test
    fun suggestions() {
        val tolerance = golden.getDouble("probability_tolerance")
        LiteRtRuntime(fedKeyboard.file(PhonePackage.INFERENCE)).use { runtime ->
            SuggestionEngine(runtime, vocabulary, fedKeyboard).use { engine ->
                for (example in golden.getJSONArray("examples").objects()) {
                    val text = example.getString("text")
                    val said = example.getJSONArray("probabilities").let { List(it.length(), it::getDouble) }
                    val suggested = engine.suggest(text)
                    assertEquals(text, said.size, suggested.size)
                    // Words nearly as likely as each other may change places.
                    val apart = said.zipWithNext { one, next -> one - next > 2 * tolerance }
                    suggested.forEachIndexed { i, suggestion ->
                        assertEquals(text, said[i], suggestion.probability.toDouble(), tolerance)
                        if (i < apart.size && apart[i] && (i == 0 || apart[i - 1])) {
                            assertEquals(text, example.getJSONArray("suggestions").getString(i), suggestion.word)
                        }
                    }
                }
            }
        }
    }

    @Test
    fun ngrams() {
        val tolerance = golden.getDouble("ngram_tolerance")
        val ngrams = fedKeyboard.ngrams()
        for (example in golden.getJSONArray("examples").objects()) {
            val text = example.getString("text")
            val words = listOf(Vocabulary.BEGIN) + vocabulary.encode(text)
            val added = DoubleArray(fedKeyboard.sizes.vocabulary).also { ngrams.mix(it, words) }
            val mixed = DoubleArray(added.size) { 1.0 }.also { ngrams.mix(it, words) }
            val said = example.getJSONObject("ngrams")
            assertEquals(text, said.getDouble("kept"), mixed[0] - added[0], tolerance)
            val most = added.sortedDescending()
            said.getJSONArray("added").let { List(it.length(), it::getJSONArray) }.forEachIndexed { i, pair ->
                assertEquals(text, pair.getDouble(1), added[pair.getInt(0)], tolerance)
                assertEquals(text, pair.getDouble(1), most[i], tolerance)
            }
        }
    }

    @Test
    fun training() {
        val training = golden.getJSONObject("training")
        val texts = training.getJSONArray("texts").let { List(it.length(), it::getString) }
        val losses = training.getJSONArray("losses").let { List(it.length(), it::getDouble) }
        LiteRtRuntime(fedKeyboard.file(PhonePackage.TRAINING)).use { runtime ->
            val trainer = LocalTrainer(runtime, vocabulary, fedKeyboard)
            assertEquals(fedKeyboard.weightsSha256, trainer.weights().sha256())
            val settings = LearningSettings(
                training.getDouble("learning_rate").toFloat(),
                training.getDouble("clipping_norm").toFloat(),
                batchSize = texts.size,
                epochs = losses.size,
            )
            val trained = trainer.train(texts, settings)
            assertEquals(losses.size, trained.losses.size)
            losses.zip(trained.losses).forEach { (said, seen) ->
                assertEquals(said, seen.toDouble(), training.getDouble("loss_tolerance"))
            }
            trainer.reset()
            assertEquals(fedKeyboard.weightsSha256, trainer.weights().sha256())
        }
    }

    private fun JSONArray.objects() = List(length(), ::getJSONObject)
}
