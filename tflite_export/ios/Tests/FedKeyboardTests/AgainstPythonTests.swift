import XCTest

@testable import FedKeyboard

/// What `make test-ios` gives beside a package, to hold this client against Python; Xcode skips it.
final class AgainstPythonTests: XCTestCase {
    override func setUpWithError() throws {
        let isGiven = ProcessInfo.processInfo.environment["FEDKEYBOARD_EXCHANGE"] != nil
        try XCTSkipUnless(isGiven, "FEDKEYBOARD_EXCHANGE is not set")
    }

    /// `words.json` is of `tests/fuzzed_words.py`.
    func testRandomTextIsSplitAsInPython() throws {
        struct Case: Decodable {
            let text: String
            let words: [String]
            let sentences: [[String]]
        }
        let file = try given("FEDKEYBOARD_EXCHANGE").appendingPathComponent("words.json")
        let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: file))
        XCTAssertEqual(cases.count, 10000)
        let rules = try packageUnderTest().vocabulary().rules
        for said in cases {
            XCTAssertEqual(bytes(rules.of(said.text)), bytes(said.words), said.text)
            XCTAssertEqual(rules.bySentence(said.text).map(bytes), said.sentences.map(bytes), said.text)
        }
    }

    /// Learns from `sentences.txt` as a phone of a round, for `tools/check_update.py` to read.
    func testUpdate() throws {
        let exchange = try given("FEDKEYBOARD_EXCHANGE")
        let text = try String(contentsOf: exchange.appendingPathComponent("sentences.txt"), encoding: .utf8)
        let package = try packageUnderTest()
        let runtime = try LiteRTRuntime(contentsOf: package.file(PhonePackage.training))
        let trainer = LocalTrainer(runtime: runtime, package: package, vocabulary: try package.vocabulary())
        let file = exchange.appendingPathComponent("update.npz")
        XCTAssertThrowsError(try trainer.writeUpdate(to: file), "nothing was learned")
        _ = try trainer.train(text.split(separator: "\n").map(String.init), settings: package.roundSettings)
        try trainer.writeUpdate(to: file)
    }

    /// Strings are equal to Swift if they look alike.
    private func bytes(_ words: [String]) -> [[UInt8]] { words.map { Array($0.utf8) } }
}
