"""How a population file is written: sentences, virtual phones, and last what makes it whole."""

import contextlib
import hashlib
import json
import pathlib
import sqlite3
from collections.abc import Callable

import numpy as np

from fedkeyboard import files
from fedkeyboard.data import seals, voices
from fedkeyboard.data.population import FORMAT, SCHEMA, SPLITS, VERSION
from fedkeyboard.data.staging import UNFINISHED, Staging
from fedkeyboard.files import sync


def write_sentences(
    path: pathlib.Path,
    staging: Staging,
    order: np.ndarray,
    sizes: list[int],
    settings: dict,
    phones: int | None,
) -> dict:
    """Writes the sentences to the population file at `path`; returns its description.

    User `u`, from 0 through the splits, is the one numbered `order[u]` in the staging, so that a
    number tells nothing of its user. The rows have the users' numbers among `phones` voices.
    """
    splits = {}
    digest = hashlib.sha256(json.dumps([FORMAT, VERSION, sizes]).encode())
    moved = 0 if phones is None else phones - sizes[0]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(UNFINISHED + SCHEMA)
        connection.execute("BEGIN")
        first = 0
        for split, size in zip(SPLITS, sizes, strict=True):
            sentences = words = 0
            # The training users come last if the file is multiplied: `voices.plan`.
            shift = moved if split != "train" or phones is None else phones + sum(sizes[1:])
            for user in range(first, first + size):
                kept = staging.sentences(int(order[user]))
                lines = [line[:2] for line in kept]
                number = user + shift
                connection.executemany(
                    "INSERT INTO sentence VALUES (?, ?, ?, ?)",
                    ((number, i, line.time, line.text) for i, line in enumerate(kept)),
                )
                seal = seals.of_user(number, lines)
                row = seals.of_row(number, len(kept), seal)
                connection.execute(
                    "INSERT INTO user VALUES (?, ?, ?, ?)", (number, len(kept), seal, row)
                )
                # By the number without voices, so that they do not change it.
                digest.update(seals.of_user(user, lines))
                words += sum(line.words for line in kept)
                sentences += len(kept)
            splits[split] = {
                "first": first,
                "last": first + size - 1,
                "phones": size,
                "sentences": sentences,
                "words": words,
            }
            first += size
        connection.execute("COMMIT")
    description = {"format": FORMAT, "version": VERSION} | settings
    for total in ("phones", "sentences", "words"):
        description[total] = sum(split[total] for split in splits.values())
    return description | {"splits": splits, "fingerprint": digest.hexdigest()}


def multiply(
    path: pathlib.Path,
    output: pathlib.Path,
    description: dict,
    phones: int,
    on_voices: Callable[[int], None] | None,
    held: contextlib.ExitStack,
) -> dict:
    """Adds `phones` voices to the file at `path`; returns the new description.

    They are added to a file beside `output` that stays if this is stopped, and that the next call
    finds by its fingerprint. That one is then not the file that its writer holds at `path`, and so
    is held here until `held` is closed.
    """
    planned = voices.plan(description, phones)
    partial = _partial(output)
    if _is_begun(partial, planned["fingerprint"]):
        held.enter_context(files.held(partial))
    else:
        _remove(partial)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(
                "INSERT INTO meta VALUES ('unfinished', ?)", [planned["fingerprint"]]
            )
        sync(path)
        path.replace(partial)
    total = voices.add(partial, planned, on_voices)
    partial.replace(path)
    planned["splits"]["train"]["sentences"] = total
    return planned


def _partial(output: pathlib.Path) -> pathlib.Path:
    return output.with_name(f".{output.name}.partial")


def forget(output: pathlib.Path) -> None:
    """Removes what `multiply` left beside a file when it was stopped."""
    _remove(_partial(output))


def _remove(partial: pathlib.Path) -> None:
    for stale in (partial, partial.with_name(partial.name + "-journal")):
        stale.unlink(missing_ok=True)


def _is_begun(partial: pathlib.Path, fingerprint: str) -> bool:
    if not partial.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(partial, timeout=0)) as connection:
            query = "SELECT value FROM meta WHERE key = 'unfinished'"
            return connection.execute(query).fetchone() == (fingerprint,)
    except sqlite3.DatabaseError:
        return False


def describe(path: pathlib.Path, description: dict) -> None:
    """Writes what makes the file at `path` a whole one."""
    description = description | {"sha256": seals.of_meta(description)}
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(UNFINISHED)
        connection.execute("BEGIN")
        connection.execute("DELETE FROM meta")
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            ((key, json.dumps(value)) for key, value in description.items()),
        )
        connection.execute("COMMIT")
