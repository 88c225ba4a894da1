plugins {
    id("com.android.library")
    kotlin("android")
}

android {
    namespace = "org.fedkeyboard.litert"
    compileSdk = 35
    defaultConfig {
        minSdk = 24
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
    }
}

kotlin {
    jvmToolchain(17)
}

dependencies {
    api(project(":core"))
    api("androidx.work:work-runtime:2.10.1")
    // The line that is the Interpreter alone. No select-tf-ops: the package has builtin operators only.
    implementation("com.google.ai.edge.litert:litert:1.4.2")
    androidTestImplementation("androidx.test:runner:1.6.2")
    androidTestImplementation("junit:junit:4.13.2")
}
