"""Whether `golden.json` has a text that fails for each rule of words, if a client leaves it out."""

import pathlib
import types
import unicodedata

import pytest

from fedkeyboard.text import characters
from fedkeyboard.text import words as rules
from fedkeyboard.tflite_export import golden

SOURCE = pathlib.Path(rules.__file__).read_text()
RULES = golden.rules()


def reproduced(module) -> bool:
    """Returns whether a client with these rules would pass."""
    return all(module.words(each["text"]) == each["words"] for each in RULES["texts"]) and all(
        module.sentences(each["text"]) == each["sentences"] for each in RULES["sentences"]
    )


def made(source: str, table: characters.Characters = rules.TABLE):
    """Returns the rules of words of other source code, or by another table."""
    module = types.ModuleType("mutated")
    code = source.replace("TABLE = characters.read()", "TABLE = _given")
    assert code != source
    module._given = table
    exec(compile(code, "mutated", "exec"), module.__dict__)
    return module


def test_the_rules_themselves_reproduce_it():
    assert reproduced(made(SOURCE))


@pytest.mark.parametrize(
    ("rule", "without"),
    [
        # 2: when U+200C and U+200D stay.
        ("_ZERO_WIDTH.sub(_zero_width, kept)", "_ZERO_WIDTH.sub('', kept)"),
        ("_ZERO_WIDTH.sub(_zero_width, kept)", "_ZERO_WIDTH.sub(' ', kept)"),
        ("_ZERO_WIDTH.sub(_zero_width, kept)", "kept"),
        ("if after in _NO_LETTERS:", "if False:"),
        ("any(TABLE.classes.get(mark) == _VIRAMA for mark in marks)", "False"),
        ("== _VIRAMA for mark in marks)", "== _VIRAMA for mark in marks[-1:])"),
        ("== _VIRAMA for mark in marks)", "== _VIRAMA for mark in marks[:1])"),
        ("found[0] == NON_JOINER\n        and", "True and"),
        ("and before in TABLE.dual_joining\n", "\n"),
        ("(after in TABLE.dual_joining or after in TABLE.right_joining)", "True"),
        (
            "(after in TABLE.dual_joining or after in TABLE.right_joining)",
            "after in TABLE.dual_joining",
        ),
        (
            "(after in TABLE.dual_joining or after in TABLE.right_joining)",
            "after in TABLE.right_joining",
        ),
        ("text[start - 1] in _MARKS or", ""),
        # 3: when other joiners stay.
        ("_JOINERS.sub(_joiner, kept)", "_JOINERS.sub(' ', kept)"),
        ("_JOINERS.sub(_joiner, kept)", "kept"),
        ("joins = after not in _NO_LETTERS", "joins = True"),
        ("before in _HEBREW and", ""),
        ("and after in _HEBREW", ""),
        ("if found[0] == GERSHAYIM:", "if False:"),
        ("_ASCII_APART.sub(SEPARATOR, kept)", "kept"),
        ("|'(?![a-z0-9])", ""),
        ("|(?<![a-z0-9])'", ""),
        # 4: Turkish capitals.
        ("_DOT_ABOVE in kept", "False"),
        ('letter == "i"', "True"),
        ("if character not in _MARKS:\n            letter", "if True:\n            letter"),
        # 5 and 6: what begins a word; order and composition.
        ("map(_from_letter, kept.split())", "kept.split()"),
        ('unicodedata.normalize("NFC", runs)', "runs"),
        ('unicodedata.normalize("NFC", runs)', 'unicodedata.normalize("NFD", runs)'),
        # Sentences.
        ("text.translate(_ENDS)", "text"),
    ],
)
def test_leaving_out_a_rule_fails(rule, without):
    assert SOURCE.count(rule) == 1
    assert not reproduced(made(SOURCE.replace(rule, without)))


def altered(**changes) -> characters.Characters:
    folds = rules.TABLE.folds | changes.pop("folds", {})
    return rules.TABLE._replace(folds=folds, **changes)


class Less:
    """A set of the table without some."""

    def __init__(self, of, without):
        self._of, self._without = of, without

    def __contains__(self, character):
        return character in self._of and not self._without(character)

    def __iter__(self):
        return (each for each in self._of if each in self)


class More(Less):
    """With some more."""

    def __contains__(self, character):
        return character in self._of or self._without(character)


def folded(*which: str, to: str | None = None) -> characters.Characters:
    """The table in which characters separate, or become something else."""
    return altered(folds={each: " " if to is None else to for each in which})


def of_category(*categories):
    return lambda character: unicodedata.category(character) in categories


def without_fold(left_out) -> characters.Characters:
    """The table in which some characters stand for themselves, or separate."""
    return altered(folds={each: each for each in rules.TABLE.folds if left_out(each)})


@pytest.mark.parametrize("apostrophe", "`´ʻʼ՚׳‘’‛＇\u1fef\u1ffd")
def test_leaving_out_an_apostrophe_fails(apostrophe):
    assert not reproduced(made(SOURCE, folded(apostrophe)))


@pytest.mark.parametrize("joiner", "'·\u0387\u2027\u055f\"״\u200c\u200d\u0140")
def test_leaving_out_a_joiner_fails(joiner):
    assert not reproduced(made(SOURCE, folded(joiner)))


