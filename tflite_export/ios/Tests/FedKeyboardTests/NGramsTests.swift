import XCTest

@testable import FedKeyboard

/// `ngrams.bin` as docs/package.md says, and what only looks like it.
final class NGramsTests: XCTestCase {
    /// Of six entries: 1, 4 and 1, 5 and 4, 5; then 1, 4, 5.
    private let pairs = TestLevel(counts: [0, 2, 0, 0, 1, 0], words: [4, 5, 5], codes: [16, 32, 32])
    private let triples = TestLevel(counts: [1, 0, 0], words: [5], codes: [48])

    func testEachLengthInTurnTakesItsShare() throws {
        for vocabulary in [6, 70_000] {
            let ngrams = try NGrams(file(vocabulary, pairs, triples), vocabulary: vocabulary)
            func assertMixed(_ expected: [Double], _ words: [Int32]) {
                var mixed = Array(repeating: 0.1, count: vocabulary)
                ngrams.mix(&mixed, after: words)
                for (one, other) in zip(mixed, expected) { XCTAssertEqual(one, other, accuracy: 1e-12, "\(words)") }
            }
            let (one, two, three) = (exp(-1.0), exp(-2.0), exp(-3.0))
            let begun = 0.1 * (1 - one - two)
            assertMixed([begun, begun, begun, begun, begun + one, begun + two], [1])
            let alone = 0.1 * (1 - two)
            let both = alone * (1 - three)
            assertMixed([both, both, both, both, both, (alone + two) * (1 - three) + three], [1, 4])
            // 5, 4 is no pair; nothing is below 5, nor below 4, 5.
            assertMixed([alone, alone, alone, alone, alone, alone + two], [1, 5, 4])
            assertMixed(Array(repeating: 0.1, count: 6), [1, 4, 5])
        }
    }

    func testAnEmptyFileMixesNothing() throws {
        var mixed = (0..<6).map { 0.1 * Double($0) }
        let before = mixed
        try NGrams(file(6), vocabulary: 6).mix(&mixed, after: [1, 4, 4])
        XCTAssertEqual(mixed, before)
    }

    func testACutOrForeignFileIsRefused() throws {
        let whole = file(6, pairs, triples)
        for size in whole.indices { assertRefused(whole.prefix(size)) }
        assertRefused(whole + [0])
        assertRefused(whole, vocabulary: 7)
        assertRefused(try Data(contentsOf: packageUnderTest().file(PhonePackage.charactersFile)))
        for longest: UInt32 in [0, 2, 4, 9, .max] { assertRefused(changed(whole, at: 8, to: longest)) }
        // Sizes for which there would be no memory.
        for size: UInt32 in [1 << 30, 1 << 31, .max] { assertRefused(changed(whole, at: 12, to: size)) }
    }

    func testAFileThatContradictsItselfIsRefused() {
        func assertDamaged(_ vocabulary: Int = 6, _ change: (inout TestLevel) -> Void) {
            var level = pairs
            change(&level)
            assertRefused(file(vocabulary, level), vocabulary: vocabulary)
        }
        assertDamaged { $0.counts = [0, 2, 0, 0, 2, 0] }
        assertDamaged { $0.counts = [0, 1, 0, 0, 1, 0] }
        assertDamaged { $0.counts = [0, 0xffff, 0, 0, 1, 0] }
        assertDamaged(70_000) { $0.counts = [0, .max, .max, 0, 1, 0] }
        assertDamaged { $0.words = [4, 6, 5] }
        assertDamaged(70_000) { $0.words = [4, .max, 5] }
        assertDamaged { $0.words = [5, 4, 5] }
        assertDamaged { $0.words = [4, 4, 5] }
        // Probabilities of more than 1 in all.
        assertDamaged { $0.codes = [0, 32, 32] }
    }

    func testWhateverAByteIsChangedToItIsRefusedOrMixes() {
        let whole = file(6, pairs, triples)
        for at in whole.indices {
            for byte: UInt8 in 0...255 {
                var other = whole
                other[at] = byte
                guard let ngrams = try? NGrams(other, vocabulary: 6) else { continue }
                for word: Int32 in 0..<6 {
                    var mixed = Array(repeating: 0.1, count: 6)
                    ngrams.mix(&mixed, after: [1, 4, word])
                    XCTAssertTrue(mixed.allSatisfy { $0 >= -1e-9 && $0 < 2 })
                }
            }
        }
    }

    func testNGramsThatAreNotTheManifestsAreRefused() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: directory) }
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let package = try packageUnderTest()
        for name in ["manifest.json", PhonePackage.ngramsFile] {
            let content = try Data(contentsOf: package.directory.appendingPathComponent(name))
            try content.write(to: directory.appendingPathComponent(name))
        }
        let copy = try PhonePackage(directory: directory)
        _ = try copy.ngrams()
        let path = directory.appendingPathComponent(PhonePackage.ngramsFile)
        try file(package.manifest.model.vocabulary).write(to: path)
        XCTAssertThrowsError(try copy.ngrams())
        try FileManager.default.removeItem(at: path)
        XCTAssertThrowsError(try copy.ngrams())
    }

    private func file(_ vocabulary: Int, _ levels: TestLevel...) -> Data {
        var file = Data("FKNG".utf8)
        func append<Number: FixedWidthInteger>(_ number: Number) {
            withUnsafeBytes(of: number.littleEndian) { file.append(contentsOf: $0) }
        }
        for number in [vocabulary, levels.count + 1] + levels.map(\.words.count) { append(UInt32(number)) }
        var shorter = vocabulary
        for level in levels {
            let counts = level.counts + Array(repeating: 0, count: shorter - level.counts.count)
            for number in counts + level.words {
                if vocabulary > 65_536 { append(number) } else { append(UInt16(number)) }
            }
            shorter = level.words.count
        }
        for level in levels { file.append(contentsOf: level.codes) }
        return file
    }

    private func changed(_ file: Data, at offset: Int, to number: UInt32) -> Data {
        var changed = file
        withUnsafeBytes(of: number.littleEndian) { changed.replaceSubrange(offset..<offset + 4, with: $0) }
        return changed
    }

    private func assertRefused(_ content: Data, vocabulary: Int = 6, line: UInt = #line) {
        XCTAssertThrowsError(try NGrams(content, vocabulary: vocabulary), line: line) {
            let told = $0.localizedDescription
            XCTAssertTrue(told.hasPrefix("ngrams.bin: ") && !told.contains("\n"), told, line: line)
        }
    }
}

/// How many words are below each sequence that is a word shorter, those words, and their codes.
private struct TestLevel {
    var counts: [UInt32]
    var words: [UInt32]
    var codes: [UInt8]
}
