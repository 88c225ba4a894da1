import Foundation

/// A value that is touched only under a lock.
///
/// It is what `Mutex` is, which needs iOS 18, and the only type here whose safety the compiler takes on
/// trust: it hands its value to nobody who does not hold the lock.
final class Guarded<Value>: @unchecked Sendable {
    private var value: Value
    private let lock: NSRecursiveLock

    /// - Parameter lock: Another's, to be held for longer than for one value.
    init(_ value: sending Value, by lock: NSRecursiveLock = NSRecursiveLock()) {
        self.value = value
        self.lock = lock
    }

    /// `body` must not come back here: it has the value to itself.
    func holding<Outcome>(_ body: (inout sending Value) throws -> sending Outcome) rethrows -> sending Outcome {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}

extension NSRecursiveLock {
    func holding<Outcome>(_ body: () throws -> Outcome) rethrows -> Outcome {
        lock()
        defer { unlock() }
        return try body()
    }
}
