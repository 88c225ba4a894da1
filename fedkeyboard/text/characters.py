"""What each character of Unicode is to a word: the table behind the rules of `words.py`.

`characters.json` holds it, is part of a phone package, and is all that a client knows of Unicode:
platforms have different versions of it, and 14,194 characters differ between Python 3.11's and a
browser's. A character that Unicode 14.0 does not have is a separator, everywhere and for good.

`python -m fedkeyboard.text.characters` writes the file again. That is a change of the rules, so a
new version of the package's format.

The decisions, where Unicode's categories leave one (UAX #29 is its standard for the ends of words):

* **Letters** are the categories L*, Nl (`〇`, Roman numerals) and Nd (decimal digits). They begin
  words. Cherokee is written in its capitals; other letters in lower case.
* **Marks** are Mn and Mc, and the signs of Sk that UAX #29 counts as letters, such as tones and
  modifiers of the phonetic alphabets. They are part of a word and begin none.
* **Nothing** is what cannot be seen or does not spell, wherever it stands: `Default_Ignorable`
  (soft hyphens, direction marks, variation selectors, fillers of Hangul), Cf, enclosing marks (Me),
  and Armenian's question, exclamation and emphasis marks, which stand *within* the word they are
  about. U+200B is in Cf, but is the space between words of Khmer and Thai: it separates.
* **Joiners** are part of a word between two letters, and separate elsewhere. Apostrophes, also
  Hebrew's geresh, Armenian's apostrophe and the turned comma of Uzbek and Hawaiian, which are typed
  as one and are U+0027 here; Catalan's middle dot (with Greek's ano teleia, which is the same to
  Unicode, and the hyphenation point); Armenian's abbreviation mark; Hebrew's gershayim, which is
  typed as U+0022 and is that here, between Hebrew letters. U+200C and U+200D are part of a word
  where they change how its letters join, and nothing elsewhere.
* **Separators** are all else. UAX #29 would not end a word at some of them:
  full stops and their like (chat has "hello.how" more often than "google.com", and a keyboard
  suggests no addresses), the colon (as in CLDR, for all languages but Swedish and Finnish), what
  separates digits (numbers are not what a keyboard suggests), low lines and hyphens of every script
  (what they join are words by themselves), the narrow no-break space (French puts it before a
  question mark), squared and circled letters without a plain form, and colours of emoji.
"""

import bisect
import collections
import json
import pathlib
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fedkeyboard import files

FILE = "characters.json"
PATH = pathlib.Path(__file__).with_name(FILE)
UNICODE = "14.0.0"

SEPARATOR = " "
APOSTROPHE, MIDDLE_DOT, ABBREVIATION, GERSHAYIM = "'\u00b7\u055f\""
NON_JOINER, JOINER = "\u200c\u200d"
_ZERO_WIDTH_SPACE = "\u200b"
# What is folded beside case and compatibility, as it stands for one and the same in writing.
_FOLDED = {
    **dict.fromkeys("\u0060\u00b4\u02bb\u02bc\u055a\u05f3\u2018\u2019\u201b\uff07", APOSTROPHE),
    **dict.fromkeys("\u0387\u2027", MIDDLE_DOT),
    "\u05f4": GERSHAYIM,
    # Voicing marks that stand by themselves, as chat puts them after any kana: those that combine.
    "\u309b": "\u3099",
    "\u309c": "\u309a",
    # One word has one spelling whatever its case.
    "\u03c2": "\u03c3",
    "\u00df": "ss",
    # These stand for themselves.
    **{each: each for each in (APOSTROPHE, MIDDLE_DOT, ABBREVIATION, GERSHAYIM)},
    **{each: each for each in (NON_JOINER, JOINER)},
}

