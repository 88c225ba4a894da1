import collections
import contextlib
import hashlib
import json
import sqlite3

import numpy as np
import pytest
import scipy.stats

from fedkeyboard import files
from fedkeyboard.data import voices
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.population import Population
from fedkeyboard.data.prepare import building, prepare
from fedkeyboard.errors import RunFailure, UserError

PHONES = 1000


def build(few, path, **options):
    options = {"phones": PHONES, "seed": 1} | options
    return prepare(few, path, source="few", cleaning=Cleaning(), overwrite=True, **options)


def contents(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.fixture(scope="module")
def real(few, tmp_path_factory):
    path = tmp_path_factory.mktemp("real") / "real.sqlite"
    build(few, path, phones=None)
    with Population.open(path) as population:
        yield population


@pytest.fixture(scope="module")
def multiplied(few, tmp_path_factory):
    path = tmp_path_factory.mktemp("multiplied") / "multiplied.sqlite"
    build(few, path)
    with Population.open(path) as population:
        yield population


def texts(population, numbers):
    return [population.sentences(number) for number in numbers]


def test_training_phones_are_multiplied_and_nobody_else(real, multiplied):
    assert multiplied.multiplied and not real.multiplied
    assert multiplied.phones("train") == range(PHONES)
    assert real.users("train") == real.phones("train")
    assert len(multiplied.users("train")) == len(real.users("train")) < PHONES
    for split in real.splits:
        assert texts(multiplied, multiplied.users(split)) == texts(real, real.users(split))
    for split in ("validation", "test"):
        assert multiplied.phones(split) == multiplied.users(split)
        assert len(multiplied.phones(split)) == len(real.phones(split))


def test_a_voice_is_half_or_more_of_a_training_users_sentences_in_their_order(multiplied):
    users = {tuple(text) for text in texts(multiplied, multiplied.users("train"))}
    by_user = collections.Counter()
    for voice in texts(multiplied, multiplied.phones("train")):
        (of,) = (user for user in users if is_part(voice, user))
        assert len(of) / 2 <= len(voice) <= len(of)
        by_user[of] += 1
    assert set(by_user) == users
    assert max(by_user.values()) - min(by_user.values()) <= 1


def test_shares_are_uniform_from_a_half_to_all():
    """Of users with so many sentences that rounding them up does not show."""
    of, counts = voices._draw(1, 0, 20_000, np.array([10**6, 2 * 10**6, 10**7]))
    shares = counts / np.array([10**6, 2 * 10**6, 10**7])[of]
    uniform = scipy.stats.uniform(0.5, 0.5)
    assert scipy.stats.kstest(shares, uniform.cdf).pvalue > 1e-4
    assert 0.5 <= shares.min() < 0.501 and 0.999 < shares.max() <= 1


@pytest.mark.parametrize("sentences", [1, 2, 3, 5])
def test_a_voice_of_few_sentences_is_rounded_up(sentences):
    _, counts = voices._draw(1, 0, 2000, np.array([sentences]))
    assert set(counts) == set(range(-(-(sentences + 1) // 2), sentences + 1))


def is_part(part, whole):
    """Whether `part` is `whole` with some left out."""
    rest = iter(whole)
    return all(sentence in rest for sentence in part)


def test_voices_of_a_user_differ(multiplied):
    longest = max(texts(multiplied, multiplied.users("train")), key=len)
    of = [v for v in texts(multiplied, multiplied.phones("train")) if is_part(v, longest)]
    assert len(set(map(tuple, of))) == len(of) > 10


def test_counts_are_known_without_reading(multiplied, real):
    for population in (multiplied, real):
        numbers = [*range(0, len(population.phones("train")), 7), *population.phones("test")]
        lengths = [len(text) for text in texts(population, numbers)]
        np.testing.assert_array_equal(population.sentence_counts(numbers), lengths)
    split = multiplied.description["splits"]["train"]
    assert split["sentences"] == multiplied.sentence_counts(range(PHONES)).sum()
    assert multiplied.description["sentences"] == real.description["sentences"]


def test_they_follow_from_seed_and_number(few, tmp_path, multiplied):
    build(few, tmp_path / "same.sqlite")
    assert (tmp_path / "same.sqlite").read_bytes() == multiplied.path.read_bytes()
    other = build(few, tmp_path / "other.sqlite", phones=PHONES + 1)
    assert other.fingerprint != multiplied.fingerprint
    with Population.open(tmp_path / "other.sqlite") as more:
        # The phones that both have are the same, so a fleet can be enlarged.
        assert texts(more, range(PHONES)) == texts(multiplied, range(PHONES))


def test_chunks_do_not_matter(few, tmp_path, multiplied, monkeypatch):
    monkeypatch.setattr(voices, "_CHUNK", 17)
    build(few, tmp_path / "chunked.sqlite")
    assert contents(tmp_path / "chunked.sqlite") == contents(multiplied.path)


class Stopped(Exception):
    pass


@pytest.fixture
def stopped(few, tmp_path, monkeypatch):
    """A build that was stopped after 300 phones."""
    monkeypatch.setattr(voices, "_CHUNK", 100)

    def stop(count):
        if count == 300:
            raise Stopped

    with pytest.raises(Stopped):
        build(few, tmp_path / "it.sqlite", on_voices=stop)
    assert [path.name for path in tmp_path.iterdir()] == [".it.sqlite.partial"]
    return tmp_path / "it.sqlite"


def test_a_stopped_build_goes_on(few, stopped, multiplied):
    seen = []
    build(few, stopped, on_voices=seen.append)
    assert seen[0] == 400 and seen[-1] == PHONES
    assert contents(stopped) == contents(multiplied.path)
    assert [path.name for path in stopped.parent.iterdir()] == [stopped.name]


def test_what_goes_on_is_no_leftover(few, stopped, multiplied, monkeypatch):
    """To another command, which removes those where it opens a population."""
    synced = files.sync

    def sync(path):
        files.remove_unfinished(stopped.parent)
        synced(path)

    monkeypatch.setattr(files, "sync", sync)
    build(few, stopped)
    assert contents(stopped) == contents(multiplied.path)


def test_another_build_takes_the_rest_away(few, stopped):
    """It holds everybody's text."""
    build(few, stopped, phones=None)
    assert [path.name for path in stopped.parent.iterdir()] == [stopped.name]


@pytest.mark.parametrize(
    "change", [{"phones": PHONES + 1}, {"seed": 2}, {"phones": None}], ids=lambda c: str(c)
)
def test_another_build_does_not_go_on_with_it(few, stopped, change):
    seen = []
    summary = build(few, stopped, on_voices=seen.append, **change)
    assert seen[:1] != [400]
    with Population.open(stopped) as population:
        assert population.fingerprint == summary.fingerprint


@pytest.mark.parametrize("damage", [b"", b"not SQLite", b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_rest_is_replaced(few, stopped, multiplied, damage):
    stopped.with_name(".it.sqlite.partial").write_bytes(damage)
    build(few, stopped)
    assert contents(stopped) == contents(multiplied.path)


def test_two_at_once(few, stopped, refuses):
    partial = stopped.with_name(".it.sqlite.partial")
    with building(stopped), refuses("another process", "it.sqlite", error=RunFailure):
        build(few, stopped)
    assert partial.exists()


def test_no_phones(few, tmp_path, refuses):
    for phones in (0, -1, 10**20):
        with refuses(f"phones is {phones}", "1 or more"):
            build(few, tmp_path / "none.sqlite", phones=phones)


def test_a_file_without_its_voices(few, tmp_path, refuses):
    path = tmp_path / "it.sqlite"
    build(few, path)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM voice WHERE phone = 5")
        connection.execute("UPDATE voice SET sentences = 10000 WHERE phone = 6")
    with Population.open(path) as population:
        for phone, what in ((5, "phone 5 is missing"), (6, "is damaged")):
            with refuses(path, what, error=UserError):
                population.sentences(phone)
        with pytest.raises(IndexError):
            population.sentences(10**7)


def test_the_description(multiplied, real):
    train = multiplied.description["splits"]["train"]
    # How many words voices have is not known, and what users have is not that.
    assert set(train) == {"first", "last", "phones", "users", "sentences"}
    said = json.dumps([real.fingerprint, 1, PHONES, 2])
    assert multiplied.fingerprint == hashlib.sha256(said.encode()).hexdigest()
    assert json.loads(json.dumps(multiplied.description)) == multiplied.description
    ranges = [multiplied.phones(split) for split in multiplied.splits]
    numbers = [n for numbers in (*ranges, multiplied.users("train")) for n in numbers]
    assert numbers == list(range(len(numbers)))
