import concurrent.futures
import contextlib
import os
import pathlib
import random
import sqlite3

import numpy as np
import pytest

from fedkeyboard.data import population, seals
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.population import Population
from fedkeyboard.data.prepare import prepare
from fedkeyboard.errors import UserError


def pages_read(path, fractions):
    """How many bytes it takes to open `path` and draw phones at `fractions` of the train split."""

    def characters_read():
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])

    with open("/proc/self/io") as file:
        own = len(file.read())
    before = characters_read()
    with Population.open(path) as opened:
        phones = opened.phones("train")
        texts = [opened.sentences(phones[int(len(phones) * each)]) for each in fractions]
    return characters_read() - before - own, sum(len(t.encode()) for each in texts for t in each)


def test_opening_and_drawing_read_only_what_they_need(chitchat_population):
    path, _ = chitchat_population
    size = path.stat().st_size
    opening, _ = pages_read(path, [])
    drawing, drawn = pages_read(path, [0.1, 0.3, 0.5, 0.7, 0.9])
    assert 0 < opening < 10 * 4096 < size / 100
    # A path of at most three pages to each phone, and pages at least half full.
    # And as many to its hash.
    assert drawn < drawing - opening < 5 * 6 * 4096 + 3 * drawn


def test_two_threads_and_two_readers_see_the_same(chitchat_population):
    path, summary = chitchat_population
    with Population.open(path) as one, Population.open(path) as other:
        phones = [phone for split in one.splits for phone in one.phones(split)]
        alone = {phone: one.sentences(phone) for phone in phones}
        random.Random(0).shuffle(phones)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            together = dict(zip(phones, pool.map(other.sentences, phones), strict=True))
    assert together == alone
    assert sum(map(len, alone.values())) == summary.sentences


def test_numbers_of_numpy_are_numbers(population_file):
    with Population.open(population_file) as opened:
        assert opened.sentences(np.int64(1)) == opened.sentences(1)


def test_a_reader_keeps_its_file_when_it_is_replaced(population_file, tmp_path):
    with Population.open(population_file) as opened:
        before = opened.sentences(0)
        (tmp_path / "other").write_bytes(b"other")
        os.replace(tmp_path / "other", population_file)
        assert opened.sentences(0) == before


def test_a_name_with_every_sign_of_a_uri(population_file):
    path = population_file.with_name("a b?mode=rw&x=1#%41é.sqlite")
    population_file.rename(path)
    with Population.open(str(path)) as opened:
        assert opened.path == path
        assert opened.sentences(0)


def test_reading_needs_and_leaves_nothing_beside_the_file(population_file):
    population_file.chmod(0o444)
    with Population.open(population_file) as opened:
        opened.sentences(0)
        assert list(population_file.parent.iterdir()) == [population_file]


def test_unknown_split(population_file, refuses):
    with (
        Population.open(population_file) as opened,
        refuses(population_file, "'dev'", "train, validation, test"),
    ):
        opened.phones("dev")


@pytest.mark.parametrize("phone", [-1, 10_000])
def test_unknown_phone(population_file, phone):
    with Population.open(population_file) as opened, pytest.raises(IndexError):
        opened.sentences(phone)


@pytest.mark.parametrize("phones", [None, 200])
def test_a_split_that_was_not_opened_cannot_be_read(few, phones, tmp_path):
    path = tmp_path / "population.sqlite"
    prepare(few, path, source="few", cleaning=Cleaning(), phones=phones)
    with Population.open(path) as whole:
        kept = {s: (whole.phones(s), whole.users(s)) for s in ("train", "validation")}
        assert whole.multiplied == (phones is not None)
        test = sorted({*whole.phones("test"), *whole.users("test")})
        assert test and whole.sentences(test[0])
        texts = {n: whole.sentences(n) for of in kept.values() for r in of for n in r}
    with Population.open(path, ("train", "validation")) as tuned_on:
        assert tuned_on.splits == ("train", "validation")
        assert "test" not in tuned_on.description["splits"]
        for by_split in (tuned_on.phones, tuned_on.users):
            with pytest.raises(UserError, match="no split 'test'"):
                by_split("test")
        for number in (*test, np.int64(test[0])):
            for by_number in (
                tuned_on.sentences,
                tuned_on.times,
                lambda n: tuned_on.sentence_counts([n]),
                lambda n: tuned_on._rows("SELECT text FROM sentence WHERE user = ?", n),
            ):
                with pytest.raises(IndexError, match="no phone"):
                    by_number(number)
        # A voice that the file gives to a test user is refused as well.
        tuned_on._voice = lambda number: (test[0], 1)
        with pytest.raises(IndexError, match="no phone"):
            tuned_on.sentences(0)
        del tuned_on._voice
        for split, (of_phones, of_users) in kept.items():
            assert (tuned_on.phones(split), tuned_on.users(split)) == (of_phones, of_users)
        assert {n: tuned_on.sentences(n) for n in texts} == texts


def test_a_closed_population_is_not_called_damaged(population_file):
    with Population.open(population_file) as opened:
        pass
    with pytest.raises(sqlite3.ProgrammingError):
        opened.sentences(0)


