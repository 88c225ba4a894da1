import json

import pytest

from fedkeyboard.errors import UserError
from fedkeyboard.text import spellings, subwords
from fedkeyboard.text.tokenizer import Tokenizer

USERS = [
    ["Die Straße ist weiß, weiß", "δρόμος ΔΡΌΜΟΣ", "ทำ น้ำ"],
    ["Strasse straße Maße", "ο δρόμος", "ทำ"],
    ["STRASSE Straße masse Masse masse", "ㅋㅋ ㅋㅋ", "die"],
    ["masse die", "ㅋㅋ", "weiss"],
]


def learned(minimum_users: int) -> Tokenizer:
    return Tokenizer.learn(USERS, vocabulary_size=50, minimum_users=minimum_users)


def test_the_commonest_spelling_is_shown():
    tokenizer = learned(2)
    assert dict(tokenizer.spellings) == {
        "strasse": "straße",
        "δρόμοσ": "δρόμος",
        "ทํา": "ทำ",
        "ᄏᄏ": "ㅋㅋ",
    }
    assert tokenizer.shown[tokenizer.encode("STRASSE")[0]] == "straße"
    assert tokenizer.shown[tokenizer.encode("die")[0]] == "die"


def test_a_spelling_of_one_user_is_not_shown():
    # Two users wrote the word, each in a spelling of their own; one wrote "Maße".
    tokenizer = learned(2)
    assert "weiss" in tokenizer.vocabulary
    assert "weiss" not in tokenizer.spellings and "masse" not in tokenizer.spellings
    assert learned(1).spellings["weiss"] == "weiß"


def test_they_do_not_depend_on_the_order_of_users():
    again = Tokenizer.learn(reversed(USERS), vocabulary_size=50, minimum_users=2)
    assert again == learned(2)


@pytest.mark.parametrize("kind", ["word", "unigram"])
def test_they_are_saved_with_the_vocabulary(tmp_path, kind):
    tokenizer = subwords.learn(USERS, kind=kind, vocabulary_size=60, minimum_users=2)
    tokenizer.save(tmp_path)
    read = subwords.load(tmp_path, kind)
    assert read == tokenizer and read.of_words.spellings["strasse"] == "straße"
    assert (tmp_path / spellings.FILE).read_text().isascii()


def test_a_phone_reads_them_beside_its_vocabulary(tmp_path):
    tokenizer = learned(2)
    tokenizer.save_vocabulary(tmp_path / "vocabulary.txt")
    assert Tokenizer.load_vocabulary(tmp_path / "vocabulary.txt").shown == tokenizer.shown


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"strasse": 1}',
        '{"strasse": ["straße"]}',
        '{"strasse": "rot"}',
        '{"strasse": "Straße"}',
        '{"strasse": "straße\\u001b[2J"}',
        '{"nowhere": "nowhere"}',
        "[" * 20000,
    ],
)
def test_what_is_no_spelling_is_refused(tmp_path, content):
    learned(2).save_vocabulary(tmp_path / "vocabulary.txt")
    (tmp_path / spellings.FILE).write_text(content)
    with pytest.raises(UserError, match=spellings.FILE):
        Tokenizer.load_vocabulary(tmp_path / "vocabulary.txt")


def test_nothing_is_shown_otherwise_of_english(tiny_tokenizer):
    assert tiny_tokenizer.shown == tiny_tokenizer.vocabulary
    assert json.loads(spellings.written(tiny_tokenizer.spellings)) == {}