# Of Unicode's files, what `unicodedata` does not have. PropList, DerivedCoreProperties:
_DEFAULT_IGNORABLE = (
    "ad 34f 61c 115f-1160 17b4-17b5 180b-180f 200b-200f 202a-202e 2060-206f 3164 fe00-fe0f feff "
    "ffa0 fff0-fff8 1bca0-1bca3 1d173-1d17a e0000-e0fff"
)
_SENTENCE_ENDS = (
    "21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e "
    "1735-1736 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f "
    "203c-203d 2047-2049 2e2e 2e3c 2e53-2e54 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf "
    "a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 "
    "10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6 111cd 111de-111df "
    "11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 1173c-1173e "
    "11944 11946 11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8 16a6e-16a6f 16af5 16b37-16b38 "
    "16b44 16e98 1bc9f 1da88"
)
# Beside Unicode's Sentence_Terminal: the ellipsis, Khmer's full stops, and the ends of lines.
_MORE_ENDS = "\u2026\u17d4\u17d5\n\v\f\r\x85\u2028\u2029"
# ArabicShaping: letters that join those on both their sides, and those only that before them.
_DUAL_JOINING = (
    "620 626 628 62a-62e 633-63f 641-647 649-64a 66e-66f 678-687 69a-6bf 6c1-6c2 6cc 6ce "
    "6d0-6d1 6fa-6fc 6ff 712-714 71a-71d 71f-727 729 72b 72d-72e 74e-758 75c-76a 76d-770 772 "
    "775-777 77a-77f 7ca-7ea 841-845 848 84a-853 855 860 862-865 868 886 889-88d 8a0-8a9 "
    "8af-8b0 8b3-8b8 8ba-8c8 1807 1820-1878 1887-18a8 18aa a840-a871 10ac0-10ac4 10ad3-10ad6 "
    "10ad8-10adc 10ade-10ae0 10aeb-10aee 10b80 10b82 10b86-10b88 10b8a-10b8b 10b8d 10b90 "
    "10bad-10bae 10d01-10d21 10d23 10f30-10f32 10f34-10f44 10f51-10f53 10f70-10f73 10f76-10f81 "
    "10fb0 10fb2-10fb3 10fb8 10fbb-10fbc 10fbe-10fbf 10fc1 10fc4 10fca 1e900-1e943"
)
_RIGHT_JOINING = (
    "622-625 627 629 62f-632 648 671-673 675-677 688-699 6c0 6c3-6cb 6cd 6cf 6d2-6d3 6d5 "
    "6ee-6ef 710 715-719 71e 728 72a 72c 72f 74d 759-75b 76b-76c 771 773-774 778-779 840 "
    "846-847 849 854 856-858 867 869-86a 870-882 88e 8aa-8ac 8ae 8b1-8b2 8b9 10ac5 10ac7 "
    "10ac9-10aca 10ace-10ad2 10add 10ae1 10ae4 10aef 10b81 10b83-10b85 10b89 10b8c 10b8e-10b8f "
    "10b91 10ba9-10bac 10d22 10f33 10f54 10f74-10f75 10fb4-10fb6 10fb9-10fba 10fbd 10fc2-10fc3 "
    "10fc9"
)


def _listed(ranges: str) -> list[str]:
    return [
        chr(code_point)
        for first, _, last in (each.partition("-") for each in ranges.split())
        for code_point in range(int(first, 16), int(last or first, 16) + 1)
    ]


# WordBreakProperty: ALetter of category Sk.
_LETTER_SIGNS = frozenset(
    _listed("2c2-2c5 2d2-2d7 2de-2df 2e5-2eb 2ed 2ef-2ff a708-a716 a720-a721 a789-a78a ab5b")
)
_NOTHING = frozenset(_listed(_DEFAULT_IGNORABLE)) | set("\u055b\u055c\u055e")


class Ranges:
    """A set of characters, as the code points at which it begins and ends in turn."""

    def __init__(self, changes: list[int]):
        self._changes = changes

    def __contains__(self, character: str) -> bool:
        return bisect.bisect_right(self._changes, ord(character)) % 2 == 1

    def __iter__(self) -> Iterator[str]:
        return (
            chr(code_point)
            for first, end in zip(self._changes[::2], self._changes[1::2], strict=True)
            for code_point in range(first, end)
        )


class Characters(NamedTuple):
    """The table. A character is a string of one code point.

    Attributes:
      letters: Letters and digits that stand for themselves.
      marks: Likewise.
      folds: By character, what stands for it: letters, marks, joiners and spaces, each of which
        stands for itself; "" of nothing. What is in none of the three is a separator.
      classes: The canonical combining class of the marks that have one.
      pairs: By two characters, the one that they compose to. Not those of Hangul, which Unicode
        computes.
      dual_joining: Letters that join those before and after them, if nothing is between.
      right_joining: Letters that join only those before them.
      ends: Separators at which a sentence ends.
    """

    letters: Ranges
    marks: Ranges
    folds: dict[str, str]
    classes: dict[str, int]
    pairs: dict[str, str]
    dual_joining: Ranges
    right_joining: Ranges
    ends: Ranges


