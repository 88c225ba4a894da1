"""How text becomes words: the rules that every client repeats exactly.

The phone must split text as the simulation did, in Kotlin, Swift and JavaScript. So the rules know
of Unicode only what `characters.json` says (`fedkeyboard.text.characters` has the reasons), which
is in every phone package. `golden.json` there holds examples of which some fail if any rule is left
out; a client is right when it reproduces them.

1. Each character becomes what the table's `folds` say, if they name it: letters without case and
   compatibility forms, accents apart from their letters, apostrophes that are one; or nothing at
   all. It stays if it is in `letters` or `marks`. Else it is a separator.
2. U+200C and U+200D stay before a letter if they change how it joins the letter before (which has
   its marks): if one of those marks is a virama (combining class 9); or, U+200C, if the letter
   before joins both ways and that after joins at all. Elsewhere they are nothing.
3. Each other joiner stays before a letter; a quotation mark, between Hebrew letters (the first with
   its marks). Elsewhere they separate.
4. The marks on an i have no dot above (U+0307), which lower-casing leaves of a Turkish capital.
5. A word is a longest run without separators, from its first letter on; a run without letters is no
   word.
6. A word's marks are in canonical order and composed with its letters (Unicode's form NFC), by the
   table's `classes` and `pairs`; for characters that Unicode has assigned, all versions agree.

So "Don't" and "DON\u2019T" are one word, "rock 'n' roll" is three, "well-known" is two, "gr8" and
"10" are words, and emoji, punctuation and symbols are none: a keyboard suggests words, and an
unseen "?" must not count as a hit. Words are their own words, `words(" ".join(words(text)))`.

Without a language, a capital I is an i: Turkish in capitals has spellings of its own.
"""

import re
import unicodedata

from fedkeyboard.text import characters
from fedkeyboard.text.characters import (
    ABBREVIATION,
    APOSTROPHE,
    GERSHAYIM,
    JOINER,
    MIDDLE_DOT,
    NON_JOINER,
    SEPARATOR,
)

TABLE = characters.read()

_VIRAMA = 9
_DOT_ABOVE = "\u0307"
_MARKS = frozenset(TABLE.marks)
_ZERO_WIDTH = re.compile(f"[{NON_JOINER}{JOINER}]")
_JOINERS = re.compile(f"[{APOSTROPHE}{MIDDLE_DOT}{ABBREVIATION}{GERSHAYIM}]")
_NO_LETTERS = (
    _MARKS | {APOSTROPHE, MIDDLE_DOT, ABBREVIATION, GERSHAYIM} | {NON_JOINER, JOINER, SEPARATOR}
)
_HEBREW = frozenset(map(chr, range(0x5D0, 0x5F3)))
# Of text in ASCII alone, which has no marks: those that do not join.
_ASCII_APART = re.compile("\"|'(?![a-z0-9])|(?<![a-z0-9])'")

# Letters that the rules fold, but that suggestions show as they are written, since they are no
# variants: sharp s, final sigma, the Armenian ligature ew, two letters of Lao, and the Korean ones
# that stand by themselves.
_WRITTEN = "\u00df\u03c2\u0587\u0edc\u0edd" + "".join(
    map(chr, [*range(0x3131, 0x3164), *range(0x3165, 0x318F)])
)
# Of those and all others that do not stand in the spelling of a word as they stand in the word.
_SPELLED_APART = re.compile(f"[{_WRITTEN}\u1e9e\u03c3\u03a3\u0e33\u0e4d\u0eb3\u0ecd]")
_RESPELLED = (
    # Am of Thai and of Lao is one letter to those who write.
    (re.compile("\u0e4d\u0e32"), "\u0e33"),
    (re.compile("\u0ecd\u0eb2"), "\u0eb3"),
    # A sigma that ends a word, whether or not it came from a capital.
    (re.compile("(?<=.)\u03c3$"), "\u03c2"),
)


