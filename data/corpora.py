"""Sources of messages: the bundled corpus, and files of the user's own.

A source yields `Message` records one at a time, so that a file may be larger than memory. Input
that cannot be used raises `UserError`, on the first `next` (`fedkeyboard.data.messages` says how).
"""

import contextlib
import importlib.metadata
import os
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import chitchat_dataset

from fedkeyboard.data import chats, leaf, opened, parquet, tables, tff_clients, times, whatsapp
from fedkeyboard.data.messages import Message, PathLike, Skipped
from fedkeyboard.data.population import is_population
from fedkeyboard.errors import UserError

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".sqlite": "tff",
    ".db": "tff",
    ".txt": "whatsapp",
    ".xml": "sms",
}
# Of .json the beginning tells.
_JSON = ".json"
_BEGINNING = 1 << 16
_COLUMNS = ("user_column", "text_column", "time_column", "time_format")
_OPTIONS = {
    "chitchat": (),
    "csv": (*_COLUMNS, "delimiter", "encoding"),
    "jsonl": (*_COLUMNS, "encoding"),
    "json": (*_COLUMNS, "encoding"),
    "parquet": _COLUMNS,
    "leaf": (),
    "tff": ("text_column", "time_column", "source_split"),
    "telegram": (),
    "discord": (),
    "slack": (),
    "whatsapp": ("encoding",),
    "sms": (),
}
FORMATS = tuple(name for name in _OPTIONS if name != "chitchat")


class Source(NamedTuple):
    """Where messages come from.

    Attributes:
      messages: They, to be read once.
      name: What it is called.
      skipped: Counts, while they are read, what the reader left out.
    """

    messages: Iterator[Message]
    name: str
    skipped: Skipped


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
                time = times.seconds(message["timestamp"])
                yield Message(message["sender"], time, message["text"], row)


@contextlib.contextmanager
def source(
    corpus: str | None,
    path: PathLike | None,
    form: str | None = None,
    **options: str | None,
) -> Iterator[Source]:
    """Yields the messages of the bundled corpus or of a file, a directory or a pipe.

    Args:
      corpus: `chitchat`, or None.
      path: The file; "-" is standard input.
      form: One of `FORMATS`; with None the name of the file, or its beginning, says it.
      options: `user_column`, `text_column`, `time_column`, `time_format`, `delimiter`, `encoding`
        and `source_split`; None if not given. Users and texts are by default in the columns
        "user" and "text"; `tff_clients` has defaults of its own.

    Raises:
      UserError: Unless exactly one of corpus and file is given, of a known format, and the options
        are for it.
    """
    if (corpus is None) == (path is None):
        raise UserError("give either --corpus chitchat, or --input FILE")
    skipped = Skipped()
    if path is None:
        _check_options("chitchat", corpus, options)
        version = importlib.metadata.version("chitchat-dataset")
        yield Source(chitchat(), f"chitchat-dataset {version}", skipped)
        return
    name = "standard input" if path == opened.STDIN else path
    with opened.readable(path) as place:
        if is_population(place):
            raise UserError(
                f"{name} is a population file already; give it to "
                "`fedkeyboard simulate --population`"
            )
        form = form or _form(place, name)
        _check_options(form, name, options)
        yield Source(_read(form, place, name, options, skipped), str(name), skipped)


def _check_options(form: str, name: PathLike, options: dict[str, str | None]) -> None:
    for option, value in options.items():
        if value is not None and option not in _OPTIONS[form]:
            said = f"--{option.replace('_', '-')}"
            raise UserError(f"{name}: {said} is not for {form}; leave it out")
    time_format = options.get("time_format")
    if time_format is not None and not times.is_format(time_format):
        raise UserError(
            f"--time-format: {time_format!r} cannot be read; give directives of Python's strptime, "
            "each once, such as '%d.%m.%Y %H:%M'"
        )


def _read(
    form: str,
    path: PathLike,
    name: PathLike,
    options: dict[str, str | None],
    skipped: Skipped,
) -> Iterator[Message]:
    given = {option: value for option, value in options.items() if value is not None}
    match form:
        case "leaf":
            return leaf.leaf_files(path)
        case "tff":
            return tff_clients.tff_file(
                path, given.get("text_column"), given.get("time_column"), given.get("source_split")
            )
        case "telegram" | "discord" | "slack" | "sms":
            return getattr(chats, form)(path, name, skipped)
        case "whatsapp":
            return whatsapp.whatsapp(path, name, skipped, **given)
    table = tables.Table(
        path,
        name,
        skipped=skipped,
        **{option.removesuffix("_column"): value for option, value in given.items()},
    )
    readers = {
        "csv": tables.csv_rows,
        "jsonl": tables.json_lines,
        "json": tables.json_array,
        "parquet": parquet.parquet_files,
    }
    return readers[form](table)


def _form(path: PathLike, name: PathLike) -> str:
    """Returns the format that a name or the beginning of the file says."""
    if os.path.isdir(path):
        inside = pathlib.Path(path)
        if any(inside.glob("*.parquet")):
            return "parquet"
        if any(inside.glob("*/*.json")):
            return "slack"
        return "leaf"
    if name != path:
        raise UserError(f"{name}: a pipe has no name that says its format; give --format")
    ending = os.path.splitext(opened.inner_name(path, name))[1].lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if ending == _JSON:
        return _form_of_json(path)
    known = ", ".join((*_ENDINGS, _JSON))
    raise UserError(f"{name}: its name does not end in {known}; give --format")


def _form_of_json(path: PathLike) -> str:
    try:
        with opened.text(path, path) as file:
            begin = file.read(_BEGINNING).lstrip()
    except (UnicodeError, OSError):
        return "leaf"  # Which says what is wrong with it.
    if begin.startswith("["):
        keys = set(re.findall(r'"(\w+)"\s*:', begin.partition("}")[0]))
        return "slack" if {"ts", "text"} <= keys else "json"
    keys = set(re.findall(r'"(\w+)"\s*:', begin))
    if "user_data" in keys or "num_samples" in keys:
        return "leaf"
    if "messages" in keys and {"guild", "channel"} & keys:
        return "discord"
    if {"messages", "chats", "personal_information"} & keys:
        return "telegram"
    return "leaf"
