package org.fedkeyboard

import java.io.File

/** How to learn; the defaults, for the phone's user, are what docs/accuracy.md found. */
data class LearningSettings(
    val learningRate: Float = 0.1f,
    val clippingNorm: Float = 1f,
    val batchSize: Int = 16,
    val epochs: Int = 3,
)

/**
 * Of the model alone, without n-grams: the mean loss over all targets, in nats; and the words among them:
 * all, hit by one, hit by three.
 */
data class Evaluated(val loss: Float, val words: Int, val top1Hits: Int, val top3Hits: Int)

/**
 * What [LocalTrainer.train] did.
 *
 * @property losses each step's, before the step.
 * @property finished false if it was stopped; the weights have learned from the steps taken.
 * @property before what the model said to the sentences held out, if any, and [after], likewise.
 */
class Trained(
    val sentences: Int,
    val losses: List<Float>,
    val finished: Boolean,
    val before: Evaluated?,
    val after: Evaluated?,
)

/** What became of a personal checkpoint. */
enum class Loaded {
    /** There is none. */
    NONE,

    /** It is of this package, and its weights are in use. */
    LOADED,

    /** It is of another package with the same vocabulary, and was added to this one's weights. */
    MIGRATED,

    /** It is of another package, or damaged; the package's own weights are in use. */
    REFUSED,
}

/**
 * Learns from sentences with `model_train.tflite`. Nothing leaves the phone.
 *
 * Safe for threads. A step holds [runtime]; whoever opened that closes it.
 */