class _Kept(dict):
    """Rule 1 as a table for `str.translate`, filled as code points turn up."""

    def __init__(self, folds: dict[str, str]):
        self._folds = folds

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        kept = self._folds.get(character)
        if kept is None:
            stays = character in TABLE.letters or character in TABLE.marks
            kept = character if stays else SEPARATOR
        self[code_point] = kept
        return kept


_KEPT = _Kept(TABLE.folds)
_KEPT_AS_WRITTEN = _Kept(TABLE.folds | {each: each for each in _WRITTEN} | {"\u1e9e": "\u00df"})


def words(text: str) -> list[str]:
    """Returns the words of `text`, in order, normalised by the rules above."""
    return _words(text.translate(_KEPT))


def spellings(text: str) -> list[str]:
    """Returns how the words of `text` are spelled: as many, in lower case, as one shows them.

    A word has one form by which it is found, which may be a misspelling: "strasse".
    Here it keeps the letters that were folded though they are none that vary, and a sigma that ends
    it is a final one. The words of a spelling are the word itself.
    """
    if not _SPELLED_APART.search(text):
        return words(text)
    spelled = _words(text.translate(_KEPT_AS_WRITTEN))
    for pattern, written in _RESPELLED:
        spelled = [pattern.sub(written, word) for word in spelled]
    return spelled


def sentences(text: str) -> list[list[str]]:
    """Returns the words of `text` by sentence; joined, they are `words(text)`.

    A sentence ends at each of the table's `ends`, all of which are separators.
    """
    found = map(words, text.translate(_ENDS).split("\n"))
    return [sentence for sentence in found if sentence]


_ENDS = str.maketrans(dict.fromkeys(TABLE.ends, "\n"))


def _words(kept: str) -> list[str]:
    """Returns the words of what rule 1 left."""
    if kept.isascii():
        return _ASCII_APART.sub(SEPARATOR, kept).split()
    kept = _ZERO_WIDTH.sub(_zero_width, kept)
    kept = _JOINERS.sub(_joiner, kept)
    if _DOT_ABOVE in kept:
        kept = _undotted(kept)
    runs = SEPARATOR.join(map(_from_letter, kept.split()))
    return unicodedata.normalize("NFC", runs).split()


def _zero_width(found: re.Match[str]) -> str:
    """Rule 2."""
    before, marks, after = _beside(found)
    if after in _NO_LETTERS:
        return ""
    joins = any(TABLE.classes.get(mark) == _VIRAMA for mark in marks) or (
        found[0] == NON_JOINER
        and before in TABLE.dual_joining
        and (after in TABLE.dual_joining or after in TABLE.right_joining)
    )
    return found[0] if joins else ""


def _joiner(found: re.Match[str]) -> str:
    """Rule 3."""
    before, _, after = _beside(found)
    if found[0] == GERSHAYIM:
        joins = before in _HEBREW and after in _HEBREW
    else:
        joins = after not in _NO_LETTERS
    return found[0] if joins else SEPARATOR


def _beside(found: re.Match[str]) -> tuple[str, str, str]:
    """Returns the letter before a joiner, the marks on it, and what comes next."""
    text, at = found.string, found.start()
    start = at
    while start and (text[start - 1] in _MARKS or text[start - 1] in (NON_JOINER, JOINER)):
        start -= 1
    before = text[start - 1] if start else SEPARATOR
    return before, text[start:at], text[at + 1 : at + 2] or SEPARATOR


def _undotted(text: str) -> str:
    """Rule 4."""
    kept = []
    letter = ""
    for character in text:
        if character not in _MARKS:
            letter = character
        elif character == _DOT_ABOVE and letter == "i":
            continue
        kept.append(character)
    return "".join(kept)


def _from_letter(run: str) -> str:
    """Rule 5."""
    start = 0
    while start < len(run) and run[start] in _NO_LETTERS:
        start += 1
    return run[start:]
