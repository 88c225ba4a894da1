"""A message as its source has it, and what the readers of all formats check alike.

What cannot be used raises `UserError`, one line that names the file, the place in it and what to
do. Messages are private: an error names no user id and no text. `place` is a line, a row or
whatever a format counts, from 1, such as "line 3".
"""

import codecs
import collections
import json
import os
from typing import IO, Any, NamedTuple

from fedkeyboard.data import times
from fedkeyboard.errors import UserError

PathLike = str | os.PathLike[str]

_NAMES_LISTED, _NAME_CHARACTERS = 12, 30


class Message(NamedTuple):
    """One message as its source has it."""

    user: str
    """Whatever tells the senders apart; it is used for grouping and never stored."""
    time: float | None
    """Seconds since 1970 (UTC); None if the source has no times and its order is the order."""
    text: str
    row: int
    """Where it stands in its source: a line of a file, or the number of the message, from 1."""


def open_file(path: PathLike, name: PathLike | None = None) -> IO[bytes]:
    """Opens a source for reading; what fails is a `UserError`, of `name` if it is called so."""
    name = path if name is None else name
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise UserError(f"{name} is a directory; name a file of messages") from error
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror}); check the path") from error


def column(path: PathLike, header: list[str], name: str, *, tell: bool = False) -> int:
    """Returns where the column called `name` stands in `header`.

    Names are told only if `tell` says that they are names: the first row of a file without header
    has a user and a text.
    """
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise UserError(f"{path}: several columns are called {short(name)}; rename all but one")
    there = (
        f"the columns are {listed(header)}" if tell else f"its first row has {len(header)} cells"
    )
    raise UserError(
        f"{path}: there is no column {short(name)}; {there}; name the columns with --user-column, "
        "--text-column and --time-column, or write a header"
    )


def check_user(path: PathLike, place: str, name: str, user: str) -> None:
    """Refuses a user id that is blank."""
    if not user.strip():
        raise UserError(
            f"{path}: {place}: {short(name)} is empty; give the row a user or remove it"
        )


def check_text(path: PathLike, place: str, name: str, text: str) -> None:
    """Refuses half of a surrogate pair, which JSON can say and UTF-8 cannot."""
    if not is_encodable(text):
        raise UserError(
            f"{path}: {place}: {short(name)} holds half of a surrogate pair; "
            "write the whole character or remove it"
        )


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can hold `text`."""
    if text.isascii():
        return True
    try:
        codecs.utf_8_encode(text)
    except UnicodeEncodeError:
        return False
    return True


def time(
    path: PathLike,
    place: str,
    name: str,
    value: str | float,
    per_second: float | None = None,
    time_format: str | None = None,
) -> float:
    """Returns `value` in seconds since 1970; as `times.seconds`, but refuses with a `UserError`."""
    try:
        return times.seconds(value, per_second, time_format)
    except (ValueError, OverflowError, TypeError):
        how = (
            f"it is not as --time-format {time_format} says"
            if time_format
            else "write ISO 8601, such as 2024-05-31T18:20:00Z, or seconds or milliseconds since "
            "1970, or say how it is written with --time-format"
        )
        # The cause quotes the value, which is a text if the column is the wrong one.
        raise UserError(f"{path}: {place}: {short(name)} is not a time; {how}") from None


class Skipped:
    """Rows that a reader left out because something is empty, and what a program wrote, counted."""

    def __init__(self):
        self.counts: collections.Counter[str] = collections.Counter()
        self.first: dict[str, str] = {}

    def add(self, why: str, place: str) -> None:
        """Counts a row."""
        self.counts[why] += 1
        self.first.setdefault(why, place)

    def note(self) -> str | None:
        """Returns one line for the user; None if nothing was left out."""
        if not self.counts:
            return None
        why = ", ".join(
            f"{count:,} {why} (first: {self.first[why]})" for why, count in self.counts.items()
        )
        total = self.counts.total()
        return f"{total:,} {'row' if total == 1 else 'rows'} skipped: {why}"


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing: missing, null or blank."""
    return value is None or (isinstance(value, str) and not value.strip())


def listed(names: list[str]) -> str:
    """The first of `names`, for an error."""
    more = ["..."] if len(names) > _NAMES_LISTED else []
    return ", ".join([short(name) for name in names[:_NAMES_LISTED]] + more)


def short(name: str) -> str:
    """A name in quotes, on one line, and short: a file without header has texts in its place."""
    cut = name if len(name) <= _NAME_CHARACTERS else name[: _NAME_CHARACTERS - 3] + "..."
    return json.dumps(cut, ensure_ascii=False)
