import Foundation

/// How text becomes words: the rules of `fedkeyboard/words.py`, repeated exactly.
///
/// All that is known of Unicode is in the package's `characters.json`: a device's own version of it is
/// older or newer, and Foundation composes some Hangul otherwise than Unicode does. Unicode scalars all
/// the way: a `Character` of Swift may be an apostrophe with an accent.
public struct Words: Sendable {
    private let letters: Ranges
    private let marks: Ranges
    private let dualJoining: Ranges
    private let rightJoining: Ranges
    private let ends: Ranges
    /// Each character that does not stand for itself, and what stands for it.
    private let folds: [Unicode.Scalar: [Unicode.Scalar]]
    /// The canonical combining classes that marks have.
    private let classes: [Unicode.Scalar: Int]
    /// By two characters, the one that they compose to.
    private let pairs: [[Unicode.Scalar]: Unicode.Scalar]

    init(contentsOf url: URL) throws {
        let table = try JSONDecoder().decode(Table.self, from: Data(contentsOf: url))
        letters = Ranges(changes: table.letters)
        marks = Ranges(changes: table.marks)
        dualJoining = Ranges(changes: table.dualJoining)
        rightJoining = Ranges(changes: table.rightJoining)
        ends = Ranges(changes: table.ends)
        var folds: [Unicode.Scalar: [Unicode.Scalar]] = [:]
        for (character, folded) in pairwise(table.folds) { folds[character[0]] = folded }
        self.folds = folds
        var pairs: [[Unicode.Scalar]: Unicode.Scalar] = [:]
        for (both, whole) in pairwise(table.pairs) { pairs[both] = whole[0] }
        self.pairs = pairs
        var classes: [Unicode.Scalar: Int] = [:]
        for (order, changes) in table.classes {
            for mark in Ranges(changes: changes).all { classes[mark] = Int(order) }
        }
        self.classes = classes
    }

    /// Returns the words of `text`, in order, normalised.
    public func of(_ text: String) -> [String] { words(Array(text.unicodeScalars)) }

    /// Returns the words of `text` by sentence.
    public func bySentence(_ text: String) -> [[String]] {
        text.unicodeScalars.split(whereSeparator: ends.contains).map { words(Array($0)) }.filter { !$0.isEmpty }
    }

    private func words(_ text: [Unicode.Scalar]) -> [String] {
        kept(text).split(separator: separator).map { $0.drop(while: { !letters.contains($0) }) }
            .filter { !$0.isEmpty }.map { composed(Array($0)) }
    }

    /// Rules 1 to 4.
    private func kept(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        let folded = text.flatMap(folded)
        let formed = folded.indices.filter { !isZeroWidth(folded[$0]) || changesForms(folded, $0) }.map { folded[$0] }
        let parted = formed.indices.map { joiners.contains(formed[$0]) && !joins(formed, $0) ? separator : formed[$0] }
        var letter = separator
        return parted.filter {
            if !marks.contains($0) { letter = $0 }
            return letter != "i" || $0 != dotAbove
        }
    }

    private func folded(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
        folds[scalar] ?? [letters.contains(scalar) || marks.contains(scalar) ? scalar : separator]
    }

    /// Rule 2.
    private func changesForms(_ text: [Unicode.Scalar], _ at: Int) -> Bool {
        let (letter, on) = before(text, at)
        let next = at + 1 < text.count ? text[at + 1] : separator
        guard letters.contains(next) else { return false }
        if on.contains(where: { classes[$0] == virama }) { return true }
        let joined = dualJoining.contains(letter) && (dualJoining.contains(next) || rightJoining.contains(next))
        return text[at] == nonJoiner && joined
    }

    /// Rule 3.
    private func joins(_ text: [Unicode.Scalar], _ at: Int) -> Bool {
        let next = at + 1 < text.count ? text[at + 1] : separator
        guard text[at] == "\"" else { return letters.contains(next) }
        return hebrew.contains(before(text, at).letter) && hebrew.contains(next)
    }

