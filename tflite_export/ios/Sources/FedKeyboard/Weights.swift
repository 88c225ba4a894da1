import CryptoKit
import Foundation

/// The six weights, or a difference of them, by name.
public struct Weights: Sendable {
    /// In the order that names them in a manifest.
    static let names = ["embedding", "input_kernel", "recurrent_kernel", "bias", "projection", "output_bias"]

    public let values: [String: [Float]]

    /// Returns the shapes of the weights, by name.
    static func shapes(_ model: Manifest.Model) -> [String: [Int]] {
        [
            "embedding": [model.vocabulary, model.embedding],
            "input_kernel": [model.embedding, 3 * model.units],
            "recurrent_kernel": [model.embedding, 3 * model.units],
            "bias": [3 * model.units],
            "projection": [model.units, model.embedding],
            "output_bias": [model.vocabulary],
        ]
    }

    /// Returns what a manifest calls these weights by.
    public func sha256() -> String {
        var hash = SHA256()
        for name in Weights.names { hash.update(data: littleEndian(values[name] ?? [])) }
        return hash.finalize().hexadecimal
    }

    static func - (one: Weights, other: Weights) -> Weights { combined(one, other, -) }

    static func + (one: Weights, other: Weights) -> Weights { combined(one, other, +) }

    private static func combined(_ one: Weights, _ other: Weights, _ by: (Float, Float) -> Float) -> Weights {
        Weights(values: Dictionary(uniqueKeysWithValues: one.values.map { name, values in
            (name, zip(values, other.values[name] ?? []).map { by($0, $1) })
        }))
    }
}

/// Every device of Apple's is little-endian.
func littleEndian(_ values: [Float]) -> Data { values.withUnsafeBytes { Data($0) } }
