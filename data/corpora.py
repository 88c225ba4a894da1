"""Sources of messages: the bundled corpus, and files of the user's own; CSV and JSON Lines here.

A source yields `Message` records one at a time, so that a file may be larger than memory. Input
that cannot be used raises `UserError`, on the first `next` (`data.messages` says how).

Rows are physical lines, counted from 1 (so the header of a CSV file is line 1). A CSV text may
hold line breaks; such a row is named by the line on which it begins.
"""

import contextlib
import csv
import importlib.metadata
import json
import os
from collections.abc import Iterator

import chitchat_dataset

from data import leaf, messages, parquet, tff_clients
from data.messages import Message, PathLike
from data.population import is_population
from fedkeyboard.errors import UserError

# A message of a million characters is a quote that was never closed. With a limit, such a file is
# refused soon and with the right row, where csv would read the rest of it as one field.
_LONGEST_FIELD = 1 << 20

_ENDINGS = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".json": "leaf",
    ".sqlite": "tff",
    ".db": "tff",
}
_COLUMNS = ("user_column", "text_column", "time_column")
_OPTIONS = {
    "chitchat": (),
    "csv": _COLUMNS,
    "jsonl": _COLUMNS,
    "parquet": _COLUMNS,
    "leaf": (),
    "tff": ("text_column", "time_column", "source_split"),
}


def chitchat() -> Iterator[Message]:
    """Yields the 258,145 messages of `chitchat-dataset`, conversation by conversation.

    Typed chat of 1,315 students in 2018, from the Chit-Chat Challenge of the Perception, Control
    and Cognition lab of Brigham Young University. The text is inside the installed wheel; nothing
    is downloaded. `chitchat-dataset` 0.9.0, by William Myers,
    https://github.com/BYU-PCCL/chitchat-dataset, is under the MIT License, copyright (c) 2019
    Perception, Control and Cognition Lab. To be cited as: Myers, Will; Etchart, Tyler; Fulda,
    Nancy (2020), "Conversational Scaffolding: An Analogy-Based Approach to Response
    Prioritization in Open-Domain Dialogs".
    """
    row = 0
    for conversation in chitchat_dataset.Dataset().values():
        for turn in conversation["messages"]:
            for message in turn:
                row += 1
                time = messages.seconds(message["timestamp"])
                yield Message(message["sender"], time, message["text"], row)


def open_source(
    corpus: str | None,
    path: PathLike | None,
    form: str | None = None,
    *,
    user_column: str | None = None,
    text_column: str | None = None,
    time_column: str | None = None,
    source_split: str | None = None,
) -> tuple[Iterator[Message], str]:
    """Returns the messages of the bundled corpus or of a file, and their name.

    `form` is csv, jsonl, parquet, leaf or tff; with None the name of the file says it. Users and
    texts are by default in the columns "user" and "text"; `tff_clients` has defaults of its own.

    Raises `UserError` unless exactly one of corpus and file is given, of a known format, and the
    options are for it.
    """
    if (corpus is None) == (path is None):
        raise UserError("give either --corpus chitchat, or --input FILE")
    if path is not None and is_population(path):
        raise UserError(
            f"{path} is a population file already; give it to `fedkeyboard simulate --population`"
        )
    form = "chitchat" if path is None else form or _form(path)
    options = {
        "user_column": user_column,
        "text_column": text_column,
        "time_column": time_column,
        "source_split": source_split,
    }
    for name, value in options.items():
        if value is not None and name not in _OPTIONS[form]:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{path or corpus}: {option} is not for {form}; leave it out")
    if path is None:
        return chitchat(), f"chitchat-dataset {importlib.metadata.version('chitchat-dataset')}"
    if form == "leaf":
        return leaf.leaf_files(path), str(path)
    if form == "tff":
        return tff_clients.tff_file(path, text_column, time_column, source_split), str(path)
    reader = {"csv": csv_file, "jsonl": jsonl_file, "parquet": parquet.parquet_file}[form]
    return reader(path, user_column or "user", text_column or "text", time_column), str(path)


def _form(path: PathLike) -> str:
    """Returns the format that the name of a file says."""
    ending = os.path.splitext(path)[1].lower()
    if os.path.isdir(path):
        return "leaf"
    if ending in (".lzma", ".xz"):
        raise UserError(f"{path} is compressed; decompress it with `xz --decompress` first")
    if ending not in _ENDINGS:
        raise UserError(f"{path}: its name does not end in {', '.join(_ENDINGS)}; give --format")
    return _ENDINGS[ending]


