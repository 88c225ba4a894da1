import Foundation

/// A file is not what it should be, or LiteRT cannot run it.
public struct FedKeyboardError: LocalizedError {
    let message: String

    init(_ message: String) { self.message = message }

    public var errorDescription: String? { message }
}

/// Numbers with a shape, in C order; a scalar's shape is empty.
public enum Tensor: Sendable {
    case floats([Float], shape: [Int])
    case ints([Int32], shape: [Int])

    static func scalar(_ value: Float) -> Tensor { .floats([value], shape: []) }

    var shape: [Int] {
        switch self {
        case .floats(_, let shape), .ints(_, let shape): return shape
        }
    }
}

/// An open `.tflite` file: all that the other types need of LiteRT.
public protocol Runtime: AnyObject, Sendable {
    /// Held while a signature runs, and by who needs several runs with none of another's between, so that
    /// an engine and a trainer can share a runtime.
    var lock: NSRecursiveLock { get }

    /// Runs a signature once; inputs and outputs go by name.
    func run(_ signature: String, _ inputs: [String: Tensor]) throws -> [String: Tensor]
}

extension Dictionary where Key == String, Value == Tensor {
    func floats(_ name: String) throws -> [Float] {
        guard case .floats(let values, _)? = self[name] else { throw FedKeyboardError("no output \(name)") }
        return values
    }

    func ints(_ name: String) throws -> [Int32] {
        guard case .ints(let values, _)? = self[name] else { throw FedKeyboardError("no output \(name)") }
        return values
    }
}
