"""Chat exports as people have them: Telegram, Discord, Slack, SMS Backup & Restore.

    telegram  result.json of Telegram Desktop ("machine-readable JSON"), of one chat or of all
    discord   DiscordChatExporter's JSON
    slack     a file of an export (an array of messages), or the directory with all channels
    sms       the XML of SMS Backup & Restore; what its owner sent, and what came

Of each: who wrote it, when, and the text. What a program wrote (joined, pinned, called), and what
has no text, is skipped and counted. WhatsApp's are in `fedkeyboard.data.whatsapp`.
"""

import html
import os
import pathlib
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from fedkeyboard.data import messages, opened
from fedkeyboard.data.json_text import JsonText, TooLong
from fedkeyboard.data.messages import Message, PathLike, Skipped
from fedkeyboard.errors import UserError

_READ = 1 << 20
# Bytes of an element; pictures are attributes. Expat begins again with each block of one.
_LONGEST_ELEMENT = 1 << 25
_OWNER = "owner"  # Of an SMS backup, who has no number of its own there.


def telegram(path: PathLike, name: PathLike, skipped: Skipped) -> Iterator[Message]:
    """Yields the messages of a Telegram export; raises `UserError` if it is none."""

    def found(content: JsonText) -> Iterator[Any]:
        for key in content.members():
            if key == "messages":
                for _ in content.elements():
                    yield content.value()
            elif key == "chats":
                for of_chats in content.members():
                    if of_chats == "list":
                        for _ in content.elements():
                            yield from _of_messages(content)
                    else:
                        content.skip()
            else:
                content.skip()

    for row, place, record in _records(path, name, found):
        if record.get("type") != "message":
            skipped.add("of a program", place)
            continue
        when = record.get("date_unixtime") or record.get("date")
        yield from _message(
            name,
            place,
            row,
            skipped,
            _of(record, "from_id", "from"),
            when,
            _joined(record.get("text")),
        )


def discord(path: PathLike, name: PathLike, skipped: Skipped) -> Iterator[Message]:
    """Yields the messages of a Discord export; raises `UserError` if it is none."""
    for row, place, record in _records(path, name, _of_messages):
        author = record.get("author")
        author = author if isinstance(author, dict) else {}
        if record.get("type") not in ("Default", "Reply", None) or author.get("isBot"):
            skipped.add("of a program", place)
            continue
        yield from _message(
            name,
            place,
            row,
            skipped,
            author.get("id"),
            record.get("timestamp"),
            record.get("content"),
        )


def slack(path: PathLike, name: PathLike, skipped: Skipped) -> Iterator[Message]:
    """Yields the messages of a Slack export; raises `UserError` if it is none."""
    files = [(path, name)]
    if os.path.isdir(path):
        found = sorted(pathlib.Path(path).glob("*/*.json"))
        files = [(file, file) for file in found]
        if not files:
            raise UserError(
                f"{name}: no channel with messages; name the directory of a Slack export"
            )

    def elements(content: JsonText) -> Iterator[Any]:
        for _ in content.elements():
            yield content.value()

    count = 0
    for file, called in files:
        for _, place, record in _records(file, called, elements):
            count += 1
            if record.get("type", "message") != "message" or record.get("subtype"):
                skipped.add("of a program", f"{called}, {place}")
                continue
            text = record.get("text")
            text = html.unescape(text) if isinstance(text, str) else text
            yield from _message(
                called, place, count, skipped, record.get("user"), record.get("ts"), text
            )


def sms(path: PathLike, name: PathLike, skipped: Skipped) -> Iterator[Message]:
    """Yields the messages of an SMS backup; raises `UserError` if it is none, or has entities."""
    found: list[dict[str, str]] = []
    elements, root = 0, ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal elements, root
        elements, root = elements + 1, root or tag
        if tag == "sms":
            found.append(attributes)
        elif tag == "mms":
            skipped.add("with pictures (MMS)", f"element {elements}")

    def declared(*_: Any) -> None:
        raise UserError(f"{name}: declares entities, which no backup does; it is not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = declared
    parser.buffer_text = True
    row = read = 0
    try:
        with opened.binary(path, name) as file:
            while True:
                block = file.read(_READ)
                parser.Parse(block, not block)
                read += len(block)
                if read - parser.CurrentByteIndex > _LONGEST_ELEMENT:
                    raise UserError(
                        f"{name}: after message {row} is an element of more than "
                        f"{_LONGEST_ELEMENT:,} bytes, which no backup has"
                    )
                for attributes in found:
                    row += 1
                    sender = _OWNER if attributes.get("type") == "2" else attributes.get("address")
                    yield from _message(
                        name,
                        f"message {row}",
                        row,
                        skipped,
                        sender,
                        attributes.get("date"),
                        attributes.get("body"),
                    )
                found.clear()
                if not block:
                    break
    except expat.ExpatError as error:
        raise UserError(f"{name}: not XML, or cut short, after message {row}") from error
    except OSError as error:
        raise UserError(f"{name}: cannot be read after message {row}") from error
    if root != "smses":
        raise UserError(f"{name}: not a backup of SMS: it does not begin with smses")


def _records(path: PathLike, name: PathLike, found: Any) -> Iterator[tuple[int, str, dict]]:
    """Yields the number, from 1, the place and the object of each message of a JSON file."""
    number = 0
    try:
        with opened.text(path, name) as file:
            content = JsonText(file)
            for number, record in enumerate(found(content), 1):
                if not isinstance(record, dict):
                    raise ValueError
                yield number, f"message {number}", record
            content.end()
    except TooLong as error:
        raise UserError(f"{name}: after message {number} is {error}") from error
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(
            f"{name}: not such an export, or cut short, after message {number}; export it again"
        ) from error
    if not number:
        raise UserError(f"{name}: there are no messages in it; is it such an export?")


def _of_messages(content: JsonText) -> Iterator[Any]:
    """Yields what stands in the array `messages` of an object."""
    for key in content.members():
        if key == "messages":
            for _ in content.elements():
                yield content.value()
        else:
            content.skip()


def _message(
    name: PathLike, place: str, row: int, skipped: Skipped, user: Any, time: Any, text: Any
) -> Iterator[Message]:
    for value, what in ((user, "user"), (text, "text"), (time, "time")):
        if messages.is_empty(value):
            skipped.add(f"without a {what}", place)
            return
    if (
        not isinstance(text, str)
        or not isinstance(user, str | int)
        or not isinstance(time, str | int | float)
    ):
        raise UserError(f"{name}: {place} is not as such an export has it; export it again")
    messages.check_text(name, place, "text", text)
    messages.check_text(name, place, "user", str(user))
    yield Message(str(user), messages.time(name, place, "time", time), text, row)


def _of(record: dict, *names: str) -> Any:
    return next((record[name] for name in names if not messages.is_empty(record.get(name))), None)


def _joined(text: Any) -> Any:
    """Returns a Telegram text: a string, or a list of strings and of objects with a `text`."""
    if not isinstance(text, list):
        return text
    parts = [part.get("text") if isinstance(part, dict) else part for part in text]
    return "".join(parts) if all(isinstance(part, str) for part in parts) else {}
