"""The population file: phones by number, each with its user's sentences in time order.

An SQLite file that opens, and from which a cohort is drawn, at the same cost for a thousand
phones and for ten million: the phones of a split are a range of numbers that is written down, and
a user's sentences lie together under the user's number. Nothing is scanned or counted.

    meta      key, value (JSON): format, version, source, seed, fractions, cleaning, phones,
              sentences, words, splits (of each: first, last, phones, sentences, words) and
              fingerprint
    sentence  user, position (from 0), time (seconds since 1970 or NULL), text
    user      user, sentences, and two hashes: of all of them, and of this row (`data.seals`)
    voice     phone, user, sentences, and a hash of the row

A phone is its user's, and has the same number; `voice` is empty. Unless the file was multiplied:
then each training phone is virtual, a *voice* of a real user, which is so many of that user's
sentences, drawn by seed and phone (`voice_positions`). The file refers to text that it has once.
The real users of those phones are numbered after all phones (`users` of the split: first, last);
phones of users held out are never multiplied.

The file holds what users wrote, though not their ids: treat it as private. `fingerprint` is the
sha256 of splits and sentences, computed while the file was built, which names the contents in a
run's record without reading them again; if multiplied, of that and of what the voices follow from.
`meta` has a hash of itself, `sha256`.

A file may be damaged, or made to harm: it is opened only if its schema is the very one below, and
what is read of it is checked for its type, its size and its hash.
"""

import contextlib
import functools
import json
import operator
import os
import pathlib
import sqlite3
import struct
import threading
from collections.abc import Collection, Iterable
from typing import Annotated, Literal

import numpy as np
import pydantic

from fedkeyboard import files, streams
from fedkeyboard.data import seals
from fedkeyboard.errors import UserError
from fedkeyboard.streams import Stream

PathLike = str | os.PathLike[str]

