import itertools
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedkeyboard.text.words import TABLE, sentences, spellings, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't DON’T don`t don´t donʼt don＇t", ["don't"] * 6),
        ("rock 'n' roll, the dogs' bowl", ["rock", "n", "roll", "the", "dogs", "bowl"]),
        ("say''hello'' 'tis 90's ŉ", ["say", "hello", "tis", "90's", "n"]),
        ("well-known e-mail_address", ["well", "known", "e", "mail", "address"]),
        ("hello.how are:you", ["hello", "how", "are", "you"]),
        ("gr8! 10 3.14 ½ ①", ["gr8", "10", "3", "14", "1", "2", "1"]),
        ("❤️ 👍🏽 👨‍👩‍👧‍👦 1️⃣ ok", ["1", "ok"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ΣΟΦΟΣ σοφος", ["σοφοσ", "σοφοσ"]),
        ("café cafe\u0301 ＣＡＦÉ cafe\u200d\u0301", ["café"] * 4),
        ("İyi iyi I\u0307yi i\u0307yi ısı", ["iyi", "iyi", "iyi", "iyi", "ısı"]),
        ("نمی‌خواهم کتاب‌ها کار‌ها کارها", ["نمی‌خواهم", "کتاب‌ها", "کارها", "کارها"]),
        ("żaba ŻABA z\u0307aba", ["żaba"] * 3),  # A dot above stays on all but an i.
        ("i\u0301\u0307 i\u0323\u0307 z\u0307i", ["í", "ị", "żi"]),
        # Of several that join or do not, the last one counts, for the letter before all of them.
        ("ب\u200c\u200cب ب\u200d\u200cب ب\u064e\u200cب", ["ب‌ب", "ب‌ب", "بَ‌ب"]),
        ("col·legi coŀlegi", ["col·legi"] * 2),
        ('צה"ל צה״ל ג׳ירפה "שלום"', ['צה"ל', 'צה"ל', "ג'ירפה", "שלום"]),
        ('\u05d0"\u05d1 \u05d1"\u05f2', ['\u05d0"\u05d1', '\u05d1"\u05f2']),
        ("ինչո՞ւ կ՚ուզեմ", ["ինչու", "կ'ուզեմ"]),
        ("ශ්‍රී సాఫ్ట్‌వేర్", ["ශ්‍රී", "సాఫ్ట్‌వేర్"]),
        ("o‘zbek oʻzbek o'zbek", ["o'zbek"] * 3),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("so\u00adft \ufeffbom ភាសា\u200bខ្មែរ", ["soft", "bom", "ភាសា", "ខ្មែរ"]),
        ("각 가\u11a8 \u1100\u1161\u11a8 か゛ が", ["각", "각", "각", "が", "が"]),
        ("葛\U000e0100 葛 二〇二三", ["葛", "葛", "二〇二三"]),
        ("line\nbreak\tand\u00a0space", ["line", "break", "and", "space"]),
        ("''' ... \u0301 _ \u0301a", ["a"]),
        ("", []),
    ],
)
def test_rules(text, expected):
    assert words(text) == expected


def holds(text):
    """Checks what holds for the words of any text."""
    said = words(text)
    assert words(" ".join(said)) == said
    for form in ("NFC", "NFD"):
        assert words(unicodedata.normalize(form, text)) == said
    for word in said:
        assert unicodedata.category(word[0])[0] in "LN"
        assert " " not in word and word[-1] not in "'·\"\u055f\u200c\u200d"
    assert list(itertools.chain(*sentences(text))) == said
    spelled = spellings(text)
    assert [words(spelling) for spelling in spelled] == [[word] for word in said]
    assert [spellings(spelling) for spelling in spelled] == [[each] for each in spelled]


@given(st.text())
@example("İ ẞ ſ K Å ﬁ ǅ ŉ ᾳ ͅ Σ ς' ßs\u030c \u1fef \u1ffd")
def test_words_of_any_text_are_their_own_words(text):
    holds(text)


# What rules are about; letters of each kind of joining, of each side of Hangul, and vowel signs.
SPECIAL = "'’·\u055f\"״\u200c\u200d \u00ad.\ufe0f\u20e3\u034f"
SPECIAL += "\u0307\u0301\u0327\u0345\u0654\u05b4\u094d\u0dca\u3099\u0e4d"
LETTERS = "iıIİaßςΣé1\u0621اب\u05d0\u0915\u09c7\u09be\u1100\u1161\u11a8\uac00\u1160ำຳ"


@given(st.text(alphabet=SPECIAL + LETTERS))
def test_and_of_text_in_which_every_character_matters(text):
    holds(text)


def test_and_of_every_character_by_itself_and_between_letters():
    # Of the ideographs, and of what Unicode does not have, a few.
    few = [*range(0x3500), *range(0x4DF0, 0x4E10), *range(0x9FF0, 0xAC10), *range(0xD790, 0x1F900)]
    for character in map(chr, [*few, *range(0x2F800, 0x2FA20), *range(0xE0000, 0xE0200)]):
        holds(character)
        holds(f"a{character}b")


@pytest.mark.heavy
def test_and_of_pairs_with_what_combines_or_joins():
    for special in SPECIAL:
        for other in itertools.chain(TABLE.marks, TABLE.folds):
            for text in (
                special + other,
                other + special,
                f"i{other}{special}ب",
                f"ب{special}{other}ا",
            ):
                said = words(text)
                assert words(" ".join(said)) == said


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz' "))
def test_case_does_not_matter(text):
    assert words(text.upper()) == words(text)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("Straße STRASSE STRAẞE", ["straße", "strasse", "straße"]),
        ("δρόμος ΔΡΌΜΟΣ δρόμοσ σ", ["δρόμος", "δρόμος", "δρόμος", "σ"]),
        ("ทำ ນ້ຳ ໜ", ["ทำ", "ນ້ຳ", "ໜ"]),
        ("և ㅋㅋㅋ ㅠㅠ", ["և", "ㅋㅋㅋ", "ㅠㅠ"]),
        # The first and the last ones of Korean before and after the filler.
        ("\u3131 \u3163 \u3165 \u318e", ["\u3131", "\u3163", "\u3165", "\u318e"]),
        ("İyi Café don’t ＣＡＦÉ", ["iyi", "café", "don't", "café"]),
    ],
)
def test_spellings_keep_what_rules_fold(text, spelled):
    assert spellings(text) == spelled
    assert [words(each) for each in spelled] == [[word] for word in words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How are you? I'm ok! see you... bye", ["how are you", "i'm ok", "see you", "bye"]),
        ("क्या हुआ। 你好。好！ ہاں۔ ለ።ሐ", ["क्या हुआ", "你好", "好", "ہاں", "ለ", "ሐ"]),
        ("one\ntwo\r\nthree\u2028four", ["one", "two", "three", "four"]),
        ("ինչո՞ւ, հա: ա։ բ", ["ինչու հա ա", "բ"]),
        ("?!... ", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == [sentence.split() for sentence in expected]
