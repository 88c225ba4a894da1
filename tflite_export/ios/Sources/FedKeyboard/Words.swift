import Foundation

/// Returns the words of `text`, in order, by the rules of `fedkeyboard/words.py`.
///
/// Unicode scalars all the way: a `Character` of Swift may be an apostrophe with an accent.
public func words(in text: String) -> [String] {
    let straight = text.unicodeScalars.map { apostrophes.contains($0) ? "'" : $0 }
    let lower = nfkc(straight).flatMap { $0.properties.lowercaseMapping.unicodeScalars }.flatMap(folded)
    let kept = nfkc(lower).filter { !isIgnored($0) }
    return kept.split(whereSeparator: { !isOfWord($0) }).compactMap(word)
}

private let apostrophes: Set<Unicode.Scalar> = [
    "\u{60}", "\u{b4}", "\u{2bc}", "\u{2018}", "\u{2019}", "\u{201b}", "\u{ff07}",
]

/// Final sigma, which may stay one, and sharp s.
private func folded(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    switch scalar {
    case "\u{3c2}": return ["\u{3c3}"]
    case "\u{df}": return ["s", "s"]
    default: return [scalar]
    }
}

private func nfkc(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
    Array(string(scalars).precomposedStringWithCompatibilityMapping.unicodeScalars)
}

private func string<Scalars: Sequence>(_ scalars: Scalars) -> String where Scalars.Element == Unicode.Scalar {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
}

/// Rule 4.
private func isIgnored(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.generalCategory == .format || (0xfe00...0xfe0f).contains(scalar.value)
}

private func isOfWord(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark: return true
    default: return scalar == "'" || isLetterOrDigit(scalar)
    }
}

private func isLetterOrDigit(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
        .decimalNumber:
        return true
    default: return false
    }
}

/// Rule 5.
private func word(_ run: ArraySlice<Unicode.Scalar>) -> String? {
    guard let first = run.firstIndex(where: { $0 != "'" }), let last = run.lastIndex(where: { $0 != "'" }) else {
        return nil
    }
    let trimmed = run[first...last]
    return trimmed.contains(where: isLetterOrDigit) ? string(trimmed) : nil
}
