import XCTest

@testable import FedKeyboard

/// What is asked for while a sentence is typed, in LiteRT itself.
final class EngineTests: XCTestCase {
    private var package: PhonePackage!
    private var vocabulary: Vocabulary!
    private var steps: Watched!
    private var engine: SuggestionEngine!

    override func setUpWithError() throws {
        package = try packageUnderTest()
        vocabulary = try package.vocabulary()
        steps = Watched(try LiteRTRuntime(contentsOf: package.file(PhonePackage.inference)))
        engine = try SuggestionEngine(runtime: steps, package: package, vocabulary: vocabulary)
    }

    func testAFinishedWordCostsAStepAndOneTakenBackNone() throws {
        let before = try engine.suggest("i am going")
        XCTAssertEqual(counted(), 4)
        XCTAssertNotEqual(try engine.suggest("i am going to"), before)
        XCTAssertEqual(counted(), 5)
        XCTAssertEqual(try engine.suggest("i am going"), before)
        XCTAssertEqual(counted(), 5)
    }

    /// After words that n-grams know, and after one that is too rare for them: of equals the first.
    func testTheLikeliestAreSuggestedAndNoSpecialOnes() throws {
        let said = -log(Float(vocabulary.entries.count))
        steps.isIndifferent.holding { $0 = true }
        let ngrams = try package.ngrams()
        for sentence in ["", "i am", "i am going to", try XCTUnwrap(vocabulary.entries.last)] {
            var mixed = vocabulary.entries.map { _ in exp(Double(said)) }
            ngrams.mix(&mixed, after: [Vocabulary.begin] + vocabulary.encode(sentence))
            let best = (4..<mixed.count).sorted { (-mixed[$0], $0) < (-mixed[$1], $1) }.prefix(3)
            let expected = best.map { Suggestion(word: vocabulary.shown[$0], probability: Float(mixed[$0])) }
            XCTAssertEqual(try engine.suggest(sentence), expected, sentence)
        }
    }

    func testTheNewestRequestWinsAndIsAnsweredOnTheMainThread() throws {
        let expected = try fresh("what do you")
        let overtaken = expectation(description: "an older request is answered")
        overtaken.isInverted = true
        let answered = expectation(description: "the newest is answered")
        let held = steps.holdUp()
        engine.request("i am going to go") { _ in overtaken.fulfill() }
        XCTAssertEqual(steps.entered.wait(timeout: .now() + 10), .success)
        engine.request("how are") { _ in overtaken.fulfill() }
        engine.request("what do you") { result in
            XCTAssertTrue(Thread.isMainThread)
            XCTAssertEqual(try? result.get(), expected)
            answered.fulfill()
        }
        steps.letGo(held)
        wait(for: [answered], timeout: 10)
        wait(for: [overtaken], timeout: 0.2)
        // The first ended at the begin token, the second did nothing.
        XCTAssertEqual(counted(), 1 + 3)
    }

    func testCancelDropsThePendingRequest() throws {
        let expected = try fresh("i am")
        let cancelled = expectation(description: "what was cancelled is answered")
        cancelled.isInverted = true
        let held = steps.holdUp()
        engine.request("i am going to go") { _ in cancelled.fulfill() }
        XCTAssertEqual(steps.entered.wait(timeout: .now() + 10), .success)
        engine.cancel()
        steps.letGo(held)
        let answered = expectation(description: "the next is answered")
        engine.request("i am") { result in
            XCTAssertEqual(try? result.get(), expected)
            answered.fulfill()
        }
        wait(for: [answered], timeout: 10)
        wait(for: [cancelled], timeout: 0.2)
    }

    func testWhatGoesWrongIsTold() {
        steps.isBroken.holding { $0 = true }
        let told = expectation(description: "the error is told")
        engine.request("i am") { result in
            guard case .failure(let error) = result else { return XCTFail("no error") }
            XCTAssertEqual(error.localizedDescription, "broken")
            told.fulfill()
        }
        wait(for: [told], timeout: 10)
    }

    /// All on one runtime at once, as a keyboard that learns.
    func testSuggestionsWhileATrainerLearns() throws {
        let runtime = try LiteRTRuntime(contentsOf: package.file(PhonePackage.training))
        let engine = try SuggestionEngine(runtime: runtime, package: package, vocabulary: vocabulary)
        let trainer = LocalTrainer(runtime: runtime, package: package, vocabulary: vocabulary)
        let expected = try engine.suggest("i am going to")
        let failures = Guarded<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 12) { i in
            do {
                if i % 3 == 0 {
                    _ = try trainer.train(["i am going to see you", "how are you"])
                } else if i % 3 == 1 {
                    engine.reset()
                } else if try engine.suggest("i am going to").count != 3 {
                    failures.holding { $0.append("not three suggestions") }
                }
            } catch {
                failures.holding { $0.append(error.localizedDescription) }
            }
        }
        XCTAssertEqual(failures.holding { $0 }, [])
        engine.reset()
        XCTAssertNotEqual(try engine.suggest("i am going to"), expected)
        try trainer.reset()
        engine.reset()
        XCTAssertEqual(try engine.suggest("i am going to"), expected)
    }

    private func counted() -> Int { steps.count.holding { $0 } }

    /// What an engine says that was asked nothing before.
    private func fresh(_ sentence: String) throws -> [Suggestion] {
        let runtime = try LiteRTRuntime(contentsOf: package.file(PhonePackage.inference))
        let engine = try SuggestionEngine(runtime: runtime, package: package, vocabulary: vocabulary)
        return try engine.suggest(sentence)
    }
}
