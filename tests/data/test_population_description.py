"""What a population file must say of itself to be read: up to each bound, and beyond it."""

import contextlib
import sqlite3

import pytest

from fedkeyboard.data import population, seals
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.messages import Message
from fedkeyboard.data.population import Population
from fedkeyboard.data.prepare import prepare

MOST = 2**40


def described(**changes):
    """What `meta` says of 5 phones, with changes by dotted path."""
    split = {"phones": 3, "sentences": 0, "words": 0, "first": 0, "last": 2}
    said = {
        "source": "", "sentences": 0, "words": 0, "left_out": {"too short": 0}, "seed": 0,
        "fingerprint": "0" * 64, "sha256": "f" * 64, "more": 1,
        "splits": {
            "train": split | {"users": {"first": 0, "last": 0}},
            "validation": split | {"phones": 1, "first": 3, "last": 3},
            "test": split | {"phones": 1, "first": 4, "last": 4},
        },
    }  # fmt: skip
    for path, value in changes.items():
        *parents, last = path.split("__")
        of = said
        for parent in parents:
            of = of[parent]
        if value is None:
            del of[last]
        else:
            of[last] = value
    return said


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"source": "s" * 10_000},
        {"seed": 2**64 - 1},
        {"splits__train__words": None},
        {"splits__train__last": MOST - 1, "splits__train__phones": MOST - 1,
         "splits__train__first": 1},
        {"splits__train__users__first": MOST - 1, "splits__train__users__last": MOST - 1},
    ],
    ids=str,
)  # fmt: skip
def test_descriptions_that_are_taken(changes):
    assert population._Description.model_validate(described(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "s" * 10_001},
        {"seed": -1}, {"seed": 2**64}, {"seed": 1.0}, {"seed": "1"},
        {"sentences": -1}, {"words": -1}, {"left_out": {"too short": -1}},
        {"fingerprint": "0" * 63}, {"sha256": "F" * 64}, {"sha256": "0" * 65},
        {"splits__train__first": -1, "splits__train__phones": 4},
        {"splits__train__phones": 4}, {"splits__train__phones": 2},
        {"splits__train__first": 3, "splits__train__phones": 0},
        {"splits__train__sentences": -1}, {"splits__train__words": -1},
        {"splits__train__last": MOST, "splits__train__phones": MOST - 1,
         "splits__train__first": 2},
        {"splits__train__first": "0"}, {"splits__train__users__last": -1},
        {"splits__train__users__first": -1}, {"splits__train__users__last": MOST},
        {"splits__train__users__more": 1}, {"splits__train__more": 1},
        {"splits__dev": {"phones": 1, "sentences": 0, "first": 9, "last": 9}},
    ],
    ids=str,
)  # fmt: skip
def test_descriptions_that_nobody_wrote(changes):
    with pytest.raises(ValueError):
        population._Description.model_validate(described(**changes))


def test_a_source_may_have_a_long_name(few, tmp_path):
    """As JSON each of its letters is six."""
    name = "é" * 10_000
    prepare(few, tmp_path / "it.sqlite", source=name, cleaning=Cleaning())
    with Population.open(tmp_path / "it.sqlite") as opened:
        assert opened.description["source"] == name


@pytest.mark.parametrize("text", ["hello there", "hello " + "é" * 600_000], ids=len)
def test_a_user_may_have_one_sentence_and_a_long_one(text, tmp_path):
    users = [Message(f"user{user}", None, text, user) for user in range(1, 4)]
    prepare(users, tmp_path / "it.sqlite", source="s", cleaning=Cleaning(minimum_sentences=1))
    with Population.open(tmp_path / "it.sqlite") as opened:
        assert [opened.sentences(user) for user in range(3)] == [[text]] * 3


def test_a_hash_may_be_nothing(tmp_path):
    """As that of one voice in 2**24 is."""
    users = [Message(f"user{i % 3}", None, f"hello there {i}", i) for i in range(1, 19)]
    prepare(users, tmp_path / "it.sqlite", source="s", cleaning=Cleaning(), phones=1)
    count = 2_752_249
    assert seals.of_voice(0, 3, count) == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "it.sqlite")) as connection:
        connection.execute("UPDATE voice SET user = 3, sentences = ?, seal = 0", [count])
        connection.commit()
    with Population.open(tmp_path / "it.sqlite") as opened:
        assert opened.users("train") == range(3, 4)
        assert opened.sentence_counts([0]).tolist() == [count]


def test_pages_of_any_size(population_file, refuses):
    """SQLite writes the largest one, of 64 KB, as 1."""
    with contextlib.closing(sqlite3.connect(population_file)) as connection:
        connection.executescript("PRAGMA page_size = 65536; VACUUM;")
    content = population_file.read_bytes()
    assert content[16:18] == b"\0\1" and len(content) % 65536 == 0
    with Population.open(population_file) as opened:
        assert opened.sentences(0)
    population_file.write_bytes(content[:-1])
    with refuses(population_file, "cut short"):
        Population.open(population_file)


def test_what_is_no_population(population_file, tmp_path):
    assert population.is_population(population_file)
    (tmp_path / "text").write_text("user,text")
    for other in (tmp_path / "none", tmp_path / "text" / "below", tmp_path / "text", tmp_path):
        assert not population.is_population(other)
