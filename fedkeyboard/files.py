"""Files that are whole or not there: written beside their place, synced, then renamed.

A process killed at any moment leaves the old file, or the new one, never half of either; what it
had begun is removed by the next one that writes into the directory.

What is read may be hostile: only regular files are opened (a pipe would hang, a device would never
end), and nothing is read that is larger than the caller allows.
"""

import contextlib
import csv
import fcntl
import json
import os
import pathlib
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from fedkeyboard.errors import RunFailure, UserError

PathLike = str | os.PathLike[str]

MEGABYTE = 1 << 20
UNFINISHED = ".fedkeyboard.part"
"""Ends the names of files that are being written: no other program's file is taken for one."""


def sync(path: PathLike) -> None:
    """Asks the disk to hold what was written to `path`, a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the same directory; on success it becomes `path`, atomically.

    If the block raises, the temporary file is removed and `path` is as it was.

    Raises:
      UserError: If `path` is a directory, a device or a pipe.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: exists and is not a file; give another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent)
    descriptor, temporary = _temporary(path)
    try:
        yield temporary
        # mkstemp makes files private to the user; results are as readable as the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        # Those from writing name no file.
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


def _temporary(path: pathlib.Path) -> tuple[int, pathlib.Path]:
    """Makes an empty file beside `path` and locks it: who can lock it knows its writer is dead."""
    while True:
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent
        )
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Another process may have taken it for a leftover before it was locked.
        if os.fstat(descriptor).st_nlink:
            return descriptor, pathlib.Path(name)
        os.close(descriptor)


@contextlib.contextmanager
def held(path: PathLike) -> Iterator[None]:
    """Holds a file as its writer does, so that `remove_unfinished` leaves it, whatever its name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_unfinished(directory: PathLike) -> None:
    """Removes what processes that were killed had begun to write into a directory."""
    for path in pathlib.Path(directory).glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError):  # Another process removes it, or is writing it.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def open_regular(path: PathLike, *, at_most: int | None = None) -> BinaryIO:
    """Opens a file for reading, as `open(path, "rb")` does, if it is one.

    Args:
      path: The file, or a link to it.
      at_most: Its largest size, in bytes; None where the size is bounded by what reads it.

    Raises:
      UserError: If it cannot be opened, is a directory, a device or a pipe, or is larger.
    """
    try:
        # Without O_NONBLOCK, to open a pipe waits for who writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{path}: a directory, where a file is expected")
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: a device or a pipe, where a regular file is expected")
        if at_most is not None and status.st_size > at_most:
            raise UserError(
                f"{path}: {status.st_size:,} bytes, where at most {at_most:,} are expected"
            )
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: PathLike, *, at_most: int) -> bytes:
    """Returns a regular file's content.

    Raises:
      UserError: As `open_regular`, or if the disk fails.
    """
    with open_regular(path, at_most=at_most) as file:
        try:
            content = file.read(at_most + 1)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from error
    if len(content) > at_most:  # It has grown meanwhile.
        raise UserError(f"{path}: more than {at_most:,} bytes")
    return content


def read_text(path: PathLike, *, at_most: int = 64 * MEGABYTE) -> str:
    """Returns a regular file's text; raises UserError as `read_bytes`, or if it is not UTF-8."""
    try:
        return read_bytes(path, at_most=at_most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def parse_json(content: bytes | str, name: PathLike) -> Any:
    """Returns what JSON says; raises UserError, which begins with `name`, if it is none."""
    try:
        return json.loads(content, parse_constant=_no_number)
    # Thousands of brackets, and of digits, are JSON, but not to Python.
    except (ValueError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"{name}: damaged, or not JSON: {line}") from error


def write_text(path: PathLike, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: PathLike, rows: Iterable[Sequence[Any]]) -> None:
    """Writes rows as CSV, whole or not at all."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows(rows)


def write_bytes(path: PathLike, content: bytes) -> None:
    """Writes `content`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def locked(directory: PathLike) -> Iterator[None]:
    """Holds `directory` for one process.

    Raises:
      RunFailure: If another process holds it.
    """
    with open(pathlib.Path(directory) / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFailure(
                f"{directory}: another process is writing there; wait for it or use another --out"
            ) from error
        yield
