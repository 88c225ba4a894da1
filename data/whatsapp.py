"""WhatsApp's exported chats (`_chat.txt`, "WhatsApp Chat with ....txt"), in several languages.

    [31.12.23, 23:59:59] Anna: text             iOS
    31/12/2023, 23:59 - Anna: text              Android
    12/31/23, 11:59 PM - Anna: text             with a 12-hour clock

A line that does not begin so goes on with the message before. Lines without "Name:" are the
program's and are skipped and counted, as are those whose text iOS begins with a left-to-right mark:
notices ("Messages and calls are end-to-end encrypted"), and what stands for media. Whether the day
or the month comes first is decided by all lines: a number above 12 says it, and if there is none,
the order in which time does not go back more often; if that does not say it either, the day, unless
the clock has 12 hours. Times are local and taken for UTC: only the order and the hour of day are of
use.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from fedkeyboard.data import opened
from fedkeyboard.data.messages import Message, PathLike, Skipped
from fedkeyboard.errors import UserError

_MARKS = str.maketrans({"\u200e": None, "\u200f": None, "\u202a": None, "\u202c": None,
                        "\u202f": " ", "\u00a0": " "})  # fmt: skip
_BEGIN = re.compile(
    r"""
    \[?(\d{1,4})[./-](\d{1,2})[./-](\d{1,4}),?\s
    (?:um\s|at\s|à\s|a\ las\s)?
    (\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?
    (?:\s?([AaPp])\.?\s?[Mm]\.?)?
    (?:\]\s|\s[-\u2013]\s)
    """,
    re.VERBOSE,
)
_SENDER = re.compile(r"([^:\n]{1,80}):\s")
_LONGEST = 1 << 20  # Characters of a message.


class _Date(NamedTuple):
    first: int
    second: int
    third: int
    hour: int
    minute: int
    second_of_minute: int


def whatsapp(
    path: PathLike, name: PathLike, skipped: Skipped, encoding: str = "utf-8-sig"
) -> Iterator[Message]:
    """Yields the messages of a chat; raises `UserError` if the file is none."""
    day_first = _day_first(path, name, encoding)
    begun: tuple[int, _Date] | None = None
    text = ""
    for number, line in enumerate(opened.lines(path, name, encoding), 1):
        found = _begin(line)
        if found is None:
            if begun is not None and len(text) < _LONGEST:
                text += "\n" + line.rstrip("\r\n")
            continue
        if begun is not None:
            yield from _message(name, *begun, text, day_first, skipped)
        date, text = found
        begun = (number, date)
        if line.partition(": ")[2].startswith("\u200e"):
            skipped.add("of a program", f"line {number}")
            begun = None
    if begun is not None:
        yield from _message(name, *begun, text, day_first, skipped)


def _begin(line: str) -> tuple[_Date, str] | None:
    line = line.translate(_MARKS).rstrip("\r\n")
    found = _BEGIN.match(line)
    if found is None:
        return None
    *numbers, half = found.groups()
    first, second, third, hour, minute, seconds = (int(n or 0) for n in numbers)
    if half:
        hour = hour % 12 + (12 if half in "pP" else 0)
    return _Date(first, second, third, hour, minute, seconds), line[found.end() :]


def _message(
    name: PathLike, number: int, date: _Date, text: str, day_first: bool, skipped: Skipped
) -> Iterator[Message]:
    sender = _SENDER.match(text)
    if sender is None:
        skipped.add("of a program", f"line {number}")
        return
    said = text[sender.end() :].strip()
    if not said:
        skipped.add("without a text", f"line {number}")
        return
    when = _moment(date, day_first)
    if when is None:
        raise UserError(f"{name}: line {number}: there is no such date; export the chat again")
    yield Message(sender[1].strip(), when, said, number)


def _moment(date: _Date, day_first: bool) -> float | None:
    year, month, day = _ymd(date, day_first)
    try:
        moment = datetime(
            year, month, day, date.hour, date.minute, date.second_of_minute, tzinfo=UTC
        )
    except ValueError:
        return None
    return moment.timestamp()


def _ymd(date: _Date, day_first: bool) -> tuple[int, int, int]:
    if date.first > 31:
        return date.first, date.second, date.third
    year = date.third + (2000 if date.third < 100 else 0)
    return (year, date.second, date.first) if day_first else (year, date.first, date.second)


def _day_first(path: PathLike, name: PathLike, encoding: str) -> bool:
    """Decides, by all lines, whether dates begin with the day."""
    possible = {True: 0, False: 0}  # How often time goes back, if so.
    before: dict[bool, float] = {}
    messages = 0
    twelve = False
    for line in opened.lines(path, name, encoding):
        found = _begin(line)
        if found is None:
            continue
        messages += 1
        twelve |= bool(re.match(r"[^A-Za-z]{8,24}[AaPp]\.?\s?[Mm]", line.translate(_MARKS)))
        for day_first in list(possible):
            when = _moment(found[0], day_first)
            if when is None:
                if len(possible) > 1:
                    del possible[day_first]
                continue
            possible[day_first] += when < before.get(day_first, when)
            before[day_first] = when
    if not messages:
        raise UserError(
            f"{name}: no line begins as WhatsApp's exports do, with a date, a time and a name; say "
            "what the file is with --format"
        )
    if len(possible) == 2 and possible[True] == possible[False]:
        return not twelve
    return min(possible, key=lambda day_first: (possible[day_first], not day_first))
