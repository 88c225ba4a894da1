import Foundation

/// The entries of `vocabulary.txt`; an entry's place is its id.
public struct Vocabulary: Sendable {
    static let pad: Int32 = 0
    static let begin: Int32 = 1
    static let end: Int32 = 2
    static let unknown: Int32 = 3
    /// The first entries, which are never suggested.
    static let special = ["<pad>", "<s>", "</s>", "<unk>"]

    public let entries: [String]
    /// How each entry is shown.
    public let shown: [String]
    /// How text becomes words.
    public let rules: Words
    /// By the words' bytes: strings are equal if they look so, which is not one word to the model.
    private let ids: [[UInt8]: Int32]

    /// Reads `vocabulary.txt`, `spellings.json` and `characters.json`.
    init(contentsOf url: URL, spellings: URL, characters: URL) throws {
        rules = try Words(contentsOf: characters)
        let spelled = try JSONDecoder().decode([String: String].self, from: Data(contentsOf: spellings))
        let text = try String(contentsOf: url, encoding: .utf8)
        // By scalars: a line may begin with an accent, which would join the line's end.
        var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        if lines.last == "" { lines.removeLast() }
        guard lines.starts(with: Vocabulary.special) else {
            throw FedKeyboardError("\(url.lastPathComponent): not a vocabulary")
        }
        entries = lines
        shown = lines.map { spelled[$0] ?? $0 }
        ids = Dictionary(zip(lines.map { Array($0.utf8) }, Int32(0)...), uniquingKeysWith: { _, last in last })
    }

    /// Returns the ids of the words of `text`, that of the unknown word for those not here.
    public func encode(_ text: String) -> [Int32] {
        ids(of: rules.of(text))
    }

    /// Returns a row of `length` + 1 ids for each text that has a word: begin, its words, end, cut and
    /// filled up with padding.
    ///
    /// A text of more words is several rows: each takes as many of its sentences as fit, and a sentence
    /// that fits in none is cut where the row is full.
    public func rows(_ texts: [String], length: Int) -> [[Int32]] {
        texts.flatMap { packed(rules.bySentence($0), length) }.map { words in
            let whole = Array(([Vocabulary.begin] + ids(of: words) + [Vocabulary.end]).prefix(length + 1))
            return whole + Array(repeating: Vocabulary.pad, count: length + 1 - whole.count)
        }
    }

    private func ids(of words: [String]) -> [Int32] {
        words.map { ids[Array($0.utf8)] ?? Vocabulary.unknown }
    }

    private func packed(_ sentences: [[String]], _ length: Int) -> [[String]] {
        var rows: [[String]] = []
        for sentence in sentences {
            for first in stride(from: 0, to: sentence.count, by: length) {
                let piece = sentence[first...].prefix(length)
                if let last = rows.last, last.count + piece.count <= length {
                    rows[rows.count - 1] += piece
                } else {
                    rows.append(Array(piece))
                }
            }
        }
        return rows
    }
}
