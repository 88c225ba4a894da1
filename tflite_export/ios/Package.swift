// swift-tools-version: 6.0
import PackageDescription

#if os(Linux)
    // To test it without a Mac: `make test-ios`.
    let system: [Target] = [
        .target(name: "TensorFlowLiteC", path: "Linux/TensorFlowLiteC"),
        .systemLibrary(name: "OpenSSL", path: "Linux/OpenSSL"),
        .target(name: "CryptoKit", dependencies: ["OpenSSL"], path: "Linux/CryptoKit"),
    ]
#else
    let system: [Target] = [
        // README.md says where it is from.
        .binaryTarget(name: "TensorFlowLiteC", path: "Frameworks/TensorFlowLiteC.xcframework")
    ]
#endif

let package = Package(
    name: "FedKeyboard",
    platforms: [.iOS(.v13)],
    products: [.library(name: "FedKeyboard", targets: ["FedKeyboard"])],
    targets: system + [
        .target(
            name: "FedKeyboard",
            dependencies: system.map { .byName(name: $0.name) },
            linkerSettings: [.linkedLibrary("c++", .when(platforms: [.iOS]))]
        ),
        .testTarget(name: "FedKeyboardTests", dependencies: ["FedKeyboard"]),
    ],
    cxxLanguageStandard: .cxx17
)
