package org.fedkeyboard

import java.io.IOException

/** A file is not what it should be: the package, a personal checkpoint or an update. */
class FedKeyboardException(message: String, cause: Throwable? = null) : IOException(message, cause)

/** Training has made weights that are not finite: the learning rate is too high for what was typed. */
class DivergedException : IllegalStateException("training has diverged")
