package org.fedkeyboard.litert

import android.content.Context
import androidx.work.Constraints
import androidx.work.ExistingPeriodicWorkPolicy
import androidx.work.PeriodicWorkRequest
import androidx.work.WorkManager
import androidx.work.Worker
import androidx.work.WorkerParameters
import java.util.concurrent.TimeUnit
import org.fedkeyboard.DivergedException
import org.fedkeyboard.LocalTrainer
import org.fedkeyboard.PhonePackage

/**
 * Learns from what was typed while the phone is idle and charging.
 *
 * The app says in a subclass what that is, and schedules it once with [schedule]. It is learned in
 * portions, each saved before the next: WorkManager ends a worker after ten minutes, or when the user
 * is back.
 */
abstract class LearnWorker(context: Context, parameters: WorkerParameters) : Worker(context, parameters) {
    /** Returns the sentences that were not learned from yet, oldest first. */
    protected abstract fun sentences(): List<String>

    /** Deletes [sentences]: the personal checkpoint knows them now. */
    protected abstract fun forget(sentences: List<String>)

    override fun doWork(): Result {
        val begun = generation(applicationContext)
        val phonePackage = openPackage(applicationContext)
        LiteRtRuntime(phonePackage.file(PhonePackage.TRAINING)).use { runtime ->
            val trainer = LocalTrainer(runtime, phonePackage.vocabulary(), phonePackage)
            trainer.loadPersonal(storage(applicationContext))
            for (portion in sentences().chunked(PORTION)) {
                try {
                    val trained = trainer.train(portion) { isStopped }
                    // The next night has this portion again.
                    if (!trained.finished) return Result.success()
                    if (trained.losses.isNotEmpty() && !savePersonal(applicationContext, trainer, begun)) {
                        return Result.success()
                    }
                } catch (_: DivergedException) {
                    // Or it would diverge each night.
                    trainer.loadPersonal(storage(applicationContext))
                }
                forget(portion)
            }
        }
        return Result.success()
    }

    companion object {
        private const val NAME = "fedkeyboard"

        /** Sentences. On a phone that takes 0.3 s for a step of 16, three epochs take half a minute. */
        private const val PORTION = 500

        /** Runs [worker] about once a day, when the phone is idle, charging and its battery not low. */
        fun schedule(context: Context, worker: Class<out LearnWorker>) {
            val constraints = Constraints.Builder()
                .setRequiresDeviceIdle(true)
                .setRequiresCharging(true)
                .setRequiresBatteryNotLow(true)
                .build()
            val request = PeriodicWorkRequest.Builder(worker, 1, TimeUnit.DAYS).setConstraints(constraints).build()
            WorkManager.getInstance(context)
                .enqueueUniquePeriodicWork(NAME, ExistingPeriodicWorkPolicy.KEEP, request)
        }

        /** Learns no more, until [schedule]. */
        fun cancel(context: Context) {
            WorkManager.getInstance(context).cancelUniqueWork(NAME)
        }
    }
}