    /// Returns the letter before a joiner, and the marks on it.
    private func before(_ text: [Unicode.Scalar], _ at: Int) -> (letter: Unicode.Scalar, marks: [Unicode.Scalar]) {
        var start = at
        while start > 0, marks.contains(text[start - 1]) || isZeroWidth(text[start - 1]) { start -= 1 }
        return (start > 0 ? text[start - 1] : separator, Array(text[start..<at]))
    }

    /// Rule 6: Unicode's canonical order and composition.
    private func composed(_ word: [Unicode.Scalar]) -> String {
        var whole: [Unicode.Scalar] = []
        var letter: Int?
        var before = 0
        for scalar in ordered(word) {
            let order = classes[scalar] ?? 0
            if let at = letter, at == whole.count - 1 || before < order, let both = pair(whole[at], scalar) {
                whole[at] = both
                continue
            }
            if order == 0 { letter = whole.count }
            before = order
            whole.append(scalar)
        }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: whole)
        return String(view)
    }

    private func ordered(_ word: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var ordered = word
        // By insertion, since `sort` does not promise to leave equals in their order.
        for end in ordered.indices {
            var at = end
            while at > 0, let order = classes[ordered[at]], order < classes[ordered[at - 1]] ?? 0 {
                ordered.swapAt(at, at - 1)
                at -= 1
            }
        }
        return ordered
    }

    private func pair(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
        // Hangul is computed: a first letter and a vowel, and that and a last letter.
        let (one, other) = (first.value, second.value)
        if (0x1100...0x1112).contains(one), (0x1161...0x1175).contains(other) {
            return Unicode.Scalar(0xac00 + ((one - 0x1100) * 21 + other - 0x1161) * 28)
        }
        if (0xac00...0xd7a3).contains(one), (one - 0xac00) % 28 == 0, (0x11a8...0x11c2).contains(other) {
            return Unicode.Scalar(one + other - 0x11a7)
        }
        return pairs[[first, second]]
    }
}

private let separator: Unicode.Scalar = " "
private let nonJoiner: Unicode.Scalar = "\u{200c}"
private let joiner: Unicode.Scalar = "\u{200d}"
private let dotAbove: Unicode.Scalar = "\u{307}"
private let joiners: Set<Unicode.Scalar> = ["'", "\u{b7}", "\u{55f}", "\""]
private let hebrew: ClosedRange<Unicode.Scalar> = "\u{5d0}"..."\u{5f2}"
private let virama = 9

private func isZeroWidth(_ scalar: Unicode.Scalar) -> Bool { scalar == nonJoiner || scalar == joiner }

private func pairwise(_ strings: [String]) -> [([Unicode.Scalar], [Unicode.Scalar])] {
    stride(from: 0, to: strings.count - 1, by: 2).map {
        (Array(strings[$0].unicodeScalars), Array(strings[$0 + 1].unicodeScalars))
    }
}

/// A set of characters, which begins and ends at each number in turn.
private struct Ranges {
    let changes: [UInt32]

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        var low = 0
        var high = changes.count
        while low < high {
            let middle = (low + high) / 2
            if changes[middle] <= scalar.value { low = middle + 1 } else { high = middle }
        }
        return low % 2 == 1
    }

    var all: [Unicode.Scalar] {
        stride(from: 0, to: changes.count - 1, by: 2).flatMap {
            (changes[$0]..<changes[$0 + 1]).compactMap(Unicode.Scalar.init)
        }
    }
}

private struct Table: Decodable {
    let letters: [UInt32]
    let marks: [UInt32]
    let folds: [String]
    let classes: [String: [UInt32]]
    let pairs: [String]
    let dualJoining: [UInt32]
    let rightJoining: [UInt32]
    let ends: [UInt32]

    enum CodingKeys: String, CodingKey {
        case letters, marks, folds, classes, pairs, ends
        case dualJoining = "dual_joining"
        case rightJoining = "right_joining"
    }
}
