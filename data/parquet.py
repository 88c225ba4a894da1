"""Parquet files: a row a message, in columns that are named as for CSV.

Only these columns are read, in batches, so that a file may be larger than memory.
"""

import dataclasses
import os
from collections.abc import Iterator

from fedkeyboard.data import messages
from fedkeyboard.data.messages import Message, PathLike
from fedkeyboard.data.tables import LONGEST_TEXT, Table
from fedkeyboard.errors import UserError

_ROWS_AT_ONCE = 10_000
_BYTES_AT_ONCE = 1 << 20  # Of a column; without this, Arrow reads all that a row group has of it.
_PER_SECOND = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


def parquet_files(table: Table) -> Iterator[Message]:
    """Yields the messages of a Parquet file, or of a directory of parts, as Spark writes them.

    Users are strings or whole numbers, texts strings; times are timestamps (UTC unless they say
    otherwise), or strings or numbers as for CSV. Without a column of times the order of the file,
    and of the parts' names, is the order in time. Rows are counted from 1 in each file.

    Raises `UserError` if a file or a row of it cannot be used.
    """
    import pyarrow  # Takes half a second.
    import pyarrow.parquet

    names = [table.user, table.text] + ([] if table.time is None else [table.time])
    count = 0
    for path, name in _parts(table):
        of_part, row = dataclasses.replace(table, name=name), 0
        with messages.open_file(path) as handle:
            try:
                file = pyarrow.parquet.ParquetFile(handle, buffer_size=_BYTES_AT_ONCE)
                per_second = _ticks(name, file.schema_arrow, names)
                # Strings as they are stored: a small file may say a long one a million times.
                strings = [n for n in names if _is_string(file.schema_arrow.field(n).type)]
                file = pyarrow.parquet.ParquetFile(
                    handle,
                    metadata=file.metadata,
                    buffer_size=_BYTES_AT_ONCE,
                    read_dictionary=strings,
                )
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names):
                    columns = [batch.column(column) for column in names]
                    _check_lengths(name, row, columns)
                    if per_second is not None:
                        columns[2] = columns[2].cast(pyarrow.int64())
                    for cells in zip(*columns, strict=True):
                        row, count = row + 1, count + 1
                        made = _message(of_part, row, count, cells, per_second)
                        if made is not None:
                            yield made
            except (pyarrow.ArrowException, OSError) as error:
                raise UserError(
                    f"{name}: not a Parquet file, cut short or damaged, after row {row}; write it "
                    "again"
                ) from error


def _parts(table: Table) -> list[tuple[PathLike, PathLike]]:
    """Returns the files with their names; of a directory those that no program hides."""
    if not os.path.isdir(table.path):
        return [(table.path, table.name)]
    names = sorted(os.listdir(table.path))
    parts = [name for name in names if name.endswith(".parquet") and name[0] not in "._"]
    if not parts:
        raise UserError(f"{table.name}: the directory has no .parquet file")
    return [(os.path.join(table.path, name),) * 2 for name in parts]


def _is_string(kind) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind)


def _check_lengths(path: PathLike, row: int, columns: list) -> None:
    from pyarrow import compute, types

    for column in columns:
        values = column.dictionary if types.is_dictionary(column.type) else column
        if _is_string(values.type):
            longest = compute.max(compute.binary_length(values)).as_py() or 0
            if longest > LONGEST_TEXT:
                raise UserError(
                    f"{path}: one of the rows {row + 1:,} to {row + len(column):,} holds a text of "
                    f"more than {LONGEST_TEXT:,} bytes; is it a message?"
                )


def _ticks(path: PathLike, schema, names: list[str]) -> float | None:
    """Checks the types of the columns; returns how many ticks a second timestamps have."""
    from pyarrow import types

    def is_number(kind) -> bool:
        return types.is_integer(kind) or types.is_floating(kind)

    allowed = [
        ((_is_string, types.is_integer), "strings or whole numbers"),
        ((_is_string,), "strings"),
        ((types.is_timestamp, _is_string, is_number), "timestamps, ISO 8601 strings or numbers"),
    ]
    kind = None
    for name, (tests, meant) in zip(names, allowed, strict=False):
        kind = schema.field(messages.column(path, schema.names, name, tell=True)).type
        values = kind.value_type if types.is_dictionary(kind) else kind
        if not any(test(values) for test in tests):
            raise UserError(
                f"{path}: {messages.short(name)} is a column of type {messages.short(str(kind))}; "
                f"it must be of {meant}"
            )
    return _PER_SECOND[kind.unit] if types.is_timestamp(kind) else None


def _message(
    table: Table, row: int, count: int, cells: tuple, per_second: float | None
) -> Message | None:
    place = f"row {row}"
    try:
        user, text, *when = (cell.as_py() for cell in cells)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{table.name}: {place} is not UTF-8; write the file again with UTF-8 texts"
        ) from error
    if per_second is not None and when[0] is not None:
        when = [messages.time(table.name, place, table.time, when[0], per_second)]
    user = None if user is None else str(user)
    return table.message(place, count, user, text, *(when or [None]))
