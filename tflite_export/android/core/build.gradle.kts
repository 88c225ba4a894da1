// Not an Android module, so that no class of Android gets in. `make test-android` runs the tests.
plugins {
    kotlin("jvm")
}

kotlin {
    jvmToolchain(17)
}

dependencies {
    testImplementation(kotlin("test"))
}
