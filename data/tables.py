"""Files whose rows have named columns or keys: CSV and its kin, JSON Lines, a JSON array.

Rows are physical lines, counted from 1 (so the header of a CSV file is line 1); elements of an
array are counted from 1. A CSV text may hold line breaks; such a row is named by the line on which
it begins. A row without user, text or time says nothing and is skipped and counted.
"""

import csv
import dataclasses
import itertools
import json
import os
from collections.abc import Iterator
from typing import Any

from fedkeyboard.data import messages, opened
from fedkeyboard.data.json_text import JsonText, TooLong
from fedkeyboard.data.messages import Message, PathLike, Skipped
from fedkeyboard.errors import UserError

# A message of a million characters is a quote that was never closed. With a limit, such a file is
# refused soon and with the right row, where csv would read the rest of it as one field.
LONGEST_TEXT = 1 << 20
_LONGEST_ROW = 1 << 24  # Characters; of fields of nothing but line breaks there is no end.


@dataclasses.dataclass(frozen=True)
class Table:
    """A file of rows.

    Attributes:
      path: Where it is (`opened.readable`).
      name: What it is called, for errors.
      user: The column of the user; of JSON a key, or keys with points between them.
      text: Of the text.
      time: Of the time; None if the order of the file is the order in time.
      encoding: How the file is written.
      delimiter: Between the cells of CSV; None, as its name or first line says.
      time_format: How times are written (`times.seconds`).
      skipped: Counts what is left out.
    """

    path: PathLike
    name: PathLike
    user: str = "user"
    text: str = "text"
    time: str | None = None
    encoding: str = "utf-8-sig"
    delimiter: str | None = None
    time_format: str | None = None
    skipped: Skipped = dataclasses.field(default_factory=Skipped)

    def message(self, place: str, row: int, user: Any, text: Any, time: Any) -> Message | None:
        """Returns a row's message; None if it says nothing. `user` and `text` are strings."""
        for value, what in ((user, "user"), (text, "text"), (time, "time")):
            if messages.is_empty(value) and (what != "time" or self.time is not None):
                self.skipped.add(f"without a {what}", place)
                return None
        when = None
        if self.time is not None:
            when = messages.time(self.name, place, self.time, time, time_format=self.time_format)
        return Message(user, when, text, row)


