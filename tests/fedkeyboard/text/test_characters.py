import json
import unicodedata

import pytest
import regex

from fedkeyboard.text import characters
from fedkeyboard.text.words import TABLE, words

ALL = [chr(code_point) for code_point in range(0x110000)]
# What UAX #29 has within a word, between two letters of a script that it fits.
WITHIN = regex.compile(
    r"[\p{WB=ALetter}\p{WB=Hebrew_Letter}\p{WB=Katakana}\p{WB=MidLetter}\p{WB=MidNumLet}"
    r"\p{WB=Single_Quote}\p{WB=Double_Quote}\p{WB=ExtendNumLet}\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}"
    r"\p{WB=Numeric}]"
)


@pytest.mark.heavy
def test_the_file_is_what_this_version_of_unicode_makes():
    if unicodedata.unidata_version != characters.UNICODE:
        pytest.skip("another Unicode: the file is what counts")
    assert json.loads(characters.PATH.read_text()) == characters.make()


@pytest.mark.parametrize(
    ("character", "folded"),
    [
        ("\u00c5", "a\u030a"),  # A ring: taken apart, then in lower case.
        ("\u212b", "a\u030a"),  # The sign of the angstrom, which is it.
        ("\uff21", "a"),  # A full-width A: plain, then in lower case.
        ("\u01c4", "dz\u030c"),  # Both.
        ("\u1e9b", "s\u0307"),  # A long s with a dot: taken apart, then plain.
        ("\u1e9e", "ss"),  # A capital sharp s: in lower case, then two letters.
        ("\ufb05", "st"),  # A ligature: a long s and t, the s then plain.
        ("\u0344", "\u0308\u0301"),
        ("\uff07", "'"),
        ("a", "a"),
    ],
)
def test_a_character_is_folded_until_nothing_changes(character, folded):
    """What takes two steps, and what the file must say: one form of it after one look."""
    assert characters._folded(character) == folded
    assert TABLE.folds.get(character, character) == folded


def test_what_stands_for_a_character_stands_for_itself():
    for folded in TABLE.folds.values():
        for each in folded:
            known = each in TABLE.letters or each in TABLE.marks or each == " "
            assert known or TABLE.folds[each] == each
    assert not any(
        c in TABLE.marks or TABLE.folds.get(c, "x") != c for c in TABLE.letters if c in TABLE.folds
    )


def test_what_unicode_does_not_have_separates():
    for character in ALL:
        if unicodedata.category(character) in ("Cn", "Co", "Cs"):
            assert words(f"a{character}b") == ["a", "b"]


def test_words_end_where_unicode_ends_them_but_for_the_exceptions_that_are_stated():
    """The `regex` library has the tables of UAX #29, of a later Unicode."""
    assigned = [c for c in ALL if unicodedata.category(c) not in ("Cn", "Co", "Cs")]
    parted = {c for c in assigned if WITHIN.match(c) and len(words(f"א{c}א")) > 1}
    stated = [
        *(".", "\u2024", "\ufe52", "\uff0e"),  # full stops
        *(":", "\ufe13", "\ufe55", "\uff1a"),  # colons
        *(
            "\u058a",
            "\u30a0",
            "\u203f",
            "\u2040",
            "\u2054",
            "\ufe33",
            "\ufe34",
        ),  # hyphens, low lines
        *("_", "\ufe4d", "\ufe4e", "\ufe4f", "\uff3f"),
        "\u202f",  # narrow no-break space
        *("\u066b", "\u19da"),  # within numbers
        "\u00b8",  # a cedilla by itself, which is on a space
        *("\ufdfa", "\ufdfb"),  # several words
        *map(chr, range(0x1F150, 0x1F16A)),  # letters in circles and squares
        *map(chr, range(0x1F170, 0x1F18A)),
        *map(chr, range(0x1F3FB, 0x1F400)),  # colours of emoji
    ]
    assert parted == set(stated)


def test_joiners_and_marks_are_inside_words_as_unicode_has_them():
    for script, inside in [
        ("a", "'’ʼ`´·\u02d0\u02e5\u0301\u00ad\u2060\u20dd"),
        ("ա", "\u055a\u055b\u055c\u055e\u055f"),
        ("א", '\u05f3\u05f4"\u05b4'),
        ("か", "\u309b\u3099"),
    ]:
        for character in inside:
            assert len(words(f"{script}{character}{script}")) == 1, hex(ord(character))


def test_sentences_end_at_unicodes_terminals():
    terminal = regex.compile(r"\p{Sentence_Terminal}")
    # Of a later Unicode: those that were not terminals in ours.
    later = set("\u2024\ufe12\ufe15\ufe16\u2cf9\u2cfa\u2cfb")
    assigned = {c for c in ALL if unicodedata.category(c) != "Cn" and terminal.match(c)}
    assert assigned - later == set(TABLE.ends) - set("\u2026\n\v\f\r\x85\u2028\u2029")
    for end in TABLE.ends:
        assert words(f"a{end}b") == ["a", "b"]


def test_what_cannot_be_seen_is_nothing():
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    separating, joining = "\u200b", "\u200c\u200d"
    for character in ALL:
        if ignorable.match(character) and unicodedata.category(character) != "Cn":
            expected = ["a", "b"] if character == separating else ["ab"]
            assert words(f"a{character}b") == expected, hex(ord(character))
    assert words(f"क्{joining[0]}ष") == [f"क्{joining[0]}ष"]
