import Foundation

/// What was written after one word or several, beside the model: `ngrams.bin` (docs/package.md).
///
/// A sequence has a number among those of its length, that of a single word is its id; below it are the
/// words that were written after it.
struct NGrams: Sendable {
    private static let magic = Array("FKNG".utf8)
    private static let longest = 8
    private static let mostBytes = 1 << 26

    /// What is below the sequences of one word, of two, and so on.
    private let levels: [Level]

    /// Reads a file's content, which nobody need have written in good faith; throws if it is damaged,
    /// something else, or not of a model with `vocabulary` entries.
    init(_ content: Data, vocabulary: Int) throws {
        guard content.count <= NGrams.mostBytes, content.starts(with: NGrams.magic) else {
            throw refused("not n-grams")
        }
        var reader = Reader(rest: content.dropFirst(NGrams.magic.count))
        let head = try reader.numbers(2, of: UInt32.self)
        guard head[0] == vocabulary else { throw refused("of another vocabulary") }
        guard (1...NGrams.longest).contains(Int(head[1])) else { throw refused("n-grams of \(head[1]) words") }
        let sizes = try reader.numbers(Int(head[1]) - 1, of: UInt32.self).map(Int.init)
        let isWide = vocabulary > 1 << 16
        var shorter = vocabulary
        var tree: [(begins: [UInt32], words: [UInt32])] = []
        for size in sizes {
            let counts = try reader.numbers(shorter, isWide: isWide)
            tree.append((try NGrams.begins(counts, size), try reader.numbers(size, isWide: isWide)))
            shorter = size
        }
        levels = try tree.map { begins, words in
            Level(begins: begins, words: words, codes: try reader.numbers(words.count, of: UInt8.self))
        }
        guard reader.rest.isEmpty else { throw refused("longer than it says") }
        guard levels.allSatisfy({ $0.isSound(vocabulary) }) else { throw refused("damaged") }
    }

    /// Mixes what was written after `words` with what the model says.
    ///
    /// - Parameters:
    ///   - probabilities: The model's, of each entry; afterwards those of both.
    ///   - words: The ids of the sentence so far, the begin token first.
    func mix(_ probabilities: inout [Double], after words: [Int32]) {
        for (i, level) in levels.prefix(words.count).enumerated() {
            guard let sequence = number(of: words.suffix(i + 1)) else { continue }
            let left = level.left(sequence)
            for id in probabilities.indices { probabilities[id] *= left }
            for place in level.below(sequence) { probabilities[Int(level.words[place])] += level.q(place) }
        }
    }

    /// Returns a sequence's number; nil if it is not there.
    private func number(of words: ArraySlice<Int32>) -> Int? {
        var number = words.first.map(Int.init)
        for (level, word) in zip(levels, words.dropFirst()) { number = number.flatMap { level.find(word, below: $0) } }
        return number
    }

    /// Sums counts up, from 0 to `size`.
    private static func begins(_ counts: [UInt32], _ size: Int) throws -> [UInt32] {
        var begins: [UInt32] = [0]
        begins.reserveCapacity(counts.count + 1)
        var sum = 0
        for count in counts {
            sum += Int(count)
            // Else it may not fit.
            guard sum <= size else { throw refused("damaged") }
            begins.append(UInt32(sum))
        }
        guard sum == size else { throw refused("damaged") }
        return begins
    }
}

/// The sequences of one length.
private struct Level {
    /// Of each sequence that is a word shorter, where those with it begin; then the end.
    let begins: [UInt32]
    /// Their last words, ascending among those that begin alike.
    let words: [UInt32]
    /// Their probabilities, as places in `decoded`.
    let codes: [UInt8]

    private static let decoded = (0..<256).map { exp(-Double($0) / 16) }

    /// Returns the places of what is below a sequence.
    func below(_ sequence: Int) -> Range<Int> { Int(begins[sequence])..<Int(begins[sequence + 1]) }

    /// Returns the place of `word` below a sequence; nil if it is not there.
    func find(_ word: Int32, below sequence: Int) -> Int? {
        let below = self.below(sequence)
        var low = below.lowerBound
        var high = below.upperBound
        while low < high {
            let middle = (low + high) / 2
            if words[middle] < word { low = middle + 1 } else { high = middle }
        }
        return low < below.upperBound && words[low] == word ? low : nil
    }

    func q(_ place: Int) -> Double { Level.decoded[Int(codes[place])] }

    /// Returns what the words below a sequence leave the model.
    func left(_ sequence: Int) -> Double { below(sequence).reduce(1) { $0 - q($1) } }

    /// Whether its words are entries, in their order, and their probabilities 1 at most in all.
    func isSound(_ vocabulary: Int) -> Bool {
        words.allSatisfy { $0 < vocabulary } && (0..<begins.count - 1).allSatisfy { sequence in
            // What it is below 0 by is rounding.
            below(sequence).dropFirst().allSatisfy { words[$0 - 1] < words[$0] } && left(sequence) > -1e-9
        }
    }
}

/// Reads numbers, which are little-endian as every device of Apple's is.
private struct Reader {
    var rest: Data

    mutating func numbers<Number: FixedWidthInteger>(_ count: Int, of _: Number.Type) throws -> [Number] {
        let size = count * MemoryLayout<Number>.size
        // Before there is an array of it.
        guard size <= rest.count else { throw refused("shorter than it says") }
        var numbers = [Number](repeating: 0, count: count)
        _ = numbers.withUnsafeMutableBytes { rest.copyBytes(to: $0, count: size) }
        rest = rest.dropFirst(size)
        return numbers
    }

    mutating func numbers(_ count: Int, isWide: Bool) throws -> [UInt32] {
        isWide ? try numbers(count, of: UInt32.self) : try numbers(count, of: UInt16.self).map(UInt32.init)
    }
}

private func refused(_ why: String) -> FedKeyboardError { FedKeyboardError("\(PhonePackage.ngramsFile): \(why)") }
