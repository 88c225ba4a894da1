"""What was written is what is read, or an error: through flipped bits, kills and other writers."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from fedkeyboard import files, hashed
from fedkeyboard.errors import RunFailure, UserError


@pytest.fixture
def path(tmp_path):
    hashed.write_text(tmp_path / "file", "what was written")
    return tmp_path / "file"


def read(path):
    return hashed.read_bytes(path, at_most=1000)


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_every_flipped_bit_of_a_file_and_of_the_record_is_found(path):
    for damaged in (path, path.parent / hashed.RECORD):
        for bit in range(8 * damaged.stat().st_size):
            flip(damaged, bit)
            with pytest.raises(RunFailure, match=rf"{damaged.name}: damaged"):
                read(path)
            flip(damaged, bit)
    assert read(path) == b"what was written"


def test_content_that_is_shorter_longer_or_another_files(path):
    hashed.write_text(path.with_name("other"), "what was not")
    for content in ("", "what was", "what was written, and more", "what was not"):
        path.write_text(content)
        with pytest.raises(RunFailure, match="do this"):
            hashed.read_bytes(path, at_most=1000, remedy="do this")


def test_without_a_hash_a_line_says_so_once(tmp_path, caplog):
    (tmp_path / "old").write_text("of an older version")
    for _ in range(2):
        assert read(tmp_path / "old") == b"of an older version"
    (line,) = caplog.messages
    assert str(tmp_path) in line and "hashes.json" in line and "\n" not in line


@pytest.mark.parametrize("failing", ["record", "file"])
def test_a_write_that_fails_leaves_a_file_that_can_be_read(path, monkeypatch, failing):
    write = files.write_bytes if failing == "file" else files.write_text
    for attempt in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(files, write.__name__, lambda *_: (_ for _ in ()).throw(OSError(28)))
            with pytest.raises(OSError, match="28"):
                hashed.write_bytes(path, b"attempt %d" % attempt)
        assert read(path) == b"what was written"
    hashed.write_bytes(path, b"new")
    assert read(path) == b"new"
    # What was there before the last two writes would be an error.
    hashed.write_bytes(path, b"newer")
    hashed.write_bytes(path, b"newest")
    path.write_bytes(b"new")
    with pytest.raises(RunFailure, match="damaged"):
        read(path)


def test_a_killed_writer_leaves_a_file_that_can_be_read(path):
    code = (
        "import sys; from fedkeyboard import hashed\n"
        "for n in range(10**6): hashed.write_text(sys.argv[1], str(n)); n or print(flush=True)"
    )
    drawn = random.Random(1)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(drawn.uniform(0.005, 0.1))
            writer.send_signal(signal.SIGKILL)
        assert read(path).isdigit()
    hashed.write_text(path, "whole")
    assert sorted(p.name for p in path.parent.iterdir()) == ["file", hashed.RECORD]


def test_what_is_replaced_while_it_is_read_is_no_damage(path):
    done = threading.Event()

    def write():
        n = 0
        while not done.is_set():
            hashed.write_text(path, str(n := n + 1))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(100):
            read(path)
    finally:
        done.set()
        writer.join()


def test_of_a_file_that_grows_what_is_recorded_is_checked(tmp_path):
    path = tmp_path / "rows"
    hashed.write_text(path, "columns\n")
    with open(path, "a") as file:
        file.write("1\n2\n")
    hashed.record(tmp_path, [path])
    with open(path, "a") as file:
        file.write("3\nhal")
    assert hashed.read_rows(path, at_most=100) == (b"columns\n1\n2\n3\nhal", 12)
    for bit in range(8 * 12):
        flip(path, bit)
        with pytest.raises(RunFailure, match="rows: damaged"):
            hashed.read_rows(path, at_most=100)
        flip(path, bit)
    flip(path, 8 * 13)
    assert hashed.read_rows(path, at_most=100)[1] == 12
    # It is replaced by less, and the record still holds for either.
    hashed.write_text(path, "columns\n1\n")
    assert hashed.read_rows(path, at_most=100) == (b"columns\n1\n", 10)


def test_a_tree_of_files(tmp_path):
    (tmp_path / "below").mkdir()
    paths = [tmp_path / "one", tmp_path / "below" / "two"]
    for path in paths:
        path.write_text(path.name)
    hashed.check_all(tmp_path)
    hashed.record(tmp_path, paths)
    hashed.check_all(tmp_path)
    for path in paths:
        flip(path, 3)
        with pytest.raises(RunFailure, match=f"{path.name}: damaged"):
            hashed.check_all(tmp_path)
        path.unlink()
        with pytest.raises(RunFailure, match=f"{path.name}: damaged"):
            hashed.check_all(tmp_path)
        path.write_text(path.name)
    (tmp_path / "below" / "three").write_text("more")
    with pytest.raises(RunFailure, match="three: damaged"):
        hashed.check_all(tmp_path)
    (tmp_path / "below" / "three").unlink()
    (tmp_path / "one").unlink()
    os.mkfifo(tmp_path / "one")
    with pytest.raises(UserError, match="one: .* pipe"):
        hashed.check_all(tmp_path)


@pytest.mark.parametrize("content", [{}, {"files": 5}, {"files": {"file": 5}}, {"files": []}])
def test_a_record_of_something_else(path, content):
    (path.parent / hashed.RECORD).write_text(hashed.sealed(content))
    with pytest.raises(RunFailure, match=r"hashes\.json: damaged"):
        read(path)


def test_json_that_python_cannot_read(path):
    for text in ("[" * 100_000, "9" * 5000, "{", "\ud800".encode("utf-8", "surrogatepass")):
        write = hashed.write_bytes if isinstance(text, bytes) else hashed.write_text
        write(path, text)
        with pytest.raises(RunFailure, match=f"{path.name}: damaged") as caught:
            hashed.read_json(path, at_most=10**6)
        assert len(str(caught.value).splitlines()) == 1


def test_a_seal_is_of_the_bytes(tmp_path):
    content = {"sha256": "ignored", "a": [1, 2.5, "é"], "z": None}
    text = hashed.sealed(content)
    assert hashed.is_sealed(text.encode()) and list(json.loads(text)) == ["a", "z", "sha256"]
    assert hashed.sealed(json.loads(text)) == text
    for other in ("", "{}", text[:-1], text + "\n", text.replace(" 1,", "  1,"), "é" + text):
        assert not hashed.is_sealed(other.encode())