@pytest.mark.parametrize(
    "nothing",
    "\u00ad\u2060\u200e\ufeff\ufe0f\u180b\U000e0100\u034f\u1160\u3164\u0489\u20e3\u055b\u055c\u055e",
)
def test_what_is_nothing_is_no_separator_and_no_letter(nothing):
    assert not reproduced(made(SOURCE, folded(nothing)))
    if unicodedata.category(nothing) in ("Lo", "Mn"):
        assert not reproduced(made(SOURCE, folded(nothing, to=nothing)))


@pytest.mark.parametrize("separator", ".:-_,\u200b\u2010\u203f\u30fb¦\u2024")
def test_a_separator_is_not_nothing_and_not_part_of_a_word(separator):
    assert not reproduced(made(SOURCE, folded(separator, to="")))
    kept = altered(
        folds={separator: separator}, letters=More(rules.TABLE.letters, separator.__eq__)
    )
    assert not reproduced(made(SOURCE, kept))


@pytest.mark.parametrize(
    "left_out",
    [
        *map(of_category, ("Ll", "Lo", "Nl", "Nd")),
        lambda c: c >= "\u0660" and unicodedata.category(c) == "Nd",
        lambda c: c > "\uffff",
        lambda c: "\u4e00" <= c <= "\u9fff",
    ],
)
def test_leaving_out_letters_fails(left_out):
    assert not reproduced(made(SOURCE, altered(letters=Less(rules.TABLE.letters, left_out))))


@pytest.mark.parametrize("left_out", map(of_category, ("Mn", "Mc", "Sk")))
def test_leaving_out_marks_fails(left_out):
    assert not reproduced(made(SOURCE, altered(marks=Less(rules.TABLE.marks, left_out))))


@pytest.mark.parametrize(
    "left_out",
    [
        of_category("Lu"),
        of_category("Lt"),
        lambda c: unicodedata.decomposition(c).startswith("<"),
        lambda c: unicodedata.decomposition(c)[:1] not in ("", "<"),
        *(each.__eq__ for each in "ßςẞİꭳ゛゜ﬁＡﻻำև㌀Ⅷ①½ſ\u212a\u2126\U0001d400\ufe76"),
        lambda c: unicodedata.decomposition(c).startswith("<super>"),
    ],
)
def test_leaving_out_a_fold_fails(left_out):
    if not any(map(left_out, rules.TABLE.folds)):
        pytest.skip("nothing is folded so")
    assert not reproduced(made(SOURCE, without_fold(left_out)))


@pytest.mark.parametrize("character", "\uf900\U0002f800\u0958\u0344\u212b")
def test_leaving_out_what_is_the_same_to_unicode_fails(character):
    # Normalisation makes up for those in Python, and in clients that have it.
    assert not reproduced(made(SOURCE, folded(character)))


def test_a_newer_unicode_fails():
    """Letters of 15.0 and 16.0, as a browser has them."""
    newer = "\u0cf3\U0001df25\U000323af\ua7cb"
    for character in newer:
        letters = More(rules.TABLE.letters, character.__eq__)
        assert not reproduced(made(SOURCE, altered(letters=letters)))
    assert not reproduced(made(SOURCE, altered(letters=More(rules.TABLE.letters, "\ue000".__eq__))))


@pytest.mark.parametrize("end", ".?!\r\u2028\u2029\x85\f\v।॥。？！｡؟۔።…။។։﹒．‼")
def test_leaving_out_an_end_of_sentences_fails(end):
    assert end in rules.TABLE.ends
    assert not reproduced(made(SOURCE, altered(ends=Less(rules.TABLE.ends, end.__eq__))))


def composed(text: str, *, order=True, first=True, last=True, blocks=True, pairs=True) -> str:
    """What clients without a library do: canonical order and composition by the table."""
    table = rules.TABLE
    kept = list(text)
    for end in range(len(kept) if order else 0):
        at = end
        while at and 0 < table.classes.get(kept[at], 0) < table.classes.get(kept[at - 1], 0):
            kept[at - 1 : at + 1] = kept[at], kept[at - 1]
            at -= 1
    whole, letter, before = [], None, 0
    for character in kept:
        rank = table.classes.get(character, 0)
        if letter is not None and (letter == len(whole) - 1 or before < rank or not blocks):
            one, other = ord(whole[letter]), ord(character)
            both = table.pairs.get(whole[letter] + character) if pairs else None
            if first and 0x1100 <= one <= 0x1112 and 0x1161 <= other <= 0x1175:
                both = chr(0xAC00 + ((one - 0x1100) * 21 + other - 0x1161) * 28)
            syllable = 0xAC00 <= one <= 0xD7A3 and not (one - 0xAC00) % 28
            if last and syllable and 0x11A8 <= other <= 0x11C2:
                both = chr(one + other - 0x11A7)
            if both:
                whole[letter] = both
                continue
        letter, before = (len(whole), rank) if not rank else (letter, rank)
        whole.append(character)
    return "".join(whole)


def made_with(**options):
    module = made(SOURCE)
    compose = lambda _, text: " ".join(composed(word, **options) for word in text.split())  # noqa: E731
    module.unicodedata = types.SimpleNamespace(normalize=compose)
    return module


def test_composing_by_the_table_reproduces_it():
    assert reproduced(made_with())


@pytest.mark.parametrize("step", ["order", "first", "last", "blocks", "pairs"])
def test_leaving_out_a_step_of_composition_fails(step):
    assert not reproduced(made_with(**{step: False}))
