package org.fedkeyboard

import java.util.concurrent.CompletableFuture
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit.SECONDS
import kotlin.math.abs
import kotlin.test.assertEquals

val ENGINE_TESTS = mapOf(
    "golden suggestions, each text in a new sentence" to {
        withEngine { engine, _ ->
            for (example in GOLDEN.objects("examples")) {
                engine.reset()
                assertGolden(example, engine.suggest(example.string("text")))
            }
        }
    },
    "golden suggestions, typed word by word and taken back" to {
        withEngine { engine, steps ->
            for (example in GOLDEN.objects("examples")) {
                val words = VOCABULARY.rules.of(example.string("text"))
                for (typed in words.indices) engine.suggest(words.take(typed).joinToString(" "))
                engine.suggest(words.joinToString(" ") + " zzyzxq")
                val before = steps.count
                assertGolden(example, engine.suggest(example.string("text")))
                assertEquals(before, steps.count, "a word taken back costs no step")
            }
        }
    },
    "without n-grams the model alone suggests" to {
        inTemporary { directory ->
            withEngine(withNGrams(directory, ngramsFile(PACKAGE.sizes.vocabulary))) { engine, runtime ->
                val words = listOf("how", "are", "you")
                val ids = listOf(Vocabulary.BEGIN) + VOCABULARY.encode(words.joinToString(" "))
                var after = mapOf<String, Tensor>(
                    "output" to PACKAGE.sizes.run { Floats(FloatArray(embedding), listOf(1, embedding)) },
                    "cell" to PACKAGE.sizes.run { Floats(FloatArray(units), listOf(1, units)) },
                )
                ids.forEachIndexed { typed, id ->
                    val word = "word" to Ints(intArrayOf(id), listOf(1))
                    after = runtime.run("step", after.filterKeys { it in setOf("output", "cell") } + word)
                    val suggested = engine.suggest(words.take(typed).joinToString(" "))
                    val said = after.ints("suggestions").map { VOCABULARY.shown[it] }
                    assertEquals(said, suggested.map { it.word })
                    for ((one, other) in after.floats("probabilities").values.zip(suggested)) {
                        assertEquals(one, other.probability, 1e-6f)
                    }
                }
            }
        }
    },
    "of equally likely words the first are suggested, and no special ones" to {
        inTemporary { directory ->
            withEngine(withNGrams(directory, ngramsFile(PACKAGE.sizes.vocabulary))) { engine, steps ->
                steps.indifferent = true
                assertEquals(VOCABULARY.shown.subList(4, 7), engine.suggest("i am").map { it.word })
            }
        }
    },
    "a finished word costs one step" to {
        withEngine { engine, steps ->
            engine.suggest("i am going")
            assertEquals(4, steps.count)
            engine.suggest("i am going to")
            assertEquals(5, steps.count)
        }
    },
    "a new request cancels those before: the newest wins" to {
        withEngine { engine, steps ->
            val answers = mutableListOf<String>()
            val last = CompletableFuture<List<Suggestion>>()
            steps.held = CountDownLatch(1)
            engine.request("i am going to go") { answers += "first" }
            steps.entered.await(10, SECONDS)
            engine.request("how are") { answers += "second" }
            engine.request("what do you") { last.complete(it.getOrThrow()) }
            steps.held!!.countDown()
            assertEquals(engineSays("what do you"), last.get(10, SECONDS))
            assertEquals(emptyList<String>(), answers)
            assertEquals(1 + 3, steps.count, "the first ended at the begin token, the second did nothing")
        }
    },
    "cancel drops the pending request, and the next one is right" to {
        withEngine { engine, steps ->
            var answered = false
            steps.held = CountDownLatch(1)
            engine.request("i am going to go") { answered = true }
            steps.entered.await(10, SECONDS)
            engine.cancel()
            steps.held!!.countDown()
            val next = CompletableFuture<List<Suggestion>>()
            engine.request("i am") { next.complete(it.getOrThrow()) }
            assertEquals(engineSays("i am"), next.get(10, SECONDS))
            assertEquals(false, answered)
        }
    },
    "what goes wrong is told" to {
        withEngine { engine, steps ->
            steps.broken = true
            val failed = CompletableFuture<Throwable?>()
            engine.request("i am") { failed.complete(it.exceptionOrNull()) }
            assertEquals("broken", failed.get(10, SECONDS)?.message)
        }
    },
)

/** LiteRT whose steps a test counts, holds up, breaks, or makes say the same of each word. */
private class Watched(private val runtime: Runtime) : Runtime by runtime {
    @Volatile var count = 0
    @Volatile var broken = false
    @Volatile var indifferent = false
    @Volatile var held: CountDownLatch? = null
    val entered = CountDownLatch(1)

    override fun run(signature: String, inputs: Map<String, Tensor>): Map<String, Tensor> {
        check(!broken) { "broken" }
        count++
        entered.countDown()
        held?.await(10, SECONDS)
        val said = runtime.run(signature, inputs)
        if (indifferent) said.floats("log_probabilities").values.fill(-9f)
        return said
    }
}

private fun withEngine(phonePackage: PhonePackage = PACKAGE, test: (SuggestionEngine, Watched) -> Unit) {
    BridgedRuntime(phonePackage.file(PhonePackage.INFERENCE)).use { runtime ->
        val watched = Watched(runtime)
        SuggestionEngine(watched, VOCABULARY, phonePackage).use { test(it, watched) }
    }
}

private fun engineSays(sentence: String): List<Suggestion> {
    var said = emptyList<Suggestion>()
    withEngine { engine, _ -> said = engine.suggest(sentence) }
    return said
}

/** As docs/package.md says: a word must be the same only where it stands apart from its neighbours. */
private fun assertGolden(example: JsonObject, suggested: List<Suggestion>) {
    val tolerance = GOLDEN.number("probability_tolerance")
    val said = example.list("probabilities").map { it as Double }
    val text = example.string("text")
    suggested.forEachIndexed { i, suggestion ->
        assertEquals(true, abs(suggestion.probability - said[i]) <= tolerance, text)
        val fromBefore = i == 0 || said[i - 1] - said[i] > 2 * tolerance
        val fromNext = i + 1 < said.size && said[i] - said[i + 1] > 2 * tolerance
        if (fromBefore && fromNext) assertEquals(example.list("suggestions")[i], suggestion.word, text)
    }
    assertEquals(said.size, suggested.size)
}
