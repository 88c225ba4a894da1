"""LEAF's JSON (Caldas et al. 2018, arXiv 1812.01097): its text data sets, and others of its layout.

    {"users": [...], "num_samples": [...], "user_data": {user: {"x": [samples], "y": [labels]}}}

A file, or a directory of such files, which is how LEAF stores a data set. `user_data` is read a
user at a time, so that memory holds the largest user and not the file. What a sample is depends on
the data set (https://github.com/TalwalkarLab/leaf, `data/*/preprocess` and `data/reddit/source`):

    a string             a message
    a list of words      a message; Reddit's is a list of such lists, of ten words each, from <BOS>
                         to <EOS> and filled up with <PAD>
    a row of five        Sent140's: id, date, query, user, text
    80 characters        Shakespeare's: those before the label, which is a character. Lines are put
                         together from the labels, unless LEAF's split by sample tore them apart

Times are Reddit's `created_utc`, in the label, and Sent140's dates; other samples have none.
"""

import itertools
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fedkeyboard.data import messages, opened
from fedkeyboard.data.json_text import JsonText, TooLong
from fedkeyboard.data.messages import Message, PathLike
from fedkeyboard.errors import UserError

_NO_WORDS = {"<BOS>", "<EOS>", "<PAD>"}
_LINE_BEGINS = " " * 80
_TWEETED = "%a %b %d %H:%M:%S PDT %Y %z"  # Sent140 is of one summer, and all in this time zone.
_PDT = " -0700"


def leaf_files(path: PathLike) -> Iterator[Message]:
    """Yields the messages of a LEAF file, or of the `*.json` files of a directory, by name.

    Raises `UserError` if a file or a sample of it cannot be used.
    """
    row = 0
    for file in _files(path):
        for number, user, data in _users(file):
            place = f"user {number}"
            messages.check_user(file, place, "user_data", user)
            messages.check_text(file, place, "user_data", user)
            for when, text in _messages(file, place, data):
                messages.check_text(file, place, "x", text)
                row += 1
                yield Message(user, when, text, row)


def _files(path: PathLike) -> list[PathLike]:
    if not os.path.isdir(path):
        return [path]
    files = sorted(name for name in os.listdir(path) if name.endswith(".json"))
    if not files:
        raise UserError(f"{path}: the directory has no .json file; name one of LEAF's files")
    return [os.path.join(path, name) for name in files]


def _users(path: PathLike) -> Iterator[tuple[int, str, Any]]:
    """Yields the number, from 1, the id and the data of each user of a file."""
    number = 0
    found = False
    try:
        with opened.text(path, path) as file:
            content = JsonText(file)
            for key in content.members():
                if key != "user_data":
                    content.skip()
                    continue
                found = True
                for user in content.members():
                    data = content.value()
                    number += 1
                    yield number, user, data
            content.end()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 after user {number}; convert the file to UTF-8"
        ) from error
    except TooLong as error:
        raise UserError(f"{path}: after user {number} is {error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not LEAF's JSON, or cut short, after user {number}; write one whole object "
            "with user_data, or give --format jsonl for an object a line"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read after user {number} ({error.strerror}); check the disk"
        ) from error
    if not found:
        raise UserError(
            f"{path}: there is no user_data; LEAF's files have the users' samples there"
        )


def _messages(path: PathLike, place: str, data: Any) -> Iterator[tuple[float | None, str]]:
    """Yields the time and the text of each message of a user."""
    samples = data.get("x") if isinstance(data, dict) else None
    if not isinstance(samples, list):
        raise UserError(f'{path}: {place} has no list "x"; LEAF keeps the samples there')
    labels = data.get("y", [None] * len(samples))
    if not isinstance(labels, list) or len(labels) != len(samples):
        raise UserError(f'{path}: {place}: "y" is not a list as long as "x"; make them agree')
    if samples and all(map(_is_window, samples, labels)):
        yield from ((None, line) for line in _lines(path, place, samples, labels))
        return
    for number, (sample, label) in enumerate(zip(samples, labels, strict=True), 1):
        when, text = _time_and_text(sample)
        if text is None:
            raise UserError(
                f"{path}: {place}, sample {number} is no text: not a string, a list of words nor a "
                "row of Sent140; remove it, or choose one of LEAF's text data sets"
            )
        if isinstance(label, dict) and "created_utc" in label:
            of_sample = f"{place}, sample {number}"
            when = messages.time(path, of_sample, "created_utc", label["created_utc"])
        yield when, text


def _time_and_text(sample: Any) -> tuple[float | None, str | None]:
    """Returns what a sample says itself; the text is None if it is none of the layouts above."""
    if isinstance(sample, str):
        return None, sample
    if not isinstance(sample, list):
        return None, None
    if all(isinstance(words, list) for words in sample):
        sample = list(itertools.chain.from_iterable(sample))
    if not all(isinstance(word, str) for word in sample):
        return None, None
    if len(sample) == 5 and (when := _tweeted(sample[1])) is not None:
        return when, sample[4]
    if any(_has_space(word) for word in sample):  # A row, then, of fields that we do not know.
        return None, None
    return None, " ".join(word for word in sample if word not in _NO_WORDS)


def _has_space(word: str) -> bool:
    return len(word.split(maxsplit=1)) > 1


def _tweeted(date: str) -> float | None:
    try:
        return datetime.strptime(date + _PDT, _TWEETED).timestamp()
    except ValueError:
        return None


def _is_window(sample: Any, label: Any) -> bool:
    """Whether this is one character of Shakespeare's, with those before it."""
    both = isinstance(sample, str) and isinstance(label, str)
    return both and len(sample) == len(_LINE_BEGINS) and len(label) == 1


def _lines(path: PathLike, place: str, windows: list[str], labels: list[str]) -> Iterator[str]:
    """Puts the lines together of which each character is a label."""
    line, expected = "", None
    for number, (window, label) in enumerate(zip(windows, labels, strict=True), 1):
        if window == _LINE_BEGINS:
            yield line
            line = ""
        elif window != expected:
            raise UserError(
                f"{path}: {place}, sample {number} does not go on where the one before ends; give "
                "LEAF's data from before its split by sample, or split --by_user"
            )
        line += label
        expected = window[1:] + label
    yield line
