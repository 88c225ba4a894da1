"""How files, pipes and devices are opened, compressed or not."""

import os
import socket
import zipfile

import pytest

from fedkeyboard.data import opened


@pytest.fixture
def standard_input():
    """Has another file as the process' standard input."""
    kept, files = os.dup(0), []

    def replace(descriptor):
        os.dup2(descriptor, 0)
        files.append(descriptor)

    yield replace
    os.dup2(kept, 0)
    for descriptor in (kept, *files):
        os.close(descriptor)


def content(path):
    with opened.readable(path) as place, open(place, "rb") as file:
        return file.read()


def test_standard_input_by_its_path(standard_input, tmp_path, refuses):
    (tmp_path / "a").write_text("hello")
    standard_input(os.open(tmp_path / "a", os.O_RDONLY))
    assert content("/dev/stdin") == b"hello"
    standard_input(os.open("/dev/null", os.O_RDONLY))
    assert content("/dev/stdin") == content("/dev/null") == b""
    # Another device than that, which has no end.
    with refuses("/dev/zero is a device"), opened.readable("/dev/zero"):
        pass


def test_without_standard_input_a_device_is_a_device(standard_input, refuses):
    standard_input(os.open("/dev/null", os.O_RDONLY))
    os.close(0)
    with refuses("/dev/null is a device"), opened.readable("/dev/null"):
        pass


def test_a_terminal_is_no_file_of_messages(standard_input, refuses):
    ours, terminal = os.openpty()
    standard_input(terminal)
    os.write(ours, b"hello\n\x04\x04")  # And the end of what is typed, should it be read.
    with refuses("/dev/stdin is a device"), opened.readable("/dev/stdin"):
        pass
    os.close(ours)


def test_a_pipe_that_cannot_be_opened_says_so(tmp_path, refuses):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with refuses(tmp_path / "socket", "cannot be read"), opened.readable(tmp_path / "socket"):
            pass


def test_what_is_not_there_is_told_by_who_opens_it(tmp_path):
    with opened.readable(tmp_path / "none") as place:
        assert place == tmp_path / "none"


def test_the_file_of_an_archive_is_found_among_folders(tmp_path, refuses):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("chats")
        archive.writestr("__MACOSX/chats/._messages.csv", "x")
        archive.writestr("chats/messages.csv", "user,text\n")
    assert opened.inner_name(path, path) == "chats/messages.csv"
    with opened.text(path, path) as file:
        assert file.read() == "user,text\n"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("chats/more.csv", "user,text\n")
    assert opened.inner_name(path, path) == str(tmp_path / "a")
    with refuses(path, "holds 2 files"), opened.text(path, path):
        pass


@pytest.mark.parametrize(
    ("name", "inner"),
    [("a.csv.gz", "a.csv"), ("a.CSV.XZ", "a.CSV"), ("a.csv", "a.csv"), ("a.zst", "a")],
)
def test_a_name_without_its_compression(name, inner):
    assert opened.inner_name("nothing there", name) == inner


def test_lines_are_counted_from_one(tmp_path, refuses):
    path = tmp_path / "a.txt"
    for text, line in ((b"\xff\xfea\0\n\0b", 1), (b"\xff\xfea", 0)):
        path.write_bytes(text)
        with refuses(path, f"not in utf-16, after line {line}"):
            list(opened.lines(path, path, "utf-16"))
    path.write_bytes(b"fine\nfine\nna\xefve\n")
    with refuses(path, "line 3 is not UTF-8"):
        list(opened.lines(path, path))
    path.write_bytes(b"fine\nn\0ul\n")
    with refuses(path, "line 2 holds a NUL byte"):
        list(opened.lines(path, path))
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert list(opened.lines(path, path)) == ["one\r\n", "two"]


def test_a_line_has_a_longest(tmp_path, monkeypatch, refuses):
    monkeypatch.setattr(opened, "LONGEST_LINE", 10)
    path = tmp_path / "a.txt"
    path.write_text("fine\n" + "a" * 8 + "\n")
    assert len(list(opened.lines(path, path))) == 2
    path.write_text("fine\n" + "a" * 10 + "\n")
    with refuses(path, "line 2 has more than 10 characters"):
        list(opened.lines(path, path))
