import os
import pathlib
import signal
import subprocess
import sys

import pytest

from fedkeyboard import files
from fedkeyboard.data import staging, tables
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.messages import Message
from fedkeyboard.data.population import Population
from fedkeyboard.data.prepare import building, prepare
from fedkeyboard.errors import RunFailure

ROOT = pathlib.Path(__file__).parents[2]


def build(messages, path, **options):
    defaults = {"source": "s", "cleaning": Cleaning(), "overwrite": True}
    return prepare(messages, path, **defaults | options)


class TestRefusals:
    def users(self, count, sentences=5):
        return [
            Message(f"anna{user}", None, f"hello there {i}", 1 + user * sentences + i)
            for user in range(count)
            for i in range(sentences)
        ]

    @pytest.mark.parametrize(
        ("count", "sentences", "parts"),
        [
            (0, 0, ["there are no messages"]),
            (9, 4, ["no user has 5 usable sentences", "lower --min-sentences"]),
            (1, 5, ["only 1 of the users", "at least 3", "add messages"]),
            (2, 5, ["only 2 of the users", "at least 3", "add messages"]),
        ],
    )
    def test_too_few_users(self, count, sentences, parts, tmp_path, refuses):
        with refuses("chat.csv", *parts, secrets=["anna", "hello"]):
            build(self.users(count, sentences), tmp_path / "file", source="chat.csv")
        assert not list(tmp_path.iterdir())

    def test_three_users_are_enough(self, tmp_path):
        summary = build(self.users(3), tmp_path / "file")
        assert summary.phones == {"train": 1, "validation": 1, "test": 1}
        assert (summary.users_left_out, summary.first_row_left_out, summary.note) == (0, None, None)

    def test_one_user_left_out(self, tmp_path):
        messages = [*self.users(4), Message("late", None, "one message only", 99)]
        summary = build(messages, tmp_path / "file")
        assert summary.note.startswith("1 user left out")
        assert "it begins at row 99" in summary.note
        summary = build([*messages, Message("later", None, "one as well", 100)], tmp_path / "file")
        assert summary.note.startswith("2 users left out")
        assert "the first one begins at row 99" in summary.note

    @pytest.mark.parametrize(
        ("options", "parts"),
        [
            ({"seed": -1}, ["seed is -1"]),
            ({"fractions": (0.8, 0.1)}, ["fractions", "0.8, 0.1", "3 numbers"]),
            ({"fractions": (0.8, 0.1, 0.2)}, ["fractions", "sum to 1"]),
            ({"fractions": (0.9, 0.1, 0.0)}, ["fractions", "above 0"]),
        ],
    )
    def test_impossible_settings(self, options, parts, tmp_path, refuses):
        with refuses(*parts):
            build(self.users(9), tmp_path / "file", **options)

    def test_output_is_a_directory(self, tmp_path, refuses):
        with refuses(tmp_path, "is a directory"):
            build(self.users(9), tmp_path)

    def test_output_below_a_file(self, tmp_path, refuses):
        (tmp_path / "file").write_text("mine")
        with refuses(tmp_path / "file", "is not a directory"):
            build(self.users(9), tmp_path / "file" / "population.sqlite")

    def test_existing_population(self, tmp_path, refuses):
        path = tmp_path / "new" / "er" / "file"
        build(self.users(9), path)
        before = path.read_bytes()
        with refuses(path, "is a population already", "--force"):
            build(self.users(10), path, overwrite=False)
        assert path.read_bytes() == before
        build(self.users(10), path)
        assert path.read_bytes() != before

    def test_the_file_of_messages_is_not_overwritten(self, tmp_path, refuses):
        path = tmp_path / "chat.csv"
        path.write_text("user,text\n" + "a,b\n" * 99)
        before = path.read_bytes()
        with refuses(path, "is not a population file"):
            build(tables.csv_rows(tables.Table(path, path)), path)
        assert path.read_bytes() == before

    def test_a_full_disk(self, few, tmp_path, monkeypatch, refuses):
        # A limit of pages gives SQLite's own error of a full disk.
        limited = staging.UNFINISHED + "PRAGMA max_page_count = 12;"
        monkeypatch.setattr(staging, "UNFINISHED", limited)
        with refuses(tmp_path / "file", "(database or disk is full)", "room", error=RunFailure):
            build(few, tmp_path / "file")
        assert not list(tmp_path.iterdir())


