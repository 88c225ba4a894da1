import Foundation
import TensorFlowLiteC

/// LiteRT, by its C API: it runs signatures by name and resizes their inputs.
public final class LiteRTRuntime: Runtime {
    public let lock = NSRecursiveLock()
    private let interpreter: Guarded<Interpreter>

    /// Opens a file and maps it into memory.
    public init(contentsOf url: URL, threads: Int32 = 1) throws {
        interpreter = Guarded(try Interpreter(contentsOf: url, threads: threads), by: lock)
    }

    public func run(_ signature: String, _ inputs: [String: Tensor]) throws -> [String: Tensor] {
        try interpreter.holding { try $0.run(signature, inputs) }
    }
}

/// What the C API gives, and frees it; for one thread at a time.
private final class Interpreter {
    private let model: OpaquePointer
    private let interpreter: OpaquePointer
    private var runners: [String: OpaquePointer] = [:]
    private var allocated: Set<String> = []

    init(contentsOf url: URL, threads: Int32) throws {
        guard let model = TfLiteModelCreateFromFile(url.path) else {
            throw FedKeyboardError("\(url.lastPathComponent): not a .tflite file")
        }
        let options = TfLiteInterpreterOptionsCreate()
        defer { TfLiteInterpreterOptionsDelete(options) }
        TfLiteInterpreterOptionsSetNumThreads(options, threads)
        guard let interpreter = TfLiteInterpreterCreate(model, options) else {
            TfLiteModelDelete(model)
            throw FedKeyboardError("\(url.lastPathComponent): LiteRT cannot run it")
        }
        self.model = model
        self.interpreter = interpreter
    }

    deinit {
        runners.values.forEach { TfLiteSignatureRunnerDelete($0) }
        TfLiteInterpreterDelete(interpreter)
        TfLiteModelDelete(model)
    }

    func run(_ signature: String, _ inputs: [String: Tensor]) throws -> [String: Tensor] {
        let runner = try self.runner(of: signature, fitting: inputs)
        for (name, tensor) in inputs {
            let input = TfLiteSignatureRunnerGetInputTensor(runner, name)
            switch tensor {
            case .floats(let values, _): try copy(values, to: input, name)
            case .ints(let values, _): try copy(values, to: input, name)
            }
        }
        try check(TfLiteSignatureRunnerInvoke(runner), signature)
        var outputs: [String: Tensor] = [:]
        for i in 0..<TfLiteSignatureRunnerGetOutputCount(runner) {
            let name = String(cString: TfLiteSignatureRunnerGetOutputName(runner, Int32(i)))
            outputs[name] = try contents(of: TfLiteSignatureRunnerGetOutputTensor(runner, name), name)
        }
        return outputs
    }

    /// Returns the signature's runner, its memory allocated for inputs of these shapes.
    private func runner(of signature: String, fitting inputs: [String: Tensor]) throws -> OpaquePointer {
        var mustAllocate = !allocated.contains(signature)
        guard let runner = runners[signature] ?? TfLiteInterpreterGetSignatureRunner(interpreter, signature) else {
            throw FedKeyboardError("no signature \(signature)")
        }
        runners[signature] = runner
        for (name, tensor) in inputs {
            guard let input = TfLiteSignatureRunnerGetInputTensor(runner, name) else {
                throw FedKeyboardError("\(signature): no input \(name)")
            }
            if shape(of: input) != tensor.shape {
                let dimensions = tensor.shape.map(Int32.init)
                let resized = TfLiteSignatureRunnerResizeInputTensor(
                    runner, name, dimensions, Int32(dimensions.count))
                try check(resized, name)
                mustAllocate = true
                // Not before it is allocated again, should that fail.
                allocated.remove(signature)
            }
        }
        if mustAllocate { try check(TfLiteSignatureRunnerAllocateTensors(runner), signature) }
        allocated.insert(signature)
        return runner
    }

    private func copy<Value>(_ values: [Value], to input: UnsafeMutablePointer<TfLiteTensor>?, _ name: String) throws {
        try values.withUnsafeBytes { bytes in
            try check(TfLiteTensorCopyFromBuffer(input, bytes.baseAddress, bytes.count), name)
        }
    }

    private func contents(of output: UnsafePointer<TfLiteTensor>?, _ name: String) throws -> Tensor {
        guard let output, let data = TfLiteTensorData(output) else { throw FedKeyboardError("no output \(name)") }
        let shape = self.shape(of: output)
        let count = shape.reduce(1, *)
        if TfLiteTensorType(output) == kTfLiteFloat32 {
            let values = UnsafeBufferPointer(start: data.assumingMemoryBound(to: Float.self), count: count)
            return .floats(Array(values), shape: shape)
        }
        let values = UnsafeBufferPointer(start: data.assumingMemoryBound(to: Int32.self), count: count)
        return .ints(Array(values), shape: shape)
    }

    private func shape(of tensor: UnsafePointer<TfLiteTensor>) -> [Int] {
        (0..<TfLiteTensorNumDims(tensor)).map { Int(TfLiteTensorDim(tensor, $0)) }
    }

    private func check(_ status: TfLiteStatus, _ what: String) throws {
        guard status == kTfLiteOk else { throw FedKeyboardError("LiteRT fails at \(what)") }
    }
}
