package org.fedkeyboard.litert

import android.content.Context
import java.io.File
import org.fedkeyboard.PhonePackage

/** Where the package and the personal checkpoint are: the app's own, and in no backup. */
fun storage(context: Context): File = File(context.noBackupFilesDir, "fedkeyboard")

/** Opens the package in the app's assets, after a copy to [storage] if the app brought another. */
fun openPackage(context: Context, assets: String = "fedkeyboard"): PhonePackage {
    val directory = File(storage(context), "package")
    val brought = context.assets.open("$assets/${PhonePackage.MANIFEST}").use { it.readBytes() }
    val manifest = File(directory, PhonePackage.MANIFEST)
    if (!manifest.isFile || !manifest.readBytes().contentEquals(brought)) {
        directory.deleteRecursively()
        directory.mkdirs()
        for (name in listOf(PhonePackage.INFERENCE, PhonePackage.TRAINING, PhonePackage.VOCABULARY)) {
            context.assets.open("$assets/$name").use { asset ->
                File(directory, name).outputStream().use { asset.copyTo(it) }
            }
        }
        // Last: it says that the others are there.
        manifest.writeBytes(brought)
    }
    return PhonePackage.open(directory)
}