SPLITS = ("train", "validation", "test")
FORMAT = "fedkeyboard population"
VERSION = 3
"""To be raised when the tables change, or the rules by which text is cleaned."""
APPLICATION_ID = int.from_bytes(b"FKBP", "big")

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sentence (
  user INTEGER NOT NULL,
  position INTEGER NOT NULL,
  time REAL,
  text TEXT NOT NULL,
  PRIMARY KEY (user, position)
) WITHOUT ROWID;
CREATE TABLE user (
  user INTEGER PRIMARY KEY,
  sentences INTEGER NOT NULL,
  seal BLOB NOT NULL,
  row BLOB NOT NULL
);
CREATE TABLE voice (
  phone INTEGER PRIMARY KEY,
  user INTEGER NOT NULL,
  sentences INTEGER NOT NULL,
  seal INTEGER NOT NULL
);
"""

_MOST_PHONES = 2**40
_MOST_BYTES = 16 * files.MEGABYTE  # Of a message.
_MOST_META = 64 * 1024  # Bytes of a value; it has some hundreds.
_MOST_SENTENCES = 10_000_000  # Of a user.

_REMEDY = "make it again with `fedkeyboard prepare`"


class Population:
    """A population file, open for reading, by any number of threads and processes at once.

    Attributes:
      path: The file.
      description: What `meta` says, as a dict.
      fingerprint: sha256 of the contents, in hexadecimal.
      splits: The names of the splits that can be read.
      multiplied: Whether the training phones are voices of fewer real users.
    """

    def __init__(self, path: pathlib.Path, connection: sqlite3.Connection, description: dict):
        """Use `Population.open`."""
        self.path = path
        self.description = description
        self.fingerprint: str = description["fingerprint"]
        self._ranges = {
            name: range(split["first"], split["last"] + 1)
            for name, split in description["splits"].items()
        }
        self.splits = tuple(self._ranges)
        self._users = {
            name: range(split["users"]["first"], split["users"]["last"] + 1)
            if "users" in split
            else self._ranges[name]
            for name, split in description["splits"].items()
        }
        self.multiplied = self._users != self._ranges
        self._seed: int = description["seed"]
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: PathLike, splits: Collection[str] = SPLITS) -> "Population":
        """Opens a population file.

        Args:
          path: The file.
          splits: What can be read of it. The phones and users of another split are to this
            population as if there were none: what tunes a model has no way to the test users.

        Raises:
          UserError: If it is no whole population file.
        """
        path = pathlib.Path(path)
        _check_header(path)
        # Immutable, because a population is replaced and never changed: SQLite takes no locks and
        # needs no right to write. One connection and a lock serve all threads.
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = None
        with contextlib.suppress(OSError):  # What a killed `prepare` left may hold messages.
            files.remove_unfinished(path.parent)
        try:
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
            connection.executescript("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")
            _check_schema(connection)
            description = _described(connection)
            description["splits"] = {
                name: split for name, split in description["splits"].items() if name in splits
            }
            return cls(path, connection, description)
        except (sqlite3.Error, ValueError, LookupError, TypeError, RecursionError) as error:
            if connection is not None:
                connection.close()
            raise UserError(f"{path}: the population file is damaged; {_REMEDY}") from error

    def __enter__(self) -> "Population":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; nothing can be read afterwards."""
        with self._lock:
            self._connection.close()

    def phones(self, split: str) -> range:
        """Returns the numbers of the phones of `split`; raises `UserError` if there is none."""
        return self._of_split(self._ranges, split)

    def users(self, split: str) -> range:
        """Returns the numbers of the real users of `split`: the phones, unless multiplied."""
        return self._of_split(self._users, split)

    def sentences(self, number: int) -> list[str]:
        """Returns the sentences of a phone, or of a user, in time order, as they were typed.

        Raises `IndexError` for a number that is neither's and `UserError` if the file is damaged.
        """
        user, count = self._voice(number)
        texts = [text for _, text in self._lines(user)]
        if count is None:
            return texts
        if count > len(texts):
            raise self._missing(number)
        return [texts[i] for i in voice_positions(self._seed, number, len(texts), count)]

    def times(self, user: int) -> list[float | None]:
        """Returns when a user wrote each sentence, in seconds since 1970; None where not known."""
        return [time for time, _ in self._lines(operator.index(user))]

    def sentence_counts(self, numbers: Iterable[int]) -> np.ndarray:
        """Returns how many sentences phones, or users, have, int64 `[n]`, without reading them."""
        counts = []
        for number in numbers:
            user, count = self._voice(number)
            counts.append(self._sealed(user)[0] if count is None else count)
        return np.array(counts, np.int64)

    def _lines(self, user: int) -> list[tuple[float | None, str]]:
        """Returns a user's sentences, (time, text) in their order, as they were written there."""
        count, seal = self._sealed(user)
        query = "SELECT time, text FROM sentence WHERE user = ? ORDER BY position"
        lines = self._rows(query, user, at_most=count + 1)
        if not all(
            isinstance(text, str) and (time is None or isinstance(time, int | float))
            for time, text in lines
        ):
            raise self._damaged()
        if len(lines) != count or seals.of_user(user, lines) != seal:
            raise self._damaged()
        return lines

    def _sealed(self, user: int) -> tuple[int, bytes]:
        """Returns how many sentences a user has, and their hash."""
        rows = self._rows("SELECT sentences, seal, row FROM user WHERE user = ?", user)
        if not rows:
            raise self._missing(user)
        count, seal, row = rows[0]
        if not (
            isinstance(count, int)
            and isinstance(seal, bytes)
            and 0 < count <= _MOST_SENTENCES
            and seals.of_row(user, count, seal) == row
        ):
            raise self._damaged()
        return count, seal

    def _of_split(self, ranges: dict[str, range], split: str) -> range:
        if split not in ranges:
            raise UserError(
                f"{self.path}: there is no split {split!r}; there are {', '.join(self.splits)}"
            )
        return ranges[split]

    def _voice(self, number: int) -> tuple[int, int | None]:
        """Returns the user who speaks, and how many sentences, or None for all of them."""
        number = operator.index(number)  # SQLite does not take numpy's integers.
        if any(number in users for users in self._users.values()):
            return number, None
        rows = self._rows("SELECT user, sentences, seal FROM voice WHERE phone = ?", number)
        if not rows:
            raise self._missing(number)
        user, count, seal = rows[0]
        if not all(isinstance(value, int) and 0 <= value < _MOST_PHONES for value in rows[0]):
            raise self._damaged()
        if seal != seals.of_voice(number, user, count):
            raise self._damaged()
        return user, count

    def _rows(self, query: str, number: int, at_most: int = 1) -> list[tuple]:
        """Returns what the file has of a phone or user; the one way to all that it has of them."""
        if not any(number in of for of in (*self._ranges.values(), *self._users.values())):
            raise IndexError(f"there is no phone {number}")
        try:
            with self._lock:
                return self._connection.execute(query, (number,)).fetchmany(at_most)
        except sqlite3.ProgrammingError:  # Closed: our mistake and not the file's.
            raise
        except sqlite3.Error as error:
            raise self._damaged() from error

    def _damaged(self) -> UserError:
        return UserError(f"{self.path}: the population file is damaged; {_REMEDY}")

    def _missing(self, number: int) -> UserError:
        return UserError(f"{self.path}: phone {number} is missing from the file; {_REMEDY}")


