// Not an Android module, so that no class of Android gets in.
plugins {
    kotlin("jvm")
}

kotlin {
    jvmToolchain(17)
}

// They are no tests of JUnit: `make test-android` runs them.
tasks.test { enabled = false }

dependencies {
    testImplementation(kotlin("test"))
}
