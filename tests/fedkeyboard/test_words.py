import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedkeyboard.words import cut, sentences, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't DON’T don`t don´t donʼt don＇t", ["don't"] * 6),
        ("rock 'n' roll, the dogs' bowl", ["rock", "n", "roll", "the", "dogs", "bowl"]),
        ("well-known e-mail_address", ["well", "known", "e", "mail", "address"]),
        ("gr8! 10 3.14 ½ ①", ["gr8", "10", "3", "14", "1", "2", "1"]),
        ("❤️ 👍🏽 👨‍👩‍👧‍👦 1️⃣ ok", ["1", "ok"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ΣΟΦΟΣ σοφος", ["σοφοσ", "σοφοσ"]),
        ("café cafe\u0301 ＣＡＦÉ", ["café"] * 3),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("so\u00adft \ufeffbom zero\u200bwidth", ["soft", "bom", "zerowidth"]),
        ("line\nbreak\tand\u00a0space", ["line", "break", "and", "space"]),
        ("''' ... \u0301 _", []),
        ("", []),
    ],
)
def test_rules(text, expected):
    assert words(text) == expected


@given(st.text())
@example("İ ẞ ſ K Å ﬁ ǅ ŉ ᾳ ͅ")
def test_words_have_only_word_characters_and_inner_apostrophes(text):
    for word in words(text):
        assert word.strip("'") == word
        categories = [unicodedata.category(c) for c in word.replace("'", "")]
        assert all(c[0] == "L" or c in ("Mn", "Mc", "Nd") for c in categories)
        assert any(c[0] == "L" or c == "Nd" for c in categories)


@given(st.text(alphabet=st.characters(codec="latin-1")))
def test_words_are_a_fixed_point(text):
    once = words(text)
    assert words(" ".join(once)) == once


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz' "))
def test_case_does_not_matter(text):
    assert words(text.upper()) == words(text)


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("a b. c d", 4, ["a b c d"]),
        ("a b. c d", 3, ["a b", "c d"]),
        ("a b. c! d e f. g", 4, ["a b c", "d e f g"]),
        ("a b c d e. f. g h i", 3, ["a b c", "d e f", "g h i"]),
        ("a. b c d e f g", 3, ["a", "b c d", "e f g"]),
        ("...", 3, []),
    ],
)
def test_a_message_is_cut_where_its_sentences_end(text, length, expected):
    assert cut(text, length) == [row.split() for row in expected]


@given(st.text(alphabet="ab .!\n'\u200d\u0301\u3002"), st.integers(1, 4))
def test_sentences_and_rows_lose_no_word(text, length):
    assert sum(sentences(text), []) == words(text)
    rows = cut(text, length)
    assert sum(rows, []) == words(text)
    assert all(0 < len(row) <= length for row in rows)
