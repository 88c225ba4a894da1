"""Parquet files: a row a message, in columns that are named as for CSV.

Only these columns are read, in batches, so that a file may be larger than memory.
"""

from collections.abc import Iterator

from data import messages
from data.messages import Message, PathLike
from fedkeyboard.errors import UserError

_ROWS_AT_ONCE = 10_000
_BYTES_AT_ONCE = 1 << 20  # Of a column; without this, Arrow reads all that a row group has of it.
_PER_SECOND = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


def parquet_file(
    path: PathLike, user_column: str, text_column: str, time_column: str | None
) -> Iterator[Message]:
    """Yields the messages of a Parquet file; their rows are counted from 1.

    Users are strings or whole numbers, texts strings; times are timestamps (UTC unless they say
    otherwise), or strings or numbers as for `csv_file`. With `time_column` None the order of the
    file is the order in time.

    Raises `UserError` if the file or a row of it cannot be used.
    """
    import pyarrow  # Takes half a second.
    import pyarrow.parquet

    names = [user_column, text_column] + ([] if time_column is None else [time_column])
    row = 0
    with messages.open_file(path) as handle:
        try:
            file = pyarrow.parquet.ParquetFile(handle, buffer_size=_BYTES_AT_ONCE)
            per_second = _ticks(path, file.schema_arrow, names)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names):
                columns = [batch.column(name) for name in names]
                if per_second is not None:
                    columns[2] = columns[2].cast(pyarrow.int64())
                for cells in zip(*columns, strict=True):
                    row += 1
                    yield _message(path, row, names, cells, per_second)
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(
                f"{path}: not a Parquet file, cut short or damaged, after row {row}; write it again"
            ) from error


def _ticks(path: PathLike, schema, names: list[str]) -> float | None:
    """Checks the types of the columns; returns how many ticks a second timestamps have."""
    from pyarrow import types

    def is_string(kind) -> bool:
        return types.is_string(kind) or types.is_large_string(kind)

    def is_number(kind) -> bool:
        return types.is_integer(kind) or types.is_floating(kind)

    allowed = [
        ((is_string, types.is_integer), "strings or whole numbers"),
        ((is_string,), "strings"),
        ((types.is_timestamp, is_string, is_number), "timestamps, ISO 8601 strings or numbers"),
    ]
    kind = None
    for name, (tests, meant) in zip(names, allowed, strict=False):
        kind = schema.field(messages.column(path, schema.names, name)).type
        values = kind.value_type if types.is_dictionary(kind) else kind
        if not any(test(values) for test in tests):
            raise UserError(
                f"{path}: {messages.short(name)} is a column of type {messages.short(str(kind))}; "
                f"it must be of {meant}"
            )
    return _PER_SECOND[kind.unit] if types.is_timestamp(kind) else None


def _message(
    path: PathLike, row: int, names: list[str], cells: tuple, per_second: float | None
) -> Message:
    place = f"row {row}"
    try:
        user, text, *when = (cell.as_py() for cell in cells)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: {place} is not UTF-8; write the file again with UTF-8 texts"
        ) from error
    messages.check_user(path, place, names[0], "" if user is None else str(user))
    if text is None:
        raise UserError(
            f"{path}: {place}: {messages.short(names[1])} is missing; "
            "write a text or remove the row"
        )
    seconds = messages.time(path, place, names[2], when[0], per_second) if when else None
    return Message(str(user), seconds, text, row)
