"""Opens what messages are read from: files, compressed or not, pipes, standard input.

A pipe can be read once, and readers open a file twice (what is it? read it), so a pipe is first
written to a file without a name. Compressed files are read as they are decompressed, so that a
bomb costs time and no memory: lines have a longest.
"""

import bz2
import contextlib
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

from data import messages
from data.messages import PathLike
from fedkeyboard.errors import UserError

STDIN = "-"
LONGEST_LINE = 1 << 24  # Characters.
_ENDINGS = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".zip")
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


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
                shutil.copyfileobj(sys.stdin.buffer, spool, 1 << 20)
            else:
                with open(path, "rb") as source:
                    shutil.copyfileobj(source, spool, 1 << 20)
            spool.flush()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
        yield f"/proc/self/fd/{spool.fileno()}"


def _is_stdin(path: PathLike) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(path, "/dev/stdin") and not os.isatty(0)
    return False


def inner_name(path: PathLike) -> str:
    """Returns a name without the ending that says how the file is compressed."""
    name = os.fspath(path)
    stem, ending = os.path.splitext(name)
    if ending.lower() == ".zip":
        # The member's name says more, if it can be known.
        with contextlib.suppress(*DAMAGED, UserError), zipfile.ZipFile(name) as archive:
            return _only_member(path, archive).filename
    return stem if ending.lower() in _ENDINGS else name


@contextlib.contextmanager
def binary(path: PathLike, name: PathLike) -> Iterator[IO[bytes]]:
    """Yields the bytes of a file, decompressed.

    Args:
      path: Where it is (`readable`).
      name: What it is called, for errors.

    Raises:
      UserError: If it cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(messages.open_file(path, name))
        begin = file.read(6)
        file.seek(0)
        if begin.startswith(b"\x1f\x8b"):
            yield stack.enter_context(gzip.GzipFile(fileobj=file))
        elif begin.startswith(b"BZh"):
            yield stack.enter_context(bz2.BZ2File(file))
        elif begin.startswith(b"\xfd7zXZ\0") or os.fspath(name).lower().endswith(".lzma"):
            yield stack.enter_context(lzma.LZMAFile(file))
        elif begin.startswith(b"\x28\xb5\x2f\xfd"):
            import pyarrow

            yield io.BufferedReader(
                pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd"), 1 << 20
            )
        elif begin.startswith(b"PK\x03\x04"):
            try:
                archive = stack.enter_context(zipfile.ZipFile(file))
                yield stack.enter_context(archive.open(_only_member(name, archive)))
            except zipfile.BadZipFile as error:
                raise UserError(f"{name}: a ZIP file that is damaged; copy it again") from error
        else:
            yield file


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
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or "cut short, or damaged"
        raise UserError(f"{name}: cannot be read after line {number} ({reason})") from error


def _only_member(name: PathLike, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise UserError(
            f"{name}: holds {len(members):,} files, and one is read; take it out of the archive"
        )
    return members[0]
