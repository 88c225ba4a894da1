import XCTest

@testable import FedKeyboard

/// Returns what an environment variable names: the package under test, or what is needed beside it.
func given(_ variable: String) throws -> URL {
    let path = ProcessInfo.processInfo.environment[variable]
    return URL(fileURLWithPath: try XCTUnwrap(path, "\(variable) is not set"))
}

func packageUnderTest() throws -> PhonePackage { try PhonePackage(directory: given("FEDKEYBOARD_PACKAGE")) }

/// LiteRT whose runs a test counts, holds up, breaks, or makes say the same of each word.
final class Watched: Runtime {
    let count = Guarded(0)
    let isBroken = Guarded(false)
    let isIndifferent = Guarded(false)
    /// Signalled when a run begins.
    let entered = DispatchSemaphore(value: 0)
    private let gate = Guarded<DispatchSemaphore?>(nil)
    private let runtime: Runtime

    init(_ runtime: Runtime) { self.runtime = runtime }

    var lock: NSRecursiveLock { runtime.lock }

    func run(_ signature: String, _ inputs: [String: Tensor]) throws -> [String: Tensor] {
        if isBroken.holding({ $0 }) { throw FedKeyboardError("broken") }
        count.holding { $0 += 1 }
        entered.signal()
        gate.holding { $0 }?.wait()
        var said = try runtime.run(signature, inputs)
        if isIndifferent.holding({ $0 }) {
            let count = try said.floats("log_probabilities").count
            said["log_probabilities"] = .floats(Array(repeating: -log(Float(count)), count: count), shape: [1, count])
        }
        return said
    }

    /// Holds up the run that begins next, until what is returned is signalled.
    func holdUp() -> DispatchSemaphore {
        let opened = DispatchSemaphore(value: 0)
        gate.holding { $0 = opened }
        return opened
    }

    func letGo(_ held: DispatchSemaphore) {
        gate.holding { $0 = nil }
        held.signal()
    }
}
