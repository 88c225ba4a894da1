"""Messages on disk between their source and the population file: sorted by user, then cleaned.

Sources may be larger than memory and in any order, so SQLite holds them and sorts them. Its file
lies beside the output. It holds user ids, so it loses its name as soon as it is open, and the
space goes back when the process ends, however it ends.
"""

import collections
import contextlib
import dataclasses
import itertools
import operator
import os
import pathlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator

from fedkeyboard import files
from fedkeyboard.data.cleaning import Cleaning, Sentence, clean
from fedkeyboard.data.messages import Message

# For files that are of no use unless finished: no journal, no waiting for the disk. A failure
# deletes the file, and who keeps one syncs it. The cache is 256 MiB at most.
UNFINISHED = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -262144;
"""

_SCHEMA = """
CREATE TABLE message (seq INTEGER PRIMARY KEY, user TEXT, time REAL, text TEXT, row INTEGER);
CREATE TABLE kept (
  user INTEGER, position INTEGER, time REAL, text TEXT, words INTEGER,
  PRIMARY KEY (user, position)
) WITHOUT ROWID;
"""

_ROWS_BETWEEN_PROGRESS = 5_000


@dataclasses.dataclass(frozen=True)
class Kept:
    """What became of the users: how many remain, how many were left out, and where."""

    users: int
    left_out: int
    first_row_left_out: int | None
    """The earliest row of a user who was left out; None if nobody was."""
    messages: collections.Counter[str]
    """Messages by what became of them (`cleaning.Cleaned`)."""


class Staging:
    """Holds messages while they become users; call `read`, then `keep`, then `sentences`."""

    def __init__(self, connection: sqlite3.Connection):
        """Use `Staging.beside`."""
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def beside(cls, output: pathlib.Path) -> Iterator["Staging"]:
        """Yields an empty staging on the disk of `output`; raises sqlite3.Error or OSError."""
        files.remove_unfinished(output.parent)
        descriptor, name = tempfile.mkstemp(
            prefix=f".{output.name}.", suffix=files.UNFINISHED, dir=output.parent
        )
        os.close(descriptor)
        with contextlib.ExitStack() as stack:
            try:
                connection = sqlite3.connect(name, isolation_level=None)
                stack.enter_context(contextlib.closing(connection))
                connection.executescript(UNFINISHED + _SCHEMA)
            finally:
                # Another process may have taken it for a leftover.
                pathlib.Path(name).unlink(missing_ok=True)
            connection.execute("BEGIN")
            yield cls(connection)

    def read(self, messages: Iterable[Message], progress: Callable[[int], None] | None) -> int:
        """Stores `messages`, tells `progress` how many so far, and returns how many they are."""
        count = 0

        def counted():
            nonlocal count
            for message in messages:
                yield message
                count += 1
                if progress and count % _ROWS_BETWEEN_PROGRESS == 0:
                    progress(count)

        insert = "INSERT INTO message (user, time, text, row) VALUES (?, ?, ?, ?)"
        self._connection.executemany(insert, counted())
        if progress:
            progress(count)
        return count

    def keep(self, cleaning: Cleaning) -> Kept:
        """Cleans each user's messages; those who remain are numbered from 0 by sorted id."""
        users = left_out = 0
        first_row_left_out = None
        messages: collections.Counter[str] = collections.Counter()
        query = "SELECT user, time, text, row FROM message ORDER BY user, time, seq"
        by_user = itertools.groupby(self._connection.execute(query), key=operator.itemgetter(0))
        for _, rows in by_user:
            user = _User(rows)
            cleaned = clean(user.messages(), cleaning)
            messages += cleaned.counts
            if cleaned.sentences:
                numbered = ((users, i, *sentence) for i, sentence in enumerate(cleaned.sentences))
                self._connection.executemany("INSERT INTO kept VALUES (?, ?, ?, ?, ?)", numbered)
                users += 1
            else:
                left_out += 1
                first_row_left_out = min(user.first_row, first_row_left_out or user.first_row)
        return Kept(users, left_out, first_row_left_out, messages)

    def sentences(self, user: int) -> list[Sentence]:
        """Returns what is kept of the user numbered `user`, in time order."""
        query = "SELECT time, text, words FROM kept WHERE user = ? ORDER BY position"
        return [Sentence(*row) for row in self._connection.execute(query, (user,))]


class _User:
    """One user's staged rows, drawn once, with the lowest row number drawn so far."""

    def __init__(self, rows: Iterator[tuple[str, float | None, str, int]]):
        self._rows = rows
        self.first_row: int | None = None

    def messages(self) -> Iterator[tuple[float | None, str]]:
        for _, time, text, row in self._rows:
            self.first_row = row if self.first_row is None else min(self.first_row, row)
            yield time, text
