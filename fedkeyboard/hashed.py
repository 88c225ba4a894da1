"""Files whose hashes are recorded as they are written, and checked where they are read.

A disk that flips one bit makes another vocabulary of a vocabulary, and nothing downstream would
know. So `hashes.json` in each directory says what its files hold, and its own hash is in it.

The record is written **before** the file, with what the file is to hold beside what it holds: a
process killed between the two leaves a file that is one of them. A file that grows by rows is
recorded as far as it has got; rows after that are not checked.

It tells damage, not forgery: who can write the files can write the record.
"""

import functools
import hashlib
import json
import logging
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from fedkeyboard import files
from fedkeyboard.errors import RunFailure, UserError

RECORD = "hashes.json"

_LOG = logging.getLogger("fedkeyboard")
_NONE = "0" * 64
_END = '"\n}\n'
_MOST_OF_RECORD = 4 * files.MEGABYTE
# A writer may replace a file twice while it is read once; hardly ever more often.
_TRIES = 3


class _Content(NamedTuple):
    """What a file holds, or the beginning of a file that grows."""

    bytes: int
    sha256: str

    def begins(self, content: bytes) -> bool:
        return len(content) >= self.bytes and _of(content[: self.bytes]) == self


def _of(content: bytes) -> _Content:
    return _Content(len(content), hashlib.sha256(content).hexdigest())


def sealed(content: dict[str, Any]) -> str:
    """Returns a JSON object with a last key `sha256`: that of the text with 64 zeros in its place.

    So any change shows, and any language can check it without agreeing on how JSON is written.

    Raises:
      ValueError: If it holds a number that JSON has not.
    """
    others = {key: value for key, value in content.items() if key != "sha256"}
    text = json.dumps({**others, "sha256": _NONE}, indent=2, allow_nan=False) + "\n"
    return _put(text, hashlib.sha256(text.encode()).hexdigest())


def is_sealed(content: bytes) -> bool:
    """Whether bytes are as `sealed` made them."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        return False
    digest = hashlib.sha256(_put(text, _NONE).encode()).hexdigest()
    return text == _put(text, digest)


def _put(text: str, digest: str) -> str:
    return text[: -len(_NONE + _END)] + digest + _END


def write_bytes(path: files.PathLike, content: bytes) -> None:
    """Writes a file, whole or not at all, and its hash before it."""
    path = pathlib.Path(path)
    record = _read_record(path.parent) or {}
    kept = _content_there(path, record.get(path.name, []))
    _write_record(path.parent, record | {path.name: [*kept, _of(content)]})
    files.write_bytes(path, content)


def write_text(path: files.PathLike, text: str) -> None:
    """Writes a file as `write_bytes` does, in UTF-8."""
    write_bytes(path, text.encode())


def read_bytes(path: files.PathLike, *, at_most: int, remedy: str = "") -> bytes:
    """Returns what a file holds, if that was written.

    A file of which no hash was recorded is read all the same, and a line says so.

    Args:
      path: The file.
      at_most: Its largest size, in bytes.
      remedy: What to do about a damaged file, for the error.

    Raises:
      UserError: As `files.read_bytes`.
      RunFailure: If the file, or the record of hashes, is damaged.
    """
    return _read(pathlib.Path(path), at_most, remedy, grows=False)[0]


def read_rows(path: files.PathLike, *, at_most: int, remedy: str = "") -> tuple[bytes, int]:
    """Returns what a file holds that grows by rows, and how many bytes of it are checked.

    Arguments and errors are those of `read_bytes`.
    """
    return _read(pathlib.Path(path), at_most, remedy, grows=True)


def read_text(path: files.PathLike, *, at_most: int, remedy: str = "") -> str:
    """Returns a file's text; arguments and errors are those of `read_bytes`."""
    content = read_bytes(path, at_most=at_most, remedy=remedy)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RunFailure(f"{path}: damaged: not UTF-8 text") from error


def read_json(path: files.PathLike, *, at_most: int, remedy: str = "") -> Any:
    """Returns what a JSON file says; arguments and errors are those of `read_bytes`."""
    content = read_bytes(path, at_most=at_most, remedy=remedy)
    try:
        return files.parse_json(content, path)
    except UserError as error:
        raise RunFailure(str(error)) from error


def record(directory: files.PathLike, paths: Iterable[pathlib.Path]) -> None:
    """Records what files in a directory, or below it, hold now. They must be on the disk."""
    directory = pathlib.Path(directory)
    found = {str(path.relative_to(directory)): [_hash(path)] for path in paths}
    _write_record(directory, (_read_record(directory) or {}) | found)


def check_all(directory: files.PathLike) -> None:
    """Checks all files in a directory, and below it, against its record, if it has one.

    Raises:
      RunFailure: If one is damaged, missing or not in the record, or the record is damaged.
    """
    directory = pathlib.Path(directory)
    recorded = _read_record(directory)
    if recorded is None:
        _say_unchecked(directory.resolve())
        return
    there = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    for name in sorted((recorded.keys() | there) - {RECORD}):
        if name not in there or _hash(directory / name) not in recorded.get(name, []):
            raise RunFailure(f"{directory / name}: damaged: not what was written")


def _read(path: pathlib.Path, at_most: int, remedy: str, *, grows: bool) -> tuple[bytes, int]:
    for _ in range(_TRIES):
        # The file first: the record has what it is to hold before it holds it.
        content = files.read_bytes(path, at_most=at_most)
        recorded = (_read_record(path.parent) or {}).get(path.name)
        if recorded is None:
            _say_unchecked(path.parent.resolve())
            return content, len(content)
        for of in recorded:
            if of.begins(content) and (grows or of.bytes == len(content)):
                return content, of.bytes
    remedy = remedy or "restore it from a copy, or begin again in another directory"
    raise RunFailure(f"{path}: damaged: not what was written there; {remedy}")


def _read_record(directory: pathlib.Path) -> dict[str, list[_Content]] | None:
    path = directory / RECORD
    try:
        content = files.read_bytes(path, at_most=_MOST_OF_RECORD)
    except UserError:
        if path.exists():
            raise
        return None
    try:
        if is_sealed(content):
            of_files = files.parse_json(content, path)["files"]
            return {name: [_Content(*of) for of in each] for name, each in of_files.items()}
    except (LookupError, TypeError, AttributeError):
        pass  # Sealed, but not by us.
    raise RunFailure(
        f"{path}: damaged, so that nothing in {directory} can be checked; restore it from a copy, "
        "or remove it to go on without the check"
    )


def _write_record(directory: pathlib.Path, recorded: dict[str, list[_Content]]) -> None:
    files.write_text(directory / RECORD, sealed({"files": recorded}))


def _content_there(path: pathlib.Path, recorded: list[_Content]) -> list[_Content]:
    """Returns which of the recorded contents a file has that is about to be replaced."""
    if not recorded or not path.is_file():
        return []
    content = files.read_bytes(path, at_most=path.stat().st_size)
    # Of a file that has grown, the longest beginning.
    return sorted(of for of in recorded if of.begins(content))[-1:]


def _hash(path: pathlib.Path) -> _Content:
    with files.open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return _Content(file.tell(), digest.hexdigest())


@functools.cache
def _say_unchecked(directory: pathlib.Path) -> None:
    """Says once of a directory that its files cannot be checked."""
    _LOG.warning(
        "%s: has files whose hashes are not in %s, as older versions left them: damage to them "
        "would not be noticed",
        directory,
        RECORD,
    )
