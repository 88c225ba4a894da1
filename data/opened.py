"""Opens what messages are read from: files, compressed or not, pipes, standard input.

A pipe can be read once, and readers open a file twice (what is it? read it), so a pipe is first
written to a file without a name. Compressed files are read as they are decompressed, so that a
bomb costs time and no memory: lines have a longest.
"""

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from fedkeyboard.data import messages
from fedkeyboard.data.messages import PathLike
from fedkeyboard.errors import UserError

STDIN = "-"
LONGEST_LINE = 1 << 24  # Characters.
_AT_ONCE = 1 << 20
_ENDINGS = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".zip")
# ValueError is Arrow's.
_DAMAGED = (EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


@contextlib.contextmanager
def readable(path: PathLike) -> Iterator[PathLike]:
    """Yields what stands for `path` and can be opened several times.

    `path` itself if it is a file or a directory; of standard input ("-") or a pipe a file with what
    it brings.

    Raises:
      UserError: If it is a device, or cannot be read.
    """
    if path != STDIN:
        try:
            mode = os.stat(path).st_mode
        except OSError:  # Who opens it says why.
            yield path
            return
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            yield path
            return
        if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode) and not _is_stdin(path):
            raise UserError(f"{path} is a device; name a file of messages")
    with tempfile.TemporaryFile() as spool:
        try:
            if path == STDIN:
                shutil.copyfileobj(sys.stdin.buffer, spool, _AT_ONCE)
            else:
                with open(path, "rb") as source:
                    shutil.copyfileobj(source, spool, _AT_ONCE)
            spool.flush()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
        yield f"/proc/self/fd/{spool.fileno()}"


def _is_stdin(path: PathLike) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(path, "/dev/stdin") and not os.isatty(0)
    return False


def inner_name(path: PathLike, name: PathLike) -> str:
    """Returns the name of a file without the ending that says how it is compressed.

    Arguments are those of `binary`.
    """
    name = os.fspath(name)
    stem, ending = os.path.splitext(name)
    if ending.lower() == ".zip":
        # The member's name says more, if it can be known.
        with contextlib.suppress(OSError, *_DAMAGED, UserError), zipfile.ZipFile(path) as archive:
            return _only_member(name, archive).filename
    return stem if ending.lower() in _ENDINGS else name


class _Decompressed(io.RawIOBase):
    """A stream whose damage is an OSError, as that of a file, whatever decompresses it."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        try:
            content = self._file.read(len(buffer))
        except (OSError, *_DAMAGED) as error:
            reason = getattr(error, "strerror", None) or "cut short, or damaged"
            raise OSError(errno.EIO, reason) from error
        buffer[: len(content)] = content
        return len(content)


@contextlib.contextmanager
def binary(path: PathLike, name: PathLike) -> Iterator[IO[bytes]]:
    """Yields the bytes of a file, decompressed.

    Args:
      path: Where it is (`readable`).
      name: What it is called, for errors.

    Raises:
      UserError: If it cannot be opened.
      OSError: From reading, if it is damaged.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(messages.open_file(path, name))
        begin = file.read(6)
        file.seek(0)
        if begin.startswith(b"\x1f\x8b"):
            inside = stack.enter_context(gzip.GzipFile(fileobj=file))
        elif begin.startswith(b"BZh"):
            inside = stack.enter_context(bz2.BZ2File(file))
        elif begin.startswith(b"\xfd7zXZ\0") or os.fspath(name).lower().endswith(".lzma"):
            inside = stack.enter_context(lzma.LZMAFile(file))
        elif begin.startswith(b"\x28\xb5\x2f\xfd"):
            import pyarrow

            inside = pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd")
        elif begin.startswith(b"PK\x03\x04"):
            try:
                archive = stack.enter_context(zipfile.ZipFile(file))
                inside = stack.enter_context(archive.open(_only_member(name, archive)))
            except (*_DAMAGED, NotImplementedError) as error:
                raise UserError(
                    f"{name}: a ZIP file that is damaged, encrypted or of an unknown kind; take "
                    "the file out of it"
                ) from error
        else:
            yield file
            return
        yield io.BufferedReader(_Decompressed(inside), _AT_ONCE)


@contextlib.contextmanager
def text(
    path: PathLike, name: PathLike, encoding: str = "utf-8-sig", errors: str = "strict"
) -> Iterator[IO[str]]:
    """Yields the text of a file, decompressed, with its line ends.

    Arguments and errors are those of `binary`, and of `open`.
    """
    try:
        with (
            binary(path, name) as file,
            io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="") as lines,
        ):
            yield lines
    except LookupError as error:
        raise UserError(f"--encoding: there is no {encoding!r}; give utf-16 or latin-1") from error


def lines(path: PathLike, name: PathLike, encoding: str = "utf-8-sig") -> Iterator[str]:
    """Yields the lines of a file, checked, with their line ends.

    Raises:
      UserError: As `binary`; if a line is too long, is not in the encoding or holds a NUL byte, or
        the file is damaged.
    """
    number = 0
    try:
        # So that the line is known that is not in UTF-8.
        errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
        with text(path, name, encoding, errors) as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), 1):
                if len(line) == LONGEST_LINE:
                    raise UserError(
                        f"{name}: line {number} has more than {LONGEST_LINE:,} characters; is it a "
                        "file of another format?"
                    )
                if not messages.is_encodable(line):
                    raise UserError(
                        f"{name}: line {number} is not UTF-8; say how the file is written with "
                        "--encoding, such as latin-1 or utf-16"
                    )
                if "\0" in line:
                    raise UserError(
                        f"{name}: line {number} holds a NUL byte; save the file as plain UTF-8 "
                        "text, or say how it is written with --encoding"
                    )
                yield line
    except UnicodeError as error:
        raise UserError(f"{name}: not in {encoding}, after line {number}") from error
    except OSError as error:
        raise UserError(f"{name}: cannot be read after line {number} ({error.strerror})") from error


def _only_member(name: PathLike, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise UserError(
            f"{name}: holds {len(members):,} files, and one is read; take it out of the archive"
        )
    return members[0]