def csv_rows(table: Table) -> Iterator[Message]:
    """Yields the messages of a CSV file (RFC 4180) whose first row names columns.

    A space after a delimiter is no part of the cell, and a first line `sep=;` says the delimiter.
    Empty lines are skipped.

    Raises `UserError` if the file or a row of it cannot be used.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_TEXT))
    lines = opened.lines(table.path, table.name, table.encoding)
    first, skipped_lines = next(lines, ""), 0
    delimiter = table.delimiter
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        delimiter, skipped_lines = delimiter or first.strip()[4], 1
        first = next(lines, "")
    if delimiter is None:
        ending = os.path.splitext(opened.inner_name(table.path, table.name))[1].lower()
        delimiter = "\t" if ending in (".tsv", ".tab") else ","
    lines = _Lines(itertools.chain([first] if first else [], lines))
    try:
        reader = csv.reader(lines, strict=True, skipinitialspace=True, delimiter=delimiter)
    except TypeError as error:
        raise UserError(f"--delimiter: {delimiter!r} is not one character") from error
    header, _ = next(_rows(table, lines, reader, skipped_lines), (None, 0))
    if header is None:
        raise UserError(f"{table.name}: the file is empty; it needs a header row and messages")
    header = [name.strip() for name in header]
    if len(header) == 1 and table.delimiter is None:
        other = next((sign for sign in ";\t|" if sign in header[0]), None)
        if other is not None:
            raise UserError(
                f"{table.name}: its first row is one cell with {json.dumps(other)} in it; give "
                f"--delimiter {json.dumps(other)}"
            )
    names = [table.user, table.text] + ([] if table.time is None else [table.time])
    columns = [messages.column(table.name, header, name) for name in names]
    line = 0
    for fields, line in _rows(table, lines, reader, skipped_lines):
        if len(fields) != len(header):
            raise UserError(
                f"{table.name}: line {line}: the row has {len(fields)} fields where the header has "
                f"{len(header)}; put texts with commas or line breaks in double quotes"
            )
        user, text, *time = (fields[column] for column in columns)
        made = table.message(f"line {line}", line, user, text, *(time or [None]))
        if made is not None:
            yield made
    if not line:
        raise UserError(f"{table.name}: there is a header but no message below it")


def json_lines(table: Table) -> Iterator[Message]:
    """Yields the messages of a JSON Lines file: on each line an object with the named keys.

    The user is a string or a whole number, the text a string. Empty lines are skipped.

    Raises `UserError` if the file or a line of it cannot be used.
    """
    found = False
    for number, line in enumerate(opened.lines(table.path, table.name, table.encoding), 1):
        if not line.strip():
            continue
        found = True
        try:
            record = json.loads(line)
        # json.loads raises RecursionError for thousands of brackets, and ValueError for all else.
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{table.name}: line {number} is not valid JSON; write one complete object on each "
                "line"
            ) from error
        made = _of_object(table, f"line {number}", number, record)
        if made is not None:
            yield made
    if not found:
        raise UserError(f"{table.name}: the file is empty; it needs one JSON object a line")


def json_array(table: Table) -> Iterator[Message]:
    """Yields the messages of a JSON file that is an array of objects with the named keys.

    Raises `UserError` if the file or an element of it cannot be used.
    """
    number = 0
    try:
        with opened.text(table.path, table.name, table.encoding) as file:
            content = JsonText(file)
            for number, _ in enumerate(content.elements(), 1):
                made = _of_object(table, f"element {number}", number, content.value())
                if made is not None:
                    yield made
            content.end()
    except TooLong as error:
        raise UserError(f"{table.name}: element {number} has {error}") from error
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(
            f"{table.name}: not JSON, or cut short, after element {number}; write one array of "
            "objects"
        ) from error
    if not number:
        raise UserError(f"{table.name}: there are no messages in it")


class _Lines(Iterator[str]):
    """Lines, of which a row has no more than so many characters; `row` is 0 where one begins."""

    def __init__(self, lines: Iterator[str]):
        self._lines = lines
        self.row = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.row += len(line)
        if self.row > _LONGEST_ROW:
            raise csv.Error("row larger than the limit")
        return line


def _rows(
    table: Table, lines: _Lines, reader, skipped_lines: int
) -> Iterator[tuple[list[str], int]]:
    """Yields each row that is not empty, with the line on which it begins."""
    while True:
        lines.row = 0
        first = reader.line_num + 1 + skipped_lines
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field larger" in str(error):
                problem = f"holds a text of more than {LONGEST_TEXT:,} characters"
            elif "row larger" in str(error):
                problem = f"has more than {_LONGEST_ROW:,} characters"
            else:
                problem = "has broken quoting"
            raise UserError(
                f"{table.name}: the row that begins at line {first} {problem}; "
                'check that its double quotes are closed and that those inside are doubled ("")'
            ) from error
        if fields:
            yield fields, first


def _of_object(table: Table, place: str, row: int, record: Any) -> Message | None:
    if not isinstance(record, dict):
        raise UserError(
            f"{table.name}: {place} is not a JSON object; write one complete object for each "
            "message"
        )
    user, text = (_value(table, place, record, name) for name in (table.user, table.text))
    user = str(user) if type(user) is int else _string(table, place, table.user, user)
    text = _string(table, place, table.text, text)
    time = None if table.time is None else _value(table, place, record, table.time)
    return table.message(place, row, user, text, time)


def _value(table: Table, place: str, record: dict, name: str) -> Any:
    """Returns what stands under a key, or under keys within each other: `author.id`."""
    if name in record:
        return record[name]
    value: Any = record
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            # The keys there are go unnamed: in an object such as {"anna": "hello"} they are users.
            raise UserError(
                f"{table.name}: {place} has no key {messages.short(name)}; add it, or name the key "
                "that is there"
            )
        value = value[key]
    return value


def _string(table: Table, place: str, name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UserError(
            f"{table.name}: {place}: {messages.short(name)} is not a string; "
            "write it in double quotes or remove it"
        )
    messages.check_text(table.name, place, name, value)
    return value
