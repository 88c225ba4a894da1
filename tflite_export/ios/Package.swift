// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "FedKeyboard",
    platforms: [.iOS(.v13)],
    products: [.library(name: "FedKeyboard", targets: ["FedKeyboard"])],
    targets: [
        // README.md says where it is from.
        .binaryTarget(name: "TensorFlowLiteC", path: "Frameworks/TensorFlowLiteC.xcframework"),
        .target(
            name: "FedKeyboard",
            dependencies: ["TensorFlowLiteC"],
            linkerSettings: [.linkedLibrary("c++")]
        ),
        .testTarget(name: "FedKeyboardTests", dependencies: ["FedKeyboard"]),
    ]
)
