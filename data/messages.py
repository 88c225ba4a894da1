"""A message as its source has it, and what the readers of all formats check alike.

What cannot be used raises `UserError`, one line that names the file, the place in it and what to
do. Messages are private: an error names no user id and no text. `place` is a line, a row or
whatever a format counts, from 1, such as "line 3".
"""

import codecs
import json
import math
import os
from datetime import UTC, datetime
from typing import IO, NamedTuple

from fedkeyboard.errors import UserError

PathLike = str | os.PathLike[str]

_MILLISECONDS_FROM = 1e11  # In seconds this would be the year 5138.
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800  # In seconds since 1970.
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


def open_file(path: PathLike, mode: str = "rb", **options) -> IO:
    """Opens a source for reading, as `open` does; what fails is a `UserError`."""
    try:
        return open(path, mode, **options)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a directory; name a file of messages") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def column(path: PathLike, header: list[str], name: str) -> int:
    """Returns where the column called `name` stands in `header`."""
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise UserError(f"{path}: several columns are called {short(name)}; rename all but one")
    raise UserError(f"{path}: there is no column {short(name)}; the columns are {listed(header)}")


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
    path: PathLike, place: str, name: str, value: str | float, per_second: float | None = None
) -> float:
    """Returns `value` in seconds since 1970; as `seconds`, but refuses with a `UserError`."""
    try:
        return seconds(value, per_second)
    except (ValueError, OverflowError, TypeError):
        raise UserError(
            f"{path}: {place}: {short(name)} is not a time; write ISO 8601, such as "
            "2024-05-31T18:20:00Z, or seconds or milliseconds since 1970"
        ) from None  # The cause quotes the value, which is a text if the column is the wrong one.


def seconds(value: str | float, per_second: float | None = None) -> float:
    """Reads a time as seconds since 1970; raises ValueError, OverflowError or TypeError.

    A string is ISO 8601 (UTC unless it says otherwise; BigQuery's " UTC" at the end too) or a
    number. A number counts `per_second` a second; None tells seconds from milliseconds by size.
    """
    if isinstance(value, bool):
        raise TypeError
    try:
        since = float(value)
    except ValueError:
        moment = datetime.fromisoformat(value.strip().removesuffix(" UTC"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if per_second is not None:
        since /= per_second
    elif math.isfinite(since) and abs(since) > _MILLISECONDS_FROM:
        since /= 1000
    if not _YEAR_1 <= since < _YEAR_10000:
        raise ValueError
    return since


def listed(names: list[str]) -> str:
    """The first of `names`, for an error."""
    more = ["..."] if len(names) > _NAMES_LISTED else []
    return ", ".join([short(name) for name in names[:_NAMES_LISTED]] + more)


def short(name: str) -> str:
    """A name in quotes, on one line, and short: a file without header has texts in its place."""
    cut = name if len(name) <= _NAME_CHARACTERS else name[: _NAME_CHARACTERS - 3] + "..."
    return json.dumps(cut, ensure_ascii=False)
