"""TFF's client data: the SQLite files of `tff.simulation.datasets.SqlClientData`.

    examples         split_name, client_id, serialized_example_proto (a `tf.train.Example`)
    client_metadata  client_id, split_name, num_examples

TFF hosts Stack Overflow in this form: the feature `tokens` is a sentence, in lower case and with
spaces between its tokens, and `creation_date` is the time of its post. It has three splits:
`heldout` has users of its own, but `test` has the later posts of users of whom many are in `train`.
A population is split by user, so a client is one user, whatever splits it is in.
"""

import contextlib
import pathlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fedkeyboard.data import messages
from fedkeyboard.data.messages import Message, PathLike
from fedkeyboard.errors import UserError

_TABLES = {
    "examples": {"split_name", "client_id", "serialized_example_proto"},
    "client_metadata": {"split_name"},
}
_EXAMPLES = """
SELECT CAST(client_id AS TEXT), serialized_example_proto FROM examples
WHERE :split IS NULL OR split_name = :split
"""
_TEXT, _TIME = "tokens", "creation_date"  # Stack Overflow's.


def tff_file(
    path: PathLike, text_feature: str | None, time_feature: str | None, split: str | None
) -> Iterator[Message]:
    """Yields the examples of a file, or of one of its splits; their rows are counted from 1.

    With `text_feature` None the features are those of Stack Overflow. Otherwise, with
    `time_feature` None, the order of the file is the order in time. The text is a string, the time
    as for `csv_file`, one each.

    Raises `UserError` if the file or an example of it cannot be used.
    """
    if text_feature is None:
        text_feature, time_feature = _TEXT, time_feature or _TIME
    row = 0
    with contextlib.closing(_connect(path)) as connection:
        try:
            _check_tables(path, connection)
            if split is not None:
                _check_split(path, connection, split)
            features = _parser(path)
            for client, example in connection.execute(_EXAMPLES, {"split": split}):
                row += 1
                place = f"example {row}"
                messages.check_user(path, place, "client_id", client or "")
                when, text = _time_and_text(
                    path, place, features(place, example), text_feature, time_feature
                )
                yield Message(client, when, text, row)
        except sqlite3.Error as error:
            raise UserError(
                f"{path}: damaged or cut short, after example {row}; copy the file again"
            ) from error


def _connect(path: PathLike) -> sqlite3.Connection:
    with messages.open_file(path) as file:
        if file.read(16) != b"SQLite format 3\0":
            raise UserError(
                f"{path} is not an SQLite file; name a file of TFF's client data, decompressed"
            )
    return sqlite3.connect(f"{pathlib.Path(path).absolute().as_uri()}?mode=ro", uri=True)


def _check_tables(path: PathLike, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    # A view may compute for ever, and SQLite hears no signal while it does.
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
    tables = {name for (name,) in connection.execute(query)}
    for table, needed in _TABLES.items():
        columns = connection.execute(f"PRAGMA table_info({table})")
        if table not in tables or not needed <= {name for _, name, *_ in columns}:
            raise UserError(
                f"{path} is not TFF's client data: it has no table {table} with "
                f"{', '.join(sorted(needed))}; write it with TFF's save_to_sql_client_data"
            )


def _check_split(path: PathLike, connection: sqlite3.Connection, split: str) -> None:
    rows = connection.execute("SELECT DISTINCT split_name FROM client_metadata ORDER BY 1")
    names = [str(name) for (name,) in rows]
    if split not in names:
        raise UserError(
            f"{path}: there is no split {messages.short(split)}; there are {messages.listed(names)}"
        )


def _parser(path: PathLike) -> Callable[[str, bytes], Mapping[str, Any]]:
    """Returns a function of a place and an example there, which returns its features by name."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example  # Takes seconds.

    def features(place: str, example: bytes) -> Mapping[str, Any]:
        try:
            return Example.FromString(example).features.feature
        except (DecodeError, TypeError) as error:
            raise UserError(
                f"{path}: {place} is no tf.train.Example; write the file with TFF's "
                "save_to_sql_client_data"
            ) from error

    return features


def _time_and_text(
    path: PathLike, place: str, features: Mapping[str, Any], text: str, time: str | None
) -> tuple[float | None, str]:
    said = _value(path, place, features, text)
    try:
        said = said.decode()
    except (UnicodeDecodeError, AttributeError) as error:
        raise UserError(
            f"{path}: {place}: {messages.short(text)} is not a string in UTF-8; name another "
            "feature with --text-column"
        ) from error
    if time is None:
        return None, said
    when = _value(path, place, features, time)
    when = when.decode(errors="replace") if isinstance(when, bytes) else when
    return messages.time(path, place, time, when), said


def _value(path: PathLike, place: str, features: Mapping[str, Any], name: str) -> bytes | float:
    if name not in features:
        raise UserError(
            f"{path}: {place} has no feature {messages.short(name)}; there are "
            f"{messages.listed(sorted(features))}: name them with --text-column and --time-column"
        )
    kind = features[name].WhichOneof("kind")
    values = getattr(features[name], kind).value if kind else ()
    if len(values) != 1:
        raise UserError(
            f"{path}: {place}: {messages.short(name)} has {len(values)} values; it must have one"
        )
    return values[0]