def read(path: files.PathLike = PATH) -> Characters:
    """Reads the table."""
    content = json.loads(files.read_text(path))
    sets = {
        name: Ranges(content[name])
        for name in ("letters", "marks", "dual_joining", "right_joining", "ends")
    }
    classes = {
        character: int(order)
        for order, changes in content["classes"].items()
        for character in Ranges(changes)
    }
    # Lists, as to Swift two strings are one key if they look alike.
    folds, pairs = (
        dict(zip(content[name][::2], content[name][1::2], strict=True))
        for name in ("folds", "pairs")
    )
    return Characters(**sets, classes=classes, folds=folds, pairs=pairs)


def make() -> dict[str, Any]:
    """Returns the content of `characters.json`, from Python's own copy of Unicode 14.0.

    Raises:
      RuntimeError: If Python has another version.
    """
    if unicodedata.unidata_version != UNICODE:
        raise RuntimeError(
            f"needs Python with Unicode {UNICODE}, not {unicodedata.unidata_version}"
        )
    folded = {character: _folded(character) for character in map(chr, range(0x110000))}
    kept = [c for c, to in folded.items() if to == c and c not in _FOLDED and c != SEPARATOR]
    marks = [character for character in kept if _is_mark(character)]
    by_class = collections.defaultdict(list)
    for mark in marks:
        by_class[unicodedata.combining(mark)].append(mark)
    del by_class[0]
    return {
        "unicode": UNICODE,
        "letters": _changes(character for character in kept if not _is_mark(character)),
        "marks": _changes(marks),
        "folds": [
            each
            for character, to in folded.items()
            if character in _FOLDED or (to != character and set(to) != {SEPARATOR})
            for each in (character, to)
        ],
        "classes": {str(order): _changes(by_class[order]) for order in sorted(by_class)},
        # What folding leaves of a letter, composition may join again.
        "pairs": [
            each
            for whole in folded
            if (pair := _pair(whole)) and unicodedata.normalize("NFD", whole) == folded[whole]
            for each in (pair, whole)
        ],
        "dual_joining": _changes(_listed(_DUAL_JOINING)),
        "right_joining": _changes(_listed(_RIGHT_JOINING)),
        "ends": _changes([*_listed(_SENTENCE_ENDS), *_MORE_ENDS]),
    }


def _folded(character: str) -> str:
    text = character
    while (folded := "".join(map(_step, text))) != text:
        text = folded
    return text


def _step(character: str) -> str:
    if character in _FOLDED:
        return _FOLDED[character]
    category = unicodedata.category(character)
    if category == "Cn" or character == _ZERO_WIDTH_SPACE:
        return SEPARATOR
    if category in ("Cf", "Me") or character in _NOTHING:
        return ""
    if _is_hangul(character):  # Of which the others stand for themselves.
        return character
    # Canonically first: what is an apostrophe is not to be torn apart.
    for form in ("NFD", "NFKD"):
        if (plain := unicodedata.normalize(form, character)) != character:
            # Marks of Arabic by themselves are letters to Unicode, on a space.
            return plain.lstrip(SEPARATOR) if category[0] == "L" else plain
    if _is_mark(character):
        return character
    if category[0] == "L" or category in ("Nl", "Nd"):
        folded = character.casefold()
        return folded if "\u13a0" <= folded <= "\u13f5" else character.lower()
    return SEPARATOR


def _is_hangul(character: str) -> bool:
    """Whether it is a syllable, which normalisation computes instead of looking it up."""
    return "\uac00" <= character <= "\ud7a3"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Mc") or character in _LETTER_SIGNS


def _pair(whole: str) -> str | None:
    """Returns the two characters that compose to one."""
    if _is_hangul(whole) or unicodedata.normalize("NFC", whole) != whole:
        return None
    parts = unicodedata.decomposition(whole).split()
    canonical = len(parts) == 2 and not parts[0].startswith("<")
    return "".join(chr(int(part, 16)) for part in parts) if canonical else None


def _changes(characters: Iterable[str]) -> list[int]:
    """Returns the code points at which a set begins and ends in turn."""
    code_points = set(map(ord, characters))
    first = [each for each in code_points if each - 1 not in code_points]
    end = [each + 1 for each in code_points if each + 1 not in code_points]
    return sorted(first + end)


def write(path: files.PathLike = PATH) -> None:
    """Writes the table, a line a member."""
    members = (f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in make().items())
    files.write_text(path, "{" + ",\n".join(members) + "}\n")


if __name__ == "__main__":
    write()
