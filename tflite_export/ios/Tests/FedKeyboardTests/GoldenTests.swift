import XCTest

@testable import FedKeyboard

/// The package that FEDKEYBOARD_PACKAGE names, in LiteRT itself.
final class GoldenTests: XCTestCase {
    private var package: PhonePackage!
    private var vocabulary: Vocabulary!
    private var golden: Golden!

    override func setUpWithError() throws {
        package = try packageUnderTest()
        vocabulary = try package.vocabulary()
        golden = try JSONDecoder().decode(Golden.self, from: Data(contentsOf: package.file("golden.json")))
    }

    func testWordsAndIds() {
        for example in golden.texts {
            XCTAssertEqual(bytes(vocabulary.rules.of(example.text)), bytes(example.words), example.text)
        }
        for example in golden.sentences {
            let seen = vocabulary.rules.bySentence(example.text)
            XCTAssertEqual(seen.map(bytes), example.sentences.map(bytes), example.text)
        }
        for example in golden.examples {
            XCTAssertEqual(bytes(vocabulary.rules.of(example.text)), bytes(example.words), example.text)
            XCTAssertEqual(vocabulary.encode(example.text), example.ids)
        }
    }

    func testSuggestions() throws {
        let runtime = try LiteRTRuntime(contentsOf: package.file(PhonePackage.inference))
        let engine = try SuggestionEngine(runtime: runtime, package: package, vocabulary: vocabulary)
        for example in golden.examples {
            let suggested = try engine.suggest(example.text)
            let said = example.probabilities
            XCTAssertEqual(suggested.count, said.count)
            for (i, suggestion) in suggested.enumerated() {
                XCTAssertEqual(suggestion.probability, said[i], accuracy: golden.probabilityTolerance, example.text)
                // Words nearly as likely as each other may change places.
                let apart = { (i: Int) in said[i] - said[i + 1] > 2 * self.golden.probabilityTolerance }
                if i + 1 < said.count, apart(i), i == 0 || apart(i - 1) {
                    XCTAssertEqual(suggestion.word, example.suggestions[i], example.text)
                }
            }
        }
    }

    /// An error here may be less than the probabilities' tolerance.
    func testNGrams() throws {
        let ngrams = try package.ngrams()
        let tolerance = golden.ngramTolerance
        for example in golden.examples {
            let words = [Vocabulary.begin] + vocabulary.encode(example.text)
            var added = vocabulary.entries.map { _ in 0.0 }
            ngrams.mix(&added, after: words)
            var mixed = vocabulary.entries.map { _ in 1.0 }
            ngrams.mix(&mixed, after: words)
            for (one, other) in zip(mixed, added) {
                XCTAssertEqual(one - other, example.ngrams.kept, accuracy: tolerance, example.text)
            }
            let said = example.ngrams.added
            let most = added.sorted(by: >).prefix(5)
            XCTAssertEqual(said.count, most.filter { $0 > 0 }.count, example.text)
            for (pair, amount) in zip(said, most) {
                XCTAssertEqual(added[Int(pair[0])], pair[1], accuracy: tolerance, example.text)
                XCTAssertEqual(amount, pair[1], accuracy: tolerance, example.text)
            }
        }
    }

    func testTraining() throws {
        let trainer = try learner()
        let training = golden.training
        XCTAssertEqual(vocabulary.rows(training.texts, length: package.manifest.model.length), training.rows)
        var settings = LearningSettings()
        settings.learningRate = training.learningRate
        settings.clippingNorm = training.clippingNorm
        settings.batchSize = training.rows.count
        settings.epochs = training.losses.count
        let trained = try trainer.train(training.texts, settings: settings)
        XCTAssertEqual(trained.losses.count, training.losses.count)
        for (seen, said) in zip(trained.losses, training.losses) {
            XCTAssertEqual(seen, said, accuracy: training.lossTolerance)
        }
        try trainer.reset()
        XCTAssertEqual(try trainer.weights().sha256(), package.weightsSHA256)
    }

    func testPersonalCheckpoint() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: directory) }
        let trainer = try learner()
        XCTAssertEqual(try trainer.loadPersonal(from: directory), .absent)
        _ = try trainer.train(golden.training.texts)
        let loss = try trainer.evaluate(golden.training.texts).loss
        try trainer.savePersonal(to: directory)
        try trainer.reset()
        XCTAssertNotEqual(try trainer.evaluate(golden.training.texts).loss, loss)
        XCTAssertEqual(try trainer.loadPersonal(from: directory), .loaded)
        XCTAssertEqual(try trainer.evaluate(golden.training.texts).loss, loss, accuracy: 1e-4)
        XCTAssertThrowsError(try trainer.writeUpdate(to: directory.appendingPathComponent("update.npz")))
        let file = LocalTrainer.personalFile(in: directory)
        let whole = try Data(contentsOf: file)
        try whole.prefix(whole.count / 2).write(to: file)
        XCTAssertEqual(try trainer.loadPersonal(from: directory), .refused)
        XCTAssertEqual(try trainer.weights().sha256(), package.weightsSHA256)
    }

    /// Strings are equal to Swift if they look alike.
    private func bytes(_ words: [String]) -> [[UInt8]] { words.map { Array($0.utf8) } }

    private func learner() throws -> LocalTrainer {
        let runtime = try LiteRTRuntime(contentsOf: package.file(PhonePackage.training))
        return LocalTrainer(runtime: runtime, package: package, vocabulary: vocabulary)
    }
}

private struct Golden: Decodable {
    struct Text: Decodable {
        let text: String
        let words: [String]
    }

    struct Sentences: Decodable {
        let text: String
        let sentences: [[String]]
    }

    struct Example: Decodable {
        struct NGrams: Decodable {
            let kept: Double
            /// Pairs of an id and an amount.
            let added: [[Double]]
        }

        let text: String
        let words: [String]
        let ids: [Int32]
        let suggestions: [String]
        let probabilities: [Float]
        let ngrams: NGrams
    }

    struct Training: Decodable {
        let texts: [String]
        let rows: [[Int32]]
        let learningRate: Float
        let clippingNorm: Float
        let losses: [Float]
        let lossTolerance: Float

        enum CodingKeys: String, CodingKey {
            case texts, rows, losses
            case learningRate = "learning_rate"
            case clippingNorm = "clipping_norm"
            case lossTolerance = "loss_tolerance"
        }
    }

    let texts: [Text]
    let sentences: [Sentences]
    let probabilityTolerance: Float
    let ngramTolerance: Double
    let examples: [Example]
    let training: Training

    enum CodingKeys: String, CodingKey {
        case texts, sentences, examples, training
        case probabilityTolerance = "probability_tolerance"
        case ngramTolerance = "ngram_tolerance"
    }
}