class TestInterrupted:
    @pytest.fixture(params=["nothing there", "an older population there"])
    def untouched(self, request, few, tmp_path):
        """The path to build; checks in the end that its directory is as it was."""
        path = tmp_path / "file"
        if request.param != "nothing there":
            build(few[:500], path)
        before = {each: each.read_bytes() for each in tmp_path.iterdir()}
        yield path
        files.remove_unfinished(tmp_path)
        assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before

    def test_while_reading(self, untouched, few):
        def messages():
            yield from few[:1000]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(messages(), untouched)

    def test_by_a_bad_row(self, untouched, few, refuses):
        bad = untouched.parent.parent / f"{untouched.parent.name}.csv"
        rows = "".join(f"u{i % 9},hello there {i}\n" for i in range(1000))
        bad.write_text(f"user,text\n{rows}nobody,said,this\n")
        with refuses(bad, "line 1002"):
            build(tables.csv_rows(tables.Table(bad, bad)), untouched)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_while_writing(self, error, untouched, few, monkeypatch):
        real = staging.Staging.sentences
        written = []

        def sentences(self, user):
            written.append(user)
            if len(written) == 4:
                # What is being written, and the lock.
                assert len(list(untouched.parent.glob(".file.*.part"))) == 2
                raise error
            return real(self, user)

        monkeypatch.setattr(staging.Staging, "sentences", sentences)
        with pytest.raises(error):
            build(few, untouched)
        assert len(written) == 4

    @pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_by_a_signal_while_reading(self, kill, untouched):
        script = """
import itertools, sys, time
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.messages import Message
from fedkeyboard.data.prepare import prepare

def messages():
    for i in itertools.count(1):
        if i == 30_000:
            print("reading", flush=True)
            time.sleep(60)
        yield Message(f"u{i % 9}", None, f"hello there {i}", i)

prepare(messages(), sys.argv[1], source="s", cleaning=Cleaning(), overwrite=True)
"""
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(untouched)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:
            try:
                assert process.stdout.readline() == b"reading\n"
                process.send_signal(kill)
                assert process.wait(10) != 0
            finally:
                process.kill()


def test_what_is_left_out_is_said(tmp_path):
    """A user of a million messages keeps 500."""
    many = [Message("a", None, f"number {i} of many", i) for i in range(1, 3001)]
    others = [
        Message(user, None, text, 4000)
        for user in "bcd"
        for text in [*(f"it is {user} {i}" for i in range(6)), "hi", "it is d 5", "<Media omitted>"]
    ]
    summary = build([*many, *others], tmp_path / "file")
    assert summary.left_out == {
        "placeholders": 3,
        "too short": 3,
        "beyond the most of a user": 2500,
    } | ({"the message before again": 1} if "the message before again" in summary.left_out else {})
    assert "2,500 beyond the most of a user" in summary.note
    with Population.open(tmp_path / "file") as population:
        assert population.description["left_out"] == summary.left_out


def test_text_without_spaces_is_the_cause_that_is_told(tmp_path, refuses):
    texts = ["你今天好吗我很好谢谢你", "明天见面的时候我们再说吧", "这个东西真的非常好吃哦"]
    users = [Message(u, None, t + u, i) for u in "abcd" for i, t in enumerate(texts * 3, 1)]
    with refuses("36 messages are text without spaces", secrets=texts):
        build(users, tmp_path / "file")
    # Of others, which are more, it is not.
    users = [Message(u, None, t, i) for u in "abcd" for i, t in enumerate([*texts, *["hi"] * 4], 1)]
    with refuses("no user has 5 usable sentences", secrets=texts):
        build(users, tmp_path / "file")


def test_a_second_process_is_told_to_wait(few, tmp_path, refuses):
    path = tmp_path / "file"
    with building(path), refuses(path, "another process is building it", error=RunFailure):
        build(few, path, phones=100)
    build(few, path, phones=100)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    # What a killed one left is no hindrance.
    (tmp_path / ".other.building.fedkeyboard.part").touch()
    build(few, tmp_path / "other")
    assert {each.name for each in tmp_path.iterdir()} == {"file", "other"}
