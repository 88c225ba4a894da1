"""How text becomes words: the rules that every client repeats exactly.

The phone must split text as the simulation did, in Kotlin, Swift and JavaScript, so the rules use
only what all of them have: Unicode general categories, NFKC and simple lower-casing, applied one
code point at a time. `golden.json` in a phone package holds examples; a client is right when it
reproduces them.

1. Apostrophes: U+0060, U+00B4, U+02BC, U+2018, U+2019, U+201B and U+FF07 become U+0027 (').
   First, because NFKC would tear U+00B4 apart.
2. NFKC.
3. Case: the lower-case mapping of Unicode without a locale; then U+03C2 (final sigma) becomes
   U+03C3 and U+00DF (sharp s) becomes "ss", so that one word has one spelling whatever its case.
   Then NFKC again, since lower-casing may leave decomposed letters.
4. Each code point is one of
   * a word character: categories L* (letters), Mn and Mc (marks, without the variation selectors
     U+FE00 to U+FE0F) and Nd (decimal digits);
   * an apostrophe;
   * nothing at all: category Cf (joiners, soft hyphens, direction marks) and variation selectors;
   * a separator: all else, so white space, punctuation, symbols and emoji.
5. A word is a longest run of word characters and apostrophes, without the apostrophes at its ends;
   a run with no letter and no digit is no word.

So "Don't" and "DON’T" are one word, "rock 'n' roll" is three, "well-known" is two, "gr8" and "10"
are words, and emoji, punctuation and symbols are none: a keyboard suggests words, and an unseen
"?" must not count as a hit.
"""

import unicodedata

APOSTROPHES = "\u0060\u00b4\u02bc\u2018\u2019\u201b\uff07"
_TO_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))
_FOLD = str.maketrans({"\u03c2": "\u03c3", "\u00df": "ss"})


class _WordCharacters(dict):
    """Rule 4 as a table for `str.translate`, filled as code points turn up."""

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        category = unicodedata.category(character)
        if category == "Cf" or 0xFE00 <= code_point <= 0xFE0F:
            kept = ""
        elif character == "'" or category[0] == "L" or category in ("Mn", "Mc", "Nd"):
            kept = character
        else:
            kept = " "
        self[code_point] = kept
        return kept


_KEEP = _WordCharacters()


def words(text: str) -> list[str]:
    """Returns the words of `text`, in order, normalised by the rules above."""
    text = unicodedata.normalize("NFKC", text.translate(_TO_APOSTROPHE))
    text = unicodedata.normalize("NFKC", text.lower().translate(_FOLD))
    stripped = (run.strip("'") for run in text.translate(_KEEP).split())
    return [word for word in stripped if any(map(str.isalnum, word))]


# Where a sentence ends within a message: Unicode's Sentence_Terminal of living scripts, and lines.
_ENDS = str.maketrans(
    dict.fromkeys(".!?\u2026\u3002\uff01\uff0e\uff1f\u061f\u06d4\u0964\r\u2028\u2029\x85", "\n")
)


def sentences(text: str) -> list[list[str]]:
    """Returns the words of `text` by sentence; joined, they are `words(text)`."""
    found = map(words, text.translate(_ENDS).split("\n"))
    return [sentence for sentence in found if sentence]


def cut(text: str, length: int) -> list[list[str]]:
    """Returns the words of `text` in rows of at most `length` words: what a model learns from.

    A message of no more words is one row. A longer one is cut where its sentences end: each row is
    as many sentences as fit, and a sentence that is longer than a row is cut after every `length`
    words. Joined, the rows are `words(text)`; none is empty.
    """
    found = words(text)
    if len(found) <= length:
        return [found] if found else []
    rows: list[list[str]] = [[]]
    for sentence in sentences(text):
        for start in range(0, len(sentence), length):
            piece = sentence[start : start + length]
            if len(rows[-1]) + len(piece) <= length:
                rows[-1] += piece
            else:
                rows.append(piece)
    return rows
