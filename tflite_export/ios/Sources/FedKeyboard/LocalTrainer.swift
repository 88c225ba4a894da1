import Foundation

/// How to learn; the defaults, for the phone's user, are what docs/accuracy.md found.
public struct LearningSettings: Sendable {
    public var learningRate: Float = 0.1
    public var clippingNorm: Float = 1
    public var batchSize = 16
    public var epochs = 3

    public init() {}
}

/// Of the model alone, without n-grams: the mean loss over all targets, in nats; and of the words among
/// them how many there are, and how many the first suggestion hit, and the three.
public struct Evaluated: Equatable, Sendable {
    public let loss: Float
    public let words: Int
    public let top1Hits: Int
    public let top3Hits: Int
}

/// What `LocalTrainer.train` did: the loss of each step before it, and whether it was not stopped.
public struct Trained: Sendable {
    public let sentences: Int
    public let losses: [Float]
    public let finished: Bool
}

/// What became of a personal checkpoint.
public enum Loaded: Sendable {
    /// There is none.
    case absent
    /// It is of this package, and its weights are in use.
    case loaded
    /// It is of another package with the same vocabulary, and was added to this one's weights.
    case migrated
    /// It is of another package, or damaged; the package's own weights are in use.
    case refused
}

/// Learns from sentences with `model_train.tflite`. Nothing leaves the phone.
public final class LocalTrainer: Sendable {
    /// What the weights have learned since they were the package's.
    private struct Learned {
        var sentences = 0
        var steps = 0
        var lossOfSteps = 0.0
        var settings = LearningSettings()
        /// Whether what `loadPersonal` brought is in the weights.
        var isPersonal = false
    }

    private let runtime: Runtime
    private let package: PhonePackage
    private let vocabulary: Vocabulary

    /// Guarded by the runtime's lock, as the weights are.
    private let learned: Guarded<Learned>

    public init(runtime: Runtime, package: PhonePackage, vocabulary: Vocabulary) {
        self.runtime = runtime
        self.package = package
        self.vocabulary = vocabulary
        learned = Guarded(Learned(), by: runtime.lock)
    }

    /// Trains batch after batch, epoch after epoch, from all of `sentences`. `stop` is asked before
    /// each step, for a task that the system ends.
    public func train(
        _ sentences: [String], settings: LearningSettings = LearningSettings(), stop: () -> Bool = { false }
    ) throws -> Trained {
        let rows = vocabulary.rows(sentences, length: length)
        var losses: [Float] = []
        var finished = true
        training: for _ in 0..<settings.epochs {
            for first in stride(from: 0, to: rows.count, by: settings.batchSize) {
                if stop() {
                    finished = false
                    break training
                }
                losses.append(try step(Array(rows[first...].prefix(settings.batchSize)), settings))
            }
        }
        learned.holding {
            // Not those that it did not get to: an update counts by its sentences.
            $0.sentences += min(rows.count, losses.count * settings.batchSize)
            $0.settings = settings
        }
        return Trained(sentences: rows.count, losses: losses, finished: finished)
    }

    /// Counts what the model suggests for `sentences`, of which at least one must have a word.
    public func evaluate(_ sentences: [String], batchSize: Int = LearningSettings().batchSize) throws -> Evaluated {
        let rows = vocabulary.rows(sentences, length: length)
        guard !rows.isEmpty else { throw FedKeyboardError("no sentence has a word") }
        var loss = 0.0
        var targets = 0
        var counts = [0, 0, 0]
        for first in stride(from: 0, to: rows.count, by: batchSize) {
            let part = Array(rows[first...].prefix(batchSize))
            let said = try runtime.run("evaluate", batch(part))
            let inPart = part.reduce(0) { sum, row in sum + row.dropFirst().filter { $0 != Vocabulary.pad }.count }
            loss += Double(try said.floats("loss")[0]) * Double(inPart)
            targets += inPart
            for (i, name) in ["words", "top1_hits", "top3_hits"].enumerated() {
                counts[i] += Int(try said.ints(name)[0])
            }
        }
        return Evaluated(
            loss: Float(loss / Double(targets)), words: counts[0], top1Hits: counts[1], top3Hits: counts[2])
    }

    /// Returns a copy of the weights.
    public func weights() throws -> Weights {
        let said = try runtime.run("get_weights", ["anything": .scalar(0)])
        return Weights(values: try Dictionary(uniqueKeysWithValues: Weights.names.map { ($0, try said.floats($0)) }))
    }

    /// Replaces the weights.
    public func setWeights(_ weights: Weights) throws {
        var inputs: [String: Tensor] = [:]
        for (name, shape) in shapes { inputs[name] = .floats(weights.values[name] ?? [], shape: shape) }
        _ = try runtime.run("set_weights", inputs)
    }

    /// Goes back to the package's weights, and forgets what was learned.
    public func reset() throws {
        try runtime.lock.holding {
            _ = try runtime.run("reset", ["anything": .scalar(0)])
            learned.holding { $0 = Learned() }
        }
    }

