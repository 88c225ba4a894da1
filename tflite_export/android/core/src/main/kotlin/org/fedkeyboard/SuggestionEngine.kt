package org.fedkeyboard

import java.io.Closeable
import java.util.concurrent.CancellationException
import java.util.concurrent.Executor
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicInteger

/** A word that may come next, and its probability. */
data class Suggestion(val word: String, val probability: Float)

/**
 * Suggests the next word while a sentence is typed.
 *
 * It keeps the model's state after each finished word, so that a word costs one step, and a word
 * taken back none. [deliver] runs what [request] was given; on Android, the main thread's executor.
 *
 * @param runtime of `model_infer.tflite`, or, to suggest what a [LocalTrainer] learned, its runtime.
 *   Whoever opened it closes it, after this engine.
 */
class SuggestionEngine(
    private val runtime: Runtime,
    private val vocabulary: Vocabulary,
    sizes: Sizes,
    private val deliver: Executor = Executor { it.run() },
) : Closeable {
    private class Step(val word: Int, val after: Map<String, Tensor>)

    private val start = mapOf(
        "output" to Floats(FloatArray(sizes.embedding), listOf(1, sizes.embedding)),
        "cell" to Floats(FloatArray(sizes.units), listOf(1, sizes.units)),
    )

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
                steps += Step(id, runtime.run("step", inputs(id, steps.lastOrNull()?.after ?: start)))
            }
            val after = steps.last().after
            val probabilities = after.floats("probabilities").values
            after.ints("suggestions").mapIndexed { i, id -> Suggestion(vocabulary.shown[id], probabilities[i]) }
        }

    private fun inputs(word: Int, before: Map<String, Tensor>): Map<String, Tensor> = mapOf(
        "word" to Ints(intArrayOf(word), listOf(1)),
        "output" to before.floats("output"),
        "cell" to before.floats("cell"),
    )
}