class TestBadFile:
    @pytest.fixture
    def refused(self, population_file, refuses):
        def check(*parts):
            with refuses(population_file, "fedkeyboard prepare", *parts):
                Population.open(population_file)

        return check

    def test_missing(self, population_file, refused):
        population_file.unlink()
        refused("no such population file")
        assert not population_file.exists()

    def test_directory(self, population_file, refused):
        population_file.unlink()
        population_file.mkdir()
        refused("is a directory")

    def test_below_a_file(self, population_file, refuses):
        path = population_file / "below"
        with refuses(path, "cannot be read", "fedkeyboard prepare"):
            Population.open(path)

    @pytest.mark.parametrize("content", [b"", b"user,text\n", b"SQLite format 3\0"])
    def test_not_sqlite(self, content, population_file, refused):
        population_file.write_bytes(content)
        refused("is not a population file")

    def test_another_database(self, population_file, refused):
        population_file.unlink()
        with sqlite3.connect(population_file) as connection:
            connection.execute("CREATE TABLE meta (key, value)")
        refused("is not a population file")

    @pytest.mark.parametrize("version", [0, 1, 2, 4])
    def test_another_version(self, version, population_file, refused):
        with sqlite3.connect(population_file) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        refused(f"version {version}", "reads version 3")

    @pytest.mark.parametrize("left", [80, 100, 4096, -4096, -1])
    def test_cut_short(self, left, population_file, refused):
        population_file.write_bytes(population_file.read_bytes()[:left])
        refused("cut short")

    @pytest.mark.parametrize(
        "damage",
        [
            "DROP TABLE meta",
            "DELETE FROM meta",
            "DELETE FROM meta WHERE key = 'fingerprint'",
            "UPDATE meta SET value = 'x'",
            "UPDATE meta SET value = '1' WHERE key = 'splits'",
            "UPDATE meta SET value = '{\"train\": 1}' WHERE key = 'splits'",
            "UPDATE meta SET value = '{\"train\": {\"first\": 0}}' WHERE key = 'splits'",
        ],
    )
    def test_damaged_description(self, damage, population_file, refused):
        with sqlite3.connect(population_file) as connection:
            connection.execute(damage)
        refused("damaged")

    def test_damaged_pages(self, population_file, refused):
        content = bytearray(population_file.read_bytes())
        content[100:] = b"\xff" * (len(content) - 100)
        population_file.write_bytes(content)
        refused("damaged")

    def test_damaged_sentences(self, population_file, refuses):
        content = bytearray(population_file.read_bytes())
        for page in range(3 * 4096, len(content), 4096):
            content[page : page + 4096] = b"\xff" * 4096
        population_file.write_bytes(content)
        with Population.open(population_file) as opened:
            for phone in opened.phones("train"):
                with refuses(population_file, "damaged", "fedkeyboard prepare"):
                    opened.sentences(phone)

    def test_a_phone_without_sentences(self, population_file, refuses):
        with sqlite3.connect(population_file) as connection:
            connection.execute("DELETE FROM sentence WHERE user = 1")
        with (
            Population.open(population_file) as opened,
            refuses(population_file, "damaged", "fedkeyboard prepare"),
        ):
            opened.sentences(1)

    @pytest.mark.parametrize(
        "script",
        [
            "DROP TABLE sentence; CREATE VIEW sentence AS WITH RECURSIVE n(user, position, time, "
            "text) AS (SELECT 0, 0, NULL, 'a b' UNION ALL SELECT user, position + 1, time, text "
            "FROM n) SELECT * FROM n",
            "CREATE TRIGGER more AFTER INSERT ON meta BEGIN SELECT 1; END",
            "CREATE TABLE more (a)",
            "UPDATE meta SET value = replace(hex(zeroblob(50000)), '00', '[')",
            "UPDATE meta SET value = '1' || hex(zeroblob(5000)) WHERE key = 'seed'",
            "UPDATE meta SET value = x'00' WHERE key = 'fingerprint'",
            "UPDATE meta SET value = CAST(value AS BLOB)",
            "UPDATE meta SET value = value || ' ' || hex(zeroblob(50000)) WHERE key = 'source'",
            "UPDATE meta SET value = replace(value, '\"last\": ', '\"last\": 99999999999')",
            "UPDATE meta SET value = '8' WHERE key = 'seed'",
        ],
    )
    def test_made_to_harm(self, script, population_file, refused):
        with contextlib.closing(sqlite3.connect(population_file)) as connection:
            connection.executescript(script)
        refused("damaged")

    @pytest.mark.parametrize(
        "change",
        [
            "text = CAST(x'ff00ff' AS BLOB)",
            "text = CAST(text AS BLOB)",
            "text = hex(zeroblob(20000000))",
            "text = text || '.'",
            "time = 'now'",
            "time = coalesce(time, 0) + 1",
            "position = position + 1000",
        ],
    )
    def test_sentences_that_are_not_as_written(self, change, population_file, refuses):
        with contextlib.closing(sqlite3.connect(population_file)) as connection:
            connection.execute(f"UPDATE sentence SET {change} WHERE user = 1 AND position = 0")
            connection.commit()
        with Population.open(population_file) as opened:
            if change.startswith("position"):
                # Only the order counts.
                assert opened.sentences(2)
            for read in (opened.sentences, opened.times):
                with refuses(population_file, "damaged", "fedkeyboard prepare"):
                    read(1)

    def test_a_sentence_more_than_was_written(self, population_file, refuses):
        with contextlib.closing(sqlite3.connect(population_file)) as connection:
            connection.execute("INSERT INTO sentence VALUES (1, 100000, NULL, 'hello there')")
            connection.commit()
        with Population.open(population_file) as opened, refuses(population_file, "damaged"):
            opened.sentences(1)

    @pytest.mark.parametrize("change", ["user = 'anna'", "sentences = x'00'", "seal = 'anna'"])
    def test_a_voice_that_is_no_numbers(self, change, few, tmp_path, refuses):
        path = tmp_path / "it.sqlite"
        prepare(few, path, source="few", cleaning=Cleaning(), phones=100)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"UPDATE voice SET {change} WHERE phone = 5")
            connection.commit()
        with Population.open(path) as opened, refuses(path, "damaged", secrets=["anna"]):
            opened.sentences(5)

    def test_a_voice_of_less_than_nothing(self, few, tmp_path, refuses):
        """Whose hash is right."""
        path = tmp_path / "it.sqlite"
        prepare(few, path, source="few", cleaning=Cleaning(), phones=100)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (user,) = connection.execute("SELECT user FROM voice WHERE phone = 5").fetchone()
            connection.execute(
                "UPDATE voice SET sentences = -1, seal = ? WHERE phone = 5",
                [seals.of_voice(5, user, -1)],
            )
            connection.commit()
        with Population.open(path) as opened, refuses(path, "damaged"):
            opened.sentences(5)

    def test_a_file_that_is_refused_is_closed(self, population_file):
        with contextlib.closing(sqlite3.connect(population_file)) as connection:
            connection.executescript("CREATE TABLE more (a)")
        with pytest.raises(UserError) as caught:
            Population.open(population_file)
        held = {os.path.realpath(each) for each in pathlib.Path("/proc/self/fd").iterdir()}
        assert str(population_file) not in held, caught

    def test_a_user_with_another_count(self, population_file, refuses):
        with contextlib.closing(sqlite3.connect(population_file)) as connection:
            connection.execute("UPDATE user SET sentences = 10000000 WHERE user = 1")
            connection.commit()
        with Population.open(population_file) as opened:
            with refuses(population_file, "damaged"):
                opened.sentence_counts([1])
            with refuses(population_file, "damaged"):
                opened.sentences(1)

    def test_a_user_without_a_sentence(self, population_file, refuses):
        """Whose hashes are right: nobody is kept who wrote nothing."""
        seal = seals.of_user(1, [])
        with contextlib.closing(sqlite3.connect(population_file)) as connection:
            connection.execute("DELETE FROM sentence WHERE user = 1")
            connection.execute(
                "UPDATE user SET sentences = 0, seal = ?, row = ? WHERE user = 1",
                (seal, seals.of_row(1, 0, seal)),
            )
            connection.commit()
        with Population.open(population_file) as opened, refuses(population_file, "damaged"):
            opened.sentences(1)

    def test_a_pipe_or_a_device(self, tmp_path, refuses):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "zero").symlink_to("/dev/zero")
        for name in ("pipe", "zero"):
            with refuses(tmp_path / name, "a device or a pipe"):
                Population.open(tmp_path / name)


