"""What `prepare` does by default, up to which bounds, and what it says of one message alone."""

import os
import pathlib
import signal
import threading

import pytest

from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.messages import Message
from fedkeyboard.data.prepare import building, prepare


def users(count, *more):
    """Users with six sentences each, and what else they wrote."""
    rows = [(user, f"hello there {i}") for user in range(count) for i in range(6)]
    return [
        Message(f"user{user}", None, text, row)
        for row, (user, text) in enumerate([*rows, *((0, text) for text in more)], 1)
    ]


def build(messages, path, **options):
    return prepare(messages, path, source="s", cleaning=Cleaning(), **options)


def test_a_population_is_not_replaced_by_default(tmp_path, refuses):
    path = tmp_path / "it.sqlite"
    build(users(9), path)
    before = path.read_bytes()
    with refuses(path, "is a population already"):
        build(users(10), path)
    assert path.read_bytes() == before
    # Another seed is another file, and the first one is the default.
    build(users(9), path, overwrite=True)
    assert path.read_bytes() == before
    build(users(9), path, overwrite=True, seed=0, fractions=(0.8, 0.1, 0.1), phones=None)
    assert path.read_bytes() == before


def test_phones_have_a_most(tmp_path, refuses):
    for phones in (0, 2**31 + 1):
        with refuses(f"phones is {phones}", "at most 2147483648"):
            build(users(9), tmp_path / "it.sqlite", phones=phones)
    assert build(users(9), tmp_path / "it.sqlite", phones=1).phones["train"] == 1
    # Of as many as there may be, nothing is wrong but that there are no messages.
    with refuses("there are no messages"):
        build([], tmp_path / "most.sqlite", phones=2**31)


def test_the_lock_is_its_owners_alone(tmp_path):
    with building(tmp_path / "it.sqlite"):
        (lock,) = tmp_path.iterdir()
        assert lock.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.iterdir())
    with building(tmp_path / "it.sqlite"):
        lock.unlink()  # By hand, which does no harm.
    assert not list(tmp_path.iterdir())


def test_who_is_interrupted_while_waiting_leaves_nothing_open(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGUSR1])
    try:
        with building(tmp_path / "it.sqlite"):
            (lock,) = tmp_path.iterdir()
            timer.start()
            with pytest.raises(KeyboardInterrupt), building(tmp_path / "it.sqlite", wait=True):
                pass
            held = [os.path.realpath(each) for each in pathlib.Path("/proc/self/fd").iterdir()]
            assert held.count(str(lock)) == 1
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ([], None),
        (["hi"], "1 message left out: 1 too short"),
        (["hi", "ha ha"], "2 messages left out: 1 too short, 1 one word repeated"),
        (["see https://example.org now"], "links taken out of 1 message"),
        (
            ["see https://example.org now", "or https://example.org now", "hi"],
            "1 message left out: 1 too short; links taken out of 2 messages",
        ),
    ],
)
def test_of_one_message_it_is_said_in_the_singular(more, note, tmp_path):
    assert build(users(9, *more), tmp_path / "it.sqlite").note == note
