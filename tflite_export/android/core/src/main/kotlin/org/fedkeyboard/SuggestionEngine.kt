package org.fedkeyboard

import java.io.Closeable
import java.util.concurrent.CancellationException
import java.util.concurrent.Executor
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicInteger
import kotlin.math.exp

/** A word that may come next, and its probability. */
data class Suggestion(val word: String, val probability: Float)

/**
 * Suggests the next word while a sentence is typed.
 *
 * What the model says is mixed with the package's n-grams, which are read here. It keeps the model's state
 * after each finished word, so that a word costs one step, and a word taken back none. [deliver] runs what
 * [request] was given; on Android, the main thread's executor.
 *
 * @param runtime of `model_infer.tflite`, or, to suggest what a [LocalTrainer] learned, its runtime.
 *   Whoever opened it closes it, after this engine.
 */
class SuggestionEngine(
    private val runtime: Runtime,
    private val vocabulary: Vocabulary,
    phonePackage: PhonePackage,
    private val deliver: Executor = Executor { it.run() },
) : Closeable {
    private class Step(val word: Int, val state: Map<String, Tensor>, val suggestions: List<Suggestion>)

    private val ngrams = phonePackage.ngrams()
    private val start = phonePackage.sizes.let {
        mapOf(
            "output" to Floats(FloatArray(it.embedding), listOf(1, it.embedding)),
            "cell" to Floats(FloatArray(it.units), listOf(1, it.units)),
        )
    }

    /** The begin token and the finished words; guarded by [runtime]'s monitor. */
    private val steps = ArrayList<Step>()
    private val newest = AtomicInteger()
    private val worker =
        Executors.newSingleThreadExecutor { Thread(it, "fedkeyboard").apply { isDaemon = true } }

    /**
     * Returns the three likeliest words after [sentence]: the text from the sentence's begin, its last
     * word finished. It takes its time on the caller's thread.
     */
    fun suggest(sentence: String): List<Suggestion> = suggest(sentence) { false }

    /**
     * Does the same on a thread of its own. [done] gets the suggestions, or what went wrong, unless a
     * newer request or [cancel] came before: the newest wins, and the others end at their next step.
     */
    fun request(sentence: String, done: (Result<List<Suggestion>>) -> Unit) {
        val mine = newest.incrementAndGet()
        worker.execute {
            val result = runCatching { suggest(sentence) { newest.get() != mine } }
            // Asked again there: if keys come on the same thread, nothing old is ever shown.
            deliver.execute { if (newest.get() == mine) done(result) }
        }
    }

    /** Drops the pending request, if there is one; its `done` is not called. */
    fun cancel() {
        newest.incrementAndGet()
    }

    /** Forgets the sentence: after one was sent, or when the weights have changed. */
    fun reset() = synchronized(runtime) { steps.clear() }

    /** Ends the engine's thread. Waiting requests are dropped. */
    override fun close() {
        cancel()
        worker.shutdown()
    }

    private fun suggest(sentence: String, cancelled: () -> Boolean): List<Suggestion> =
        synchronized(runtime) {
            val ids = listOf(Vocabulary.BEGIN) + vocabulary.encode(sentence)
            val known = steps.zip(ids).takeWhile { (step, id) -> step.word == id }.size
            steps.subList(known, steps.size).clear()
            for (id in ids.drop(known)) {
                if (cancelled()) throw CancellationException()
                steps += step(id)
            }
            steps.last().suggestions
        }

    private fun step(word: Int): Step {
        val before = steps.lastOrNull()?.state ?: start
        val after = runtime.run("score", before + ("word" to Ints(intArrayOf(word), listOf(1))))
        val said = after.floats("log_probabilities").values
        val probabilities = DoubleArray(said.size) { exp(said[it].toDouble()) }
        ngrams.mix(probabilities, steps.map { it.word } + word)
        val suggestions = best(probabilities).map {
            Suggestion(vocabulary.shown[it], probabilities[it].toFloat())
        }
        // A probability of each entry would be much to keep for each word.
        return Step(word, after - "log_probabilities", suggestions)
    }

    /** Returns the likeliest words' ids, best first, of equals the lower one. */
    private fun best(probabilities: DoubleArray): List<Int> {
        val best = ArrayList<Int>(SUGGESTIONS + 1)
        for (id in Vocabulary.SPECIAL.size until probabilities.size) {
            val place = best.indexOfLast { probabilities[it] >= probabilities[id] } + 1
            if (place == SUGGESTIONS) continue
            best.add(place, id)
            if (best.size > SUGGESTIONS) best.removeAt(SUGGESTIONS)
        }
        return best
    }

    private companion object {
        const val SUGGESTIONS = 3
    }
}