@pytest.mark.parametrize("phones", [None, pytest.param(300, marks=pytest.mark.heavy)])
def test_a_flipped_bit_is_noticed_or_changes_nothing(few, phones, tmp_path):
    """Of 150 bits all over the file."""
    path = tmp_path / "population.sqlite"
    prepare(few, path, source="few", cleaning=Cleaning(), phones=phones)

    def read():
        with Population.open(path) as opened:
            numbers = [n for split in opened.splits for n in opened.phones(split)]
            numbers += [n for split in opened.splits for n in opened.users(split)]
            said = {n: (opened.sentences(n), opened.sentence_counts([n])[0]) for n in numbers}
            times = {n: opened.times(n) for s in opened.splits for n in opened.users(s)}
            return said, times, opened.fingerprint, opened.description

    whole, before = path.read_bytes(), read()
    draw, noticed = random.Random(5), 0
    for _ in range(150):
        content = bytearray(whole)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            assert read() == before
        except UserError as error:
            assert str(path) in str(error)
            noticed += 1
    assert noticed > 50


def test_the_schema_is_the_one_described(population_file):
    with sqlite3.connect(population_file) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (0x464B4250,)
        assert connection.execute("PRAGMA user_version").fetchone() == (population.VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        plan = "EXPLAIN QUERY PLAN SELECT text FROM sentence WHERE user = 1 ORDER BY position"
        steps = [row[3] for row in connection.execute(plan)]
    assert steps == ["SEARCH sentence USING PRIMARY KEY (user=?)"]