class LocalTrainer(
    private val runtime: Runtime,
    private val vocabulary: Vocabulary,
    private val phonePackage: PhonePackage,
) {
    /** What the weights have learned since they were the package's. */
    private var sentences = 0
    private var steps = 0
    private var lossOfSteps = 0.0
    private var settings = LearningSettings()

    /** Whether what [loadPersonal] brought is in the weights. */
    private var isPersonal = false

    /**
     * Trains batch after batch, epoch after epoch.
     *
     * @param heldOut which share of the sentences, the last ones, only evaluates; none by default.
     * @param stop asked before each step, for a worker that the system ends.
     * @throws DivergedException if the weights are of no use any more: [reset], or load others.
     */
    fun train(
        sentences: List<String>,
        settings: LearningSettings = LearningSettings(),
        heldOut: Double = 0.0,
        stop: () -> Boolean = { false },
    ): Trained {
        val all = rows(sentences)
        val rows = all.dropLast((heldOut * all.size).toInt())
        val aside = all.drop(rows.size)
        val before = if (aside.isEmpty()) null else evaluateRows(aside, settings.batchSize)
        val losses = mutableListOf<Float>()
        val batches = sequence { repeat(settings.epochs) { yieldAll(rows.chunked(settings.batchSize)) } }
        var finished = true
        for (batch in batches) {
            if (stop()) {
                finished = false
                break
            }
            losses += step(batch, settings)
        }
        synchronized(runtime) {
            // Not those that it did not get to: an update counts by its sentences.
            this.sentences += minOf(rows.size, losses.size * settings.batchSize)
            this.settings = settings
        }
        val after = if (aside.isEmpty()) null else evaluateRows(aside, settings.batchSize)
        return Trained(rows.size, losses, finished, before, after)
    }

    /** Counts what the model suggests for [sentences], of which at least one must have a word. */
    fun evaluate(sentences: List<String>, batchSize: Int = LearningSettings().batchSize): Evaluated =
        evaluateRows(rows(sentences), batchSize)

    /** Returns a copy of the weights. */
    fun weights(): Weights {
        val said = run("get_weights", mapOf("anything" to Floats(0f)))
        return Weights(Weights.NAMES.associateWith { said.floats(it) })
    }

    /** Replaces the weights. */
    fun setWeights(weights: Weights) {
        run("set_weights", weights.tensors)
    }

    /** Goes back to the package's weights, and forgets what was learned. */
    fun reset() = synchronized(runtime) {
        run("reset", mapOf("anything" to Floats(0f)))
        sentences = 0
        steps = 0
        lossOfSteps = 0.0
        isPersonal = false
    }

    /**
     * Keeps the weights in [directory], which the app alone reads, and no backup.
     *
     * @throws DivergedException if they are not finite; what was kept before stays.
     */
    fun savePersonal(directory: File) = synchronized(runtime) {
        directory.mkdirs()
        UpdateFile.write(personalFile(directory), metadata(Purpose.PERSONAL, 0.0), difference())
    }

    /**
     * Goes on from what [savePersonal] kept in [directory].
     *
     * @param migrate whether to add what was learned to a newer package's weights.
     * @throws java.io.IOException if it cannot be read now, which says nothing of what is in it.
     */
    fun loadPersonal(directory: File, migrate: Boolean = true): Loaded = synchronized(runtime) {
        reset()
        val file = personalFile(directory)
        if (!file.exists()) return Loaded.NONE
        try {
            val metadata = UpdateFile.readMetadata(file)
            val same = metadata.weightsSha256 == phonePackage.weightsSha256
            // The rows of the embedding are words: of another vocabulary, they mean other words.
            val usable = metadata.vocabularySha256 == phonePackage.vocabularySha256 && (same || migrate)
            if (metadata.purpose != Purpose.PERSONAL || !usable) return Loaded.REFUSED
            setWeights(weights() + UpdateFile.readDifference(file, Weights.shapes(phonePackage.sizes)))
            sentences = metadata.sentences
            steps = metadata.steps
            lossOfSteps = (metadata.loss ?: 0.0) * steps
            settings = metadata.settings
            isPersonal = true
            if (same) Loaded.LOADED else Loaded.MIGRATED
        } catch (_: FedKeyboardException) {
            Loaded.REFUSED
        }
    }

    /**
     * Writes what was learned to [file], as an update for a server.
     *
     * An update is of one round: train with [PhonePackage.roundSettings] from the package's weights,
     * write. What [loadPersonal] brought is its user's own, and stays on the phone.
     *
     * @throws DivergedException if the weights are not finite.
     */
    fun writeUpdate(file: File) = synchronized(runtime) {
        check(phonePackage.algorithm == "fedavg") { "phones of ${phonePackage.algorithm} send no updates" }
        check(!isPersonal) { "a personal checkpoint is loaded, which stays on the phone" }
        check(steps > 0) { "nothing was learned" }
        val weight = if (phonePackage.weighsBySentences) sentences.toDouble() else 1.0
        UpdateFile.write(file, metadata(Purpose.UPDATE, weight), difference())
    }

    private fun rows(sentences: List<String>): List<IntArray> =
        vocabulary.rows(sentences, phonePackage.sizes.length)

    private fun step(batch: List<IntArray>, settings: LearningSettings): Float = synchronized(runtime) {
        val numbers = mapOf(
            "learning_rate" to Floats(settings.learningRate),
            "clipping_norm" to Floats(settings.clippingNorm),
        )
        val loss = run("train", batchOf(batch) + numbers).float("loss")
        if (!loss.isFinite()) throw DivergedException()
        steps++
        lossOfSteps += loss
        loss
    }

    private fun evaluateRows(rows: List<IntArray>, batchSize: Int): Evaluated {
        require(rows.isNotEmpty()) { "no sentence has a word" }
        var loss = 0.0
        var targets = 0
        val counts = IntArray(3)
        for (batch in rows.chunked(batchSize)) {
            val said = run("evaluate", batchOf(batch))
            val inBatch = batch.sumOf { row -> row.drop(1).count { it != Vocabulary.PAD } }
            loss += said.float("loss").toDouble() * inBatch
            targets += inBatch
            COUNTS.forEachIndexed { i, name -> counts[i] += said.ints(name).single() }
        }
        return Evaluated((loss / targets).toFloat(), counts[0], counts[1], counts[2])
    }

    private fun batchOf(rows: List<IntArray>): Map<String, Tensor> {
        val length = phonePackage.sizes.length
        val sentences = rows.flatMap { it.asList() }.toIntArray()
        val mask = rows.flatMap { row -> row.drop(1).map { if (it == Vocabulary.PAD) 0f else 1f } }
        return mapOf(
            "sentences" to Ints(sentences, listOf(rows.size, length + 1)),
            "mask" to Floats(mask.toFloatArray(), listOf(rows.size, length)),
        )
    }

    /** From the package's weights, which are in the file and need not be kept in memory. */
    private fun difference(): Weights {
        val learned = weights()
        run("reset", mapOf("anything" to Floats(0f)))
        val difference = try {
            learned - weights()
        } finally {
            setWeights(learned)
        }
        // The last step's loss was of the weights before it.
        if (!difference.isFinite()) throw DivergedException()
        return difference
    }

    private fun metadata(purpose: Purpose, weight: Double) = UpdateMetadata(
        purpose,
        phonePackage.weightsSha256,
        phonePackage.vocabularySha256,
        weight,
        sentences,
        steps,
        if (steps == 0) null else lossOfSteps / steps,
        settings,
    )

    private fun run(signature: String, inputs: Map<String, Tensor>): Map<String, Tensor> =
        synchronized(runtime) { runtime.run(signature, inputs) }

    companion object {
        private val COUNTS = listOf("words", "top1_hits", "top3_hits")

        /** What [savePersonal] writes in [directory]. To forget what was learned, delete it. */
        fun personalFile(directory: File): File = File(directory, "personal.npz")
    }
}
