package org.fedkeyboard.litert

import android.content.Context
import java.io.File
import java.io.FileOutputStream
import java.io.RandomAccessFile
import java.util.UUID
import org.fedkeyboard.FedKeyboardException
import org.fedkeyboard.LocalTrainer
import org.fedkeyboard.PhonePackage

private val FILES = listOf(
    PhonePackage.INFERENCE,
    PhonePackage.TRAINING,
    PhonePackage.NGRAMS,
    PhonePackage.VOCABULARY,
    PhonePackage.SPELLINGS,
    PhonePackage.CHARACTERS,
)

/** Where the package and the personal checkpoint are: the app's own, and in no backup. */
fun storage(context: Context): File = File(context.noBackupFilesDir, "fedkeyboard")

/**
 * Opens the package in the app's assets, after a copy to [storage] if the app brought another, or if
 * the copy is damaged. Keyboard and worker may both ask at once, also from two processes.
 */
fun openPackage(context: Context, assets: String = "fedkeyboard"): PhonePackage = locked(context) {
    val directory = File(storage(context), "package")
    val brought = context.assets.open("$assets/${PhonePackage.MANIFEST}").use { it.readBytes() }
    if (!isWhole(directory, brought)) {
        // Beside it and then renamed: what is open of the old package stays as it is.
        val copy = File(storage(context), "package.new")
        copy.deleteRecursively()
        copy.mkdirs()
        for (name in FILES) {
            context.assets.open("$assets/$name").use { asset ->
                FileOutputStream(File(copy, name)).use {
                    asset.copyTo(it)
                    it.fd.sync()
                }
            }
        }
        File(copy, PhonePackage.MANIFEST).writeBytes(brought)
        directory.deleteRecursively()
        if (!copy.renameTo(directory)) throw FedKeyboardException("$directory: cannot be written")
    }
    PhonePackage.open(directory)
}

/**
 * Forgets what was learned, also what a worker is learning now. What was typed is in the app's own
 * store, and the app's to delete.
 */
fun forgetPersonal(context: Context) = locked(context) {
    // First: then a kill in between forgets too little, but is seen, and what is learned now is not kept.
    forgotten(context).writeText(UUID.randomUUID().toString())
    LocalTrainer.personalFile(storage(context)).delete()
}

/** Returns what changes with each [forgetPersonal]. */
internal fun generation(context: Context): String =
    forgotten(context).let { if (it.isFile) it.readText() else "" }

/** Keeps what [trainer] learned, and returns true; unless there was a [forgetPersonal] since [begun]. */
internal fun savePersonal(context: Context, trainer: LocalTrainer, begun: String): Boolean = locked(context) {
    val wanted = generation(context) == begun
    if (wanted) trainer.savePersonal(storage(context))
    wanted
}

/** Runs [block] while no other thread or process is in one. */
private fun <T> locked(context: Context, block: () -> T): T = synchronized(FILES) {
    storage(context).mkdirs()
    RandomAccessFile(File(storage(context), "lock"), "rw").channel.use { channel ->
        channel.lock().use { block() }
    }
}

private fun forgotten(context: Context) = File(storage(context), "forgotten")

private fun isWhole(directory: File, manifest: ByteArray): Boolean {
    val file = File(directory, PhonePackage.MANIFEST)
    if (!file.isFile || !file.readBytes().contentEquals(manifest)) return false
    return try {
        PhonePackage.open(directory).run { FILES.forEach(::file) }
        true
    } catch (_: FedKeyboardException) {
        false
    }
}
