"""Files are whole or not there, and what is read is a regular file of a bounded size."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from fedkeyboard import files
from fedkeyboard.errors import UserError


def test_reads_a_regular_file_up_to_a_size(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, at_most=5) == b"12345"
    with pytest.raises(UserError, match=r"5 bytes, where at most 4"):
        files.read_bytes(path, at_most=4)


def test_no_device_pipe_or_directory_is_read(tmp_path):
    zero, pipe = tmp_path / "zero", tmp_path / "pipe"
    zero.symlink_to("/dev/zero")
    os.mkfifo(pipe)
    for path in (zero, pipe):
        with pytest.raises(UserError, match="regular file"):
            files.read_text(path)
    with pytest.raises(UserError, match="directory"):
        files.read_text(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        files.read_text(tmp_path / "none")


def test_what_a_killed_process_began_is_removed_and_what_a_live_one_writes_is_not(tmp_path):
    code = (
        "import sys, time; from fedkeyboard import files\n"
        "with files.replacing(sys.argv[1]) as t:\n"
        "    t.write_text('half'); print(flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "killed"], stdout=subprocess.PIPE
    )
    with process:
        process.stdout.readline()
        files.write_text(tmp_path / "other", "whole")
        assert len(list(tmp_path.glob(".killed.*"))) == 1
        process.send_signal(signal.SIGKILL)
    theirs = tmp_path / ".theirs.part"
    theirs.write_text("of another program")
    files.write_text(tmp_path / "other", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".theirs.part", "other"]


def test_many_writers_of_one_file(tmp_path):
    def write(text):
        for _ in range(50):
            files.write_text(tmp_path / "one", text * 1000)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "one").read_text() in {letter * 1000 for letter in "abcd"}
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_an_error_of_the_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="room") as caught, files.replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "no room")
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