def voice_positions(seed: int, phone: int, available: int, count: int) -> np.ndarray:
    """Draws which of a user's `available` sentences a voice has: `count` positions, ascending."""
    generator = streams.generator(seed, Stream.VOICE_POSITIONS, phone)
    return np.sort(generator.permutation(available)[:count])


class _Range(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    first: Annotated[int, pydantic.Field(ge=0, lt=_MOST_PHONES)]
    last: Annotated[int, pydantic.Field(ge=0, lt=_MOST_PHONES)]


class _Split(_Range):
    phones: Annotated[int, pydantic.Field(ge=1, lt=_MOST_PHONES)]
    sentences: Annotated[int, pydantic.Field(ge=0)]
    words: Annotated[int, pydantic.Field(ge=0)] | None = None
    users: _Range | None = None

    @pydantic.model_validator(mode="after")
    def _count(self) -> "_Split":
        if self.last - self.first + 1 != self.phones:
            raise ValueError("its phones are not those from first to last")
        return self


class _Description(pydantic.BaseModel):
    """What `meta` must say; more than that is kept as it is."""

    model_config = pydantic.ConfigDict(strict=True, extra="allow")

    source: Annotated[str, pydantic.Field(max_length=10_000)]
    sentences: Annotated[int, pydantic.Field(ge=0)]
    words: Annotated[int, pydantic.Field(ge=0)]
    left_out: dict[str, Annotated[int, pydantic.Field(ge=0)]]
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**64)]
    fingerprint: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
    sha256: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
    splits: dict[Literal["train", "validation", "test"], _Split]


def _check_schema(connection: sqlite3.Connection) -> None:
    """Raises ValueError unless there are the tables of `SCHEMA`, and nothing else.

    A view in the place of a table could run for ever, and a trigger do what it likes.
    """
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name LIMIT 20"
    if connection.execute(query).fetchall() != _schema():
        raise ValueError("another schema")


@functools.cache
def _schema() -> list[tuple]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
        return connection.execute(query).fetchall()


def _described(connection: sqlite3.Connection) -> dict:
    """Returns what `meta` says; raises ValueError, or what JSON does, if it is not as written."""
    rows = connection.execute("SELECT key, value FROM meta LIMIT 100").fetchall()
    if any(not isinstance(value, str) or len(value) > _MOST_META for _, value in rows):
        raise ValueError("meta holds something else")
    description = {key: json.loads(value) for key, value in rows}
    _Description.model_validate(description)
    if description["sha256"] != seals.of_meta(description):
        raise ValueError("meta is not what was written")
    return description


def is_population(path: PathLike) -> bool:
    """Whether the file at `path` is a population file of any version, whole or not."""
    try:
        with files.open_regular(path) as file:
            return _is_population_header(file.read(100))
    except (UserError, OSError):
        return False


def _is_population_header(header: bytes) -> bool:
    application = header[68:72]
    return header.startswith(b"SQLite format 3\0") and application == struct.pack(
        ">I", APPLICATION_ID
    )


def _check_header(path: pathlib.Path) -> None:
    """Raises `UserError` unless the first 100 bytes and the size are those of a population.

    See "The Database Header", https://www.sqlite.org/fileformat.html.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{path}: a device or a pipe; name a population file")
        with path.open("rb") as file:
            header = file.read(100)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such population file; make it with `fedkeyboard prepare`"
        ) from error
    except IsADirectoryError as error:
        raise UserError(
            f"{path} is a directory; name a population file made by `fedkeyboard prepare`"
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check the path, or {_REMEDY}"
        ) from error
    if not _is_population_header(header):
        raise UserError(
            f"{path} is not a population file; make one from it or from your messages "
            "with `fedkeyboard prepare`"
        )
    if len(header) < 100:
        raise UserError(f"{path}: the population file is cut short; {_REMEDY}")
    (version,) = struct.unpack_from(">i", header, 60)
    if version != VERSION:
        raise UserError(
            f"{path} is a population file of version {version}, and this fedkeyboard reads "
            f"version {VERSION}; {_REMEDY}"
        )
    (page_size,) = struct.unpack_from(">H", header, 16)
    (pages,) = struct.unpack_from(">I", header, 28)
    if size < pages * (65536 if page_size == 1 else page_size):
        raise UserError(f"{path}: the population file is cut short; {_REMEDY}")
