"""Files that are whole or not there: written beside their place, synced, then renamed.

A process killed at any moment leaves the old file, or the new one, never half of either.
"""

import contextlib
import csv
import fcntl
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fedkeyboard.errors import RunFailure, UserError

PathLike = str | os.PathLike[str]


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
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        # mkstemp makes files private to the user; results are as readable as the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def read_text(path: PathLike) -> str:
    """Returns a file's text; raises UserError if it cannot be read or is not UTF-8."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error


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
