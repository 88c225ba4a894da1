import Foundation

/// A word that may come next, and its probability.
public struct Suggestion: Equatable, Sendable {
    public let word: String
    public let probability: Float
}

/// Suggests the next word while a sentence is typed.
///
/// What the model says is mixed with the package's n-grams. It keeps the model's state after each
/// finished word, so that a word costs one step, and a word taken back none.
public final class SuggestionEngine: Sendable {
    private struct Step {
        let word: Int32
        let state: [String: Tensor]
        let suggestions: [Suggestion]
    }

    private struct Cancelled: Error {}

    private let runtime: Runtime
    private let vocabulary: Vocabulary
    private let ngrams: NGrams
    private let start: [String: Tensor]
    private let worker = DispatchQueue(label: "fedkeyboard", qos: .userInitiated)

    /// The begin token and the finished words; guarded by the runtime's lock.
    private let steps: Guarded<[Step]>

    /// The newest request; guarded by its own lock, which is never held for long.
    private let newest = Guarded(0)

    /// Reads the package's n-grams; throws if they are not what the manifest says, or damaged.
    ///
    /// - Parameter runtime: Of `model_infer.tflite`, or, to suggest what a trainer learned, the trainer's.
    public init(runtime: Runtime, package: PhonePackage, vocabulary: Vocabulary) throws {
        self.runtime = runtime
        self.vocabulary = vocabulary
        ngrams = try package.ngrams()
        steps = Guarded([], by: runtime.lock)
        let model = package.manifest.model
        start = [
            "output": .floats(Array(repeating: 0, count: model.embedding), shape: [1, model.embedding]),
            "cell": .floats(Array(repeating: 0, count: model.units), shape: [1, model.units]),
        ]
    }

    /// Returns the three likeliest words after `sentence`: the text from the sentence's begin, its
    /// last word finished. It takes its time on the caller's thread.
    public func suggest(_ sentence: String) throws -> [Suggestion] {
        try suggest(sentence, cancelled: { false })
    }

    /// Does the same on a queue of its own. On the main thread `done` gets the suggestions, or what went
    /// wrong, unless a newer request or `cancel` came before: the newest wins, the others end at their
    /// next step.
    public func request(
        _ sentence: String, done: @escaping @MainActor @Sendable (Result<[Suggestion], Error>) -> Void
    ) {
        let mine = next()
        worker.async {
            let result = Result { try self.suggest(sentence, cancelled: { !self.isNewest(mine) }) }
            DispatchQueue.main.async {
                // Asked again there: keys come on the same thread, so nothing old is ever shown.
                MainActor.assumeIsolated { if self.isNewest(mine) { done(result) } }
            }
        }
    }

    /// Drops the pending request, if there is one; its `done` is not called.
    public func cancel() { _ = next() }

    /// Forgets the sentence: after one was sent, or when the weights have changed.
    public func reset() { steps.holding { $0 = [] } }

    private func suggest(_ sentence: String, cancelled: () -> Bool) throws -> [Suggestion] {
        try steps.holding { steps in
            let ids = [Vocabulary.begin] + vocabulary.encode(sentence)
            let known = zip(steps, ids).prefix { $0.word == $1 }.count
            steps.removeSubrange(known...)
            for place in ids.indices.dropFirst(known) {
                if cancelled() { throw Cancelled() }
                steps.append(try step(from: steps.last?.state ?? start, Array(ids[...place])))
            }
            return steps[ids.count - 1].suggestions
        }
    }

    /// Goes on from the state before the last of `words`.
    private func step(from before: [String: Tensor], _ words: [Int32]) throws -> Step {
        let word = words[words.count - 1]
        let after = try runtime.run(
            "score", ["word": .ints([word], shape: [1]), "output": before["output"]!, "cell": before["cell"]!])
        var probabilities = try after.floats("log_probabilities").map { exp(Double($0)) }
        guard probabilities.count == vocabulary.entries.count else {
            throw FedKeyboardError("the model is of another vocabulary")
        }
        ngrams.mix(&probabilities, after: words)
        let suggestions = best(probabilities).map {
            Suggestion(word: vocabulary.shown[$0], probability: Float(probabilities[$0]))
        }
        // A probability of each entry would be much to keep for each word.
        return Step(word: word, state: after.filter { $0.key != "log_probabilities" }, suggestions: suggestions)
    }

    /// Returns the ids of the three likeliest words, best first, of equals the lower one.
    private func best(_ probabilities: [Double]) -> [Int] {
        var best: [Int] = []
        for id in probabilities.indices.dropFirst(Vocabulary.special.count) {
            let place = best.firstIndex { probabilities[$0] < probabilities[id] } ?? best.count
            best.insert(id, at: place)
            if best.count > 3 { best.removeLast() }
        }
        return best
    }

    private func next() -> Int {
        newest.holding {
            $0 += 1
            return $0
        }
    }

    private func isNewest(_ request: Int) -> Bool { newest.holding { $0 == request } }
}
