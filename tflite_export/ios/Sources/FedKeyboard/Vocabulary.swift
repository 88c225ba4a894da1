import Foundation

/// The entries of `vocabulary.txt`; an entry's place is its id.
public struct Vocabulary {
    static let pad: Int32 = 0
    static let begin: Int32 = 1
    static let end: Int32 = 2
    static let unknown: Int32 = 3

    public let entries: [String]
    /// By the words' bytes: strings are equal if they look so, which is not one word to the model.
    private let ids: [[UInt8]: Int32]

    init(contentsOf url: URL) throws {
        let text = try String(contentsOf: url, encoding: .utf8)
        // By scalars: a line may begin with an accent, which would join the line's end.
        var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        if lines.last == "" { lines.removeLast() }
        guard Array(lines.prefix(4)) == ["<pad>", "<s>", "</s>", "<unk>"] else {
            throw FedKeyboardError("\(url.lastPathComponent): not a vocabulary")
        }
        entries = lines
        ids = Dictionary(zip(lines.map { Array($0.utf8) }, Int32(0)...), uniquingKeysWith: { _, last in last })
    }

    /// Returns the ids of the words of `text`, that of the unknown word for those not here.
    public func encode(_ text: String) -> [Int32] {
        words(in: text).map { ids[Array($0.utf8)] ?? Vocabulary.unknown }
    }

    /// Returns a row of `length` + 1 ids for each sentence that has a word: begin, its words, end,
    /// cut and filled up with padding.
    public func rows(_ sentences: [String], length: Int) -> [[Int32]] {
        sentences.map(encode).filter { !$0.isEmpty }.map { ids in
            let whole = Array(([Vocabulary.begin] + ids.prefix(length) + [Vocabulary.end]).prefix(length + 1))
            return whole + Array(repeating: Vocabulary.pad, count: length + 1 - whole.count)
        }
    }
}
