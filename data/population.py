"""The population file: phones by number, each with its user's sentences in time order.

An SQLite file that opens, and from which a cohort is drawn, at the same cost for a thousand
phones and for ten million: the phones of a split are a range of numbers that is written down, and
a phone's sentences lie together under its number. Nothing is scanned or counted.

    meta      key, value (JSON): format, version, source, seed, fractions, cleaning, phones,
              sentences, words, splits (of each: first, last, phones, sentences, words) and
              fingerprint
    sentence  phone, position (from 0), time (seconds since 1970 or NULL), text

The file holds what users wrote, though not their ids: treat it as private. `fingerprint` is the
sha256 of splits and sentences, computed while the file was built, which names the contents in a
run's record without reading them again.
"""

import json
import operator
import os
import pathlib
import sqlite3
import struct
import threading

from fedkeyboard.errors import UserError

PathLike = str | os.PathLike[str]

SPLITS = ("train", "validation", "test")
FORMAT = "fedkeyboard population"
VERSION = 1
"""To be raised when the tables change, or the rules by which text is cleaned."""
APPLICATION_ID = int.from_bytes(b"FKBP", "big")

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sentence (
  phone INTEGER NOT NULL,
  position INTEGER NOT NULL,
  time REAL,
  text TEXT NOT NULL,
  PRIMARY KEY (phone, position)
) WITHOUT ROWID;
"""

_REMEDY = "make it again with `fedkeyboard prepare`"


class Population:
    """A population file, open for reading, by any number of threads and processes at once.

    Attributes:
      path: The file.
      description: What `meta` says, as a dict.
      fingerprint: sha256 of the contents, in hexadecimal.
      splits: The names of the splits.

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
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: PathLike) -> "Population":
        """Opens the file at `path`; raises `UserError` if it is no whole population file."""
        path = pathlib.Path(path)
        _check_header(path)
        # Immutable, because a population is replaced and never changed: SQLite takes no locks and
        # needs no right to write. One connection and a lock serve all threads.
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = None
        try:
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            rows = connection.execute("SELECT key, value FROM meta")
            description = {key: json.loads(value) for key, value in rows}
            return cls(path, connection, description)
        except (sqlite3.Error, ValueError, LookupError, TypeError, AttributeError) as error:
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
        if split not in self._ranges:
            raise UserError(
                f"{self.path}: there is no split {split!r}; there are {', '.join(self.splits)}"
            )
        return self._ranges[split]

    def sentences(self, phone: int) -> list[str]:
        """Returns the sentences of `phone` in time order, as they were typed.

        Raises `IndexError` for a number that is no phone's and `UserError` if the file is damaged.
        """
        phone = operator.index(phone)  # SQLite does not take numpy's integers.
        if not any(phone in numbers for numbers in self._ranges.values()):
            raise IndexError(f"there is no phone {phone}")
        query = "SELECT text FROM sentence WHERE phone = ? ORDER BY position"
        try:
            with self._lock:
                texts = [text for (text,) in self._connection.execute(query, (phone,))]
        except sqlite3.ProgrammingError:  # Closed: our mistake and not the file's.
            raise
        except sqlite3.Error as error:
            raise UserError(f"{self.path}: the population file is damaged; {_REMEDY}") from error
        if not texts:
            raise UserError(f"{self.path}: phone {phone} is missing from the file; {_REMEDY}")
        return texts


def is_population(path: PathLike) -> bool:
    """Whether the file at `path` is a population file of any version, whole or not."""
    try:
        with open(path, "rb") as file:
            return _is_population_header(file.read(100))
    except OSError:
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
