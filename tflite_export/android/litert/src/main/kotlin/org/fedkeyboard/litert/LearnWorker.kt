package org.fedkeyboard.litert

import android.content.Context
import androidx.work.Constraints
import androidx.work.ExistingPeriodicWorkPolicy
import androidx.work.PeriodicWorkRequest
import androidx.work.WorkManager
import androidx.work.Worker
import androidx.work.WorkerParameters
import java.util.concurrent.TimeUnit
import org.fedkeyboard.LocalTrainer
import org.fedkeyboard.PhonePackage

/**
 * Learns from what was typed while the phone is idle and charging.
 *
 * The app says in a subclass what that is, and schedules it once with [schedule].
 */
abstract class LearnWorker(context: Context, parameters: WorkerParameters) : Worker(context, parameters) {
    /** Returns the sentences that were not learned from yet. */
    protected abstract fun sentences(): List<String>

    /** Deletes [sentences]: the personal checkpoint knows them now. */
    protected abstract fun forget(sentences: List<String>)

    override fun doWork(): Result {
        val sentences = sentences()
        val phonePackage = openPackage(applicationContext)
        LiteRtRuntime(phonePackage.file(PhonePackage.TRAINING)).use { runtime ->
            val trainer = LocalTrainer(runtime, phonePackage.vocabulary(), phonePackage)
            trainer.loadPersonal(storage(applicationContext))
            val trained = trainer.train(sentences) { isStopped }
            // The user is back. Nothing was saved, and the next night has these sentences again.
            if (!trained.finished) return Result.success()
            if (trained.losses.isNotEmpty()) trainer.savePersonal(storage(applicationContext))
        }
        forget(sentences)
        return Result.success()
    }

    companion object {
        /** Runs [worker] about once a day, when the phone is idle, charging and its battery not low. */
        fun schedule(context: Context, worker: Class<out LearnWorker>) {
            val constraints = Constraints.Builder()
                .setRequiresDeviceIdle(true)
                .setRequiresCharging(true)
                .setRequiresBatteryNotLow(true)
                .build()
            val request = PeriodicWorkRequest.Builder(worker, 1, TimeUnit.DAYS).setConstraints(constraints).build()
            WorkManager.getInstance(context)
                .enqueueUniquePeriodicWork("fedkeyboard", ExistingPeriodicWorkPolicy.KEEP, request)
        }
    }
}