    /// Keeps the weights in `directory`, which goes into no backup from then on. Throws if they are
    /// not finite; what was kept before stays.
    public func savePersonal(to directory: URL) throws {
        try runtime.lock.holding {
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            var directory = directory
            var values = URLResourceValues()
            values.isExcludedFromBackup = true
            try directory.setResourceValues(values)
            try UpdateFile.write(
                LocalTrainer.personalFile(in: directory), metadata("personal", weight: 0), difference(), shapes)
        }
    }

    /// Goes on from what `savePersonal` kept in `directory`. `migrate` says whether to add what was
    /// learned to a newer package's weights. Throws if the file cannot be read now, which says nothing
    /// of what is in it.
    public func loadPersonal(from directory: URL, migrate: Bool = true) throws -> Loaded {
        try runtime.lock.holding {
            try reset()
            let url = LocalTrainer.personalFile(in: directory)
            guard FileManager.default.fileExists(atPath: url.path) else { return .absent }
            let content = try Data(contentsOf: url)
            guard let (metadata, difference) = try? UpdateFile.read(content) else { return .refused }
            let same = metadata.weightsSHA256 == package.weightsSHA256
            // The rows of the embedding are words: of another vocabulary, they mean other words.
            let usable = metadata.vocabularySHA256 == package.vocabularySHA256 && (same || migrate)
            guard metadata.purpose == "personal", usable, let added = try? difference(shapes) else {
                return .refused
            }
            try setWeights(weights() + added)
            learned.holding {
                $0.sentences = metadata.sentences
                $0.steps = metadata.steps
                $0.lossOfSteps = (metadata.loss ?? 0) * Double(metadata.steps)
                $0.settings.learningRate = metadata.learningRate
                $0.settings.clippingNorm = metadata.clippingNorm
                $0.settings.batchSize = metadata.batchSize
                $0.settings.epochs = metadata.epochs
                $0.isPersonal = true
            }
            return same ? .loaded : .migrated
        }
    }

    /// Writes what was learned as an update for a server.
    ///
    /// An update is of one round: train with the package's `roundSettings` from the package's weights,
    /// write. What `loadPersonal` brought is its user's own, and stays on the phone.
    public func writeUpdate(to url: URL) throws {
        try runtime.lock.holding {
            let client = package.manifest.training.settings.client
            guard client.algorithm == "fedavg" else {
                throw FedKeyboardError("phones of \(client.algorithm) send no updates")
            }
            let learned = learned.holding { $0 }
            guard !learned.isPersonal else { throw FedKeyboardError("a personal checkpoint stays on the phone") }
            guard learned.steps > 0 else { throw FedKeyboardError("nothing was learned") }
            let weight = client.weighting == "sentences" ? Double(learned.sentences) : 1
            try UpdateFile.write(url, metadata("update", weight: weight), difference(), shapes)
        }
    }

    /// What `savePersonal` writes in `directory`. To forget what was learned, remove it.
    public static func personalFile(in directory: URL) -> URL {
        directory.appendingPathComponent("personal.npz")
    }

    private var length: Int { package.manifest.model.length }

    private var shapes: [String: [Int]] { Weights.shapes(package.manifest.model) }

    private func step(_ rows: [[Int32]], _ settings: LearningSettings) throws -> Float {
        try runtime.lock.holding {
            var inputs = batch(rows)
            inputs["learning_rate"] = .scalar(settings.learningRate)
            inputs["clipping_norm"] = .scalar(settings.clippingNorm)
            let loss = try runtime.run("train", inputs).floats("loss")[0]
            guard loss.isFinite else { throw FedKeyboardError("training has diverged") }
            learned.holding {
                $0.steps += 1
                $0.lossOfSteps += Double(loss)
            }
            return loss
        }
    }

    private func batch(_ rows: [[Int32]]) -> [String: Tensor] {
        let mask = rows.flatMap { $0.dropFirst().map { $0 == Vocabulary.pad ? Float(0) : 1 } }
        return [
            "sentences": .ints(Array(rows.joined()), shape: [rows.count, length + 1]),
            "mask": .floats(mask, shape: [rows.count, length]),
        ]
    }

    /// From the package's weights, which are in the file and need not be kept in memory.
    private func difference() throws -> Weights {
        let now = try weights()
        _ = try runtime.run("reset", ["anything": .scalar(0)])
        // Also if the next line throws.
        let initial = Result { try weights() }
        try setWeights(now)
        let difference = now - (try initial.get())
        // The last step's loss was of the weights before it.
        guard difference.values.values.allSatisfy({ $0.allSatisfy(\.isFinite) }) else {
            throw FedKeyboardError("training has diverged")
        }
        return difference
    }

    private func metadata(_ purpose: String, weight: Double) -> UpdateMetadata {
        let learned = learned.holding { $0 }
        return UpdateMetadata(
            purpose: purpose,
            weightsSHA256: package.weightsSHA256,
            vocabularySHA256: package.vocabularySHA256,
            weight: weight,
            sentences: learned.sentences,
            steps: learned.steps,
            loss: learned.steps == 0 ? nil : learned.lossOfSteps / Double(learned.steps),
            learningRate: learned.settings.learningRate,
            clippingNorm: learned.settings.clippingNorm,
            batchSize: learned.settings.batchSize,
            epochs: learned.settings.epochs
        )
    }
}