def csv_file(
    path: PathLike, user_column: str, text_column: str, time_column: str | None
) -> Iterator[Message]:
    """Yields the messages of a CSV file (RFC 4180, comma, UTF-8) whose first row names columns.

    Times are ISO 8601 (UTC unless they say otherwise) or seconds or milliseconds since 1970;
    with `time_column` None the order of the file is the order in time. Empty lines are skipped.

    Raises `UserError` if the file or a row of it cannot be used.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with _lines(path) as lines:
        reader = csv.reader(lines, strict=True)
        header, _ = next(_csv_rows(path, reader), (None, 0))
        if header is None:
            raise UserError(f"{path}: the file is empty; it needs a header row and messages")
        user, text = (messages.column(path, header, name) for name in (user_column, text_column))
        time = None if time_column is None else messages.column(path, header, time_column)
        line = 0
        for fields, line in _csv_rows(path, reader):
            if len(fields) != len(header):
                raise UserError(
                    f"{path}: line {line}: the row has {len(fields)} fields where the header has "
                    f"{len(header)}; put texts with commas or line breaks in double quotes"
                )
            place = f"line {line}"
            messages.check_user(path, place, user_column, fields[user])
            when = None if time is None else messages.time(path, place, time_column, fields[time])
            yield Message(fields[user], when, fields[text], line)
        if not line:
            raise UserError(f"{path}: there is a header but no message below it")


def jsonl_file(
    path: PathLike, user_column: str, text_column: str, time_column: str | None
) -> Iterator[Message]:
    """Yields the messages of a JSON Lines file: on each line an object with the named keys.

    The user is a string or a whole number, the text a string; times as for `csv_file`, as strings
    or numbers. Empty lines are skipped.

    Raises `UserError` if the file or a line of it cannot be used.
    """
    found = False
    with _lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            found = True
            record = _json_object(path, number, line)
            place = f"line {number}"
            user = _json_value(path, place, record, user_column)
            user = str(user) if type(user) is int else _json_string(path, place, user_column, user)
            messages.check_user(path, place, user_column, user)
            text = _json_value(path, place, record, text_column)
            text = _json_string(path, place, text_column, text)
            when = None
            if time_column is not None:
                value = _json_value(path, place, record, time_column)
                when = messages.time(path, place, time_column, value)
            yield Message(user, when, text, number)
    if not found:
        raise UserError(f"{path}: the file is empty; it needs one JSON object a line")


@contextlib.contextmanager
def _lines(path: PathLike) -> Iterator[Iterator[str]]:
    """Opens `path` and yields an iterator over its lines, checked, with their line ends."""
    # Bytes that are not UTF-8 come through as surrogates, which tells in which line they are.
    options = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    with messages.open_file(path, "r", **options) as file:
        yield _checked(path, file)


def _checked(path: PathLike, file: Iterator[str]) -> Iterator[str]:
    number = 0
    try:
        for number, line in enumerate(file, 1):
            if not messages.is_encodable(line):
                raise UserError(f"{path}: line {number} is not UTF-8; convert the file to UTF-8")
            if "\0" in line:
                raise UserError(
                    f"{path}: line {number} holds a NUL byte; save the file as plain UTF-8 text"
                )
            yield line
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read after line {number} ({error.strerror}); check the disk"
        ) from error


def _csv_rows(path: PathLike, reader) -> Iterator[tuple[list[str], int]]:
    """Yields each row that is not empty, with the line on which it begins."""
    while True:
        first = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field larger" in str(error):
                problem = f"holds a text of more than {_LONGEST_FIELD:,} characters"
            else:
                problem = "has broken quoting"
            raise UserError(
                f"{path}: the row that begins at line {first} {problem}; "
                'check that its double quotes are closed and that those inside are doubled ("")'
            ) from error
        if fields:
            yield fields, first


def _json_object(path: PathLike, number: int, line: str) -> dict:
    try:
        record = json.loads(line)
    # json.loads raises RecursionError for thousands of brackets, and ValueError for all else.
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: line {number} is not valid JSON; write one complete object on each line"
        ) from error
    if not isinstance(record, dict):
        raise UserError(
            f"{path}: line {number} is not a JSON object; write one complete object on each line"
        )
    return record


def _json_value(path: PathLike, place: str, record: dict, name: str):
    if name in record:
        return record[name]
    # The keys there are go unnamed: in an object such as {"anna": "hello"} they are the users.
    raise UserError(
        f"{path}: {place} has no key {messages.short(name)}; add it, or name the key that is there"
    )


def _json_string(path: PathLike, place: str, name: str, value) -> str:
    if not isinstance(value, str):
        raise UserError(
            f"{path}: {place}: {messages.short(name)} is not a string; "
            "write it in double quotes or remove the line"
        )
    messages.check_text(path, place, name, value)
    return value
