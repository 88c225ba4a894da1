import random
import tempfile
from datetime import UTC, datetime, timedelta, timezone

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.data import parquet
from fedkeyboard.data.messages import Message
from fedkeyboard.data.parquet import parquet_files
from fedkeyboard.data.tables import Table
from fedkeyboard.errors import UserError

SECRETS = ("anna", "hello there")
NOON = datetime(2018, 5, 2, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "messages"

    def write(columns, **options):
        pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)
        return path

    return write


def read(path, time="time"):
    return list(parquet_files(Table(path, path, time=time)))


def of(user="anna", text="hello there", time=0):
    """A table of two rows, of which the second is as asked for."""
    return {"user": ["bob", user], "text": ["fine", text], "time": [0, time]}


def strings(*values):
    """A column of the bytes of `values`, which need not be UTF-8."""
    return pyarrow.array(values, pyarrow.binary()).view(pyarrow.string())


def test_round_trip_of_real_text_in_several_batches(few, file, monkeypatch):
    monkeypatch.setattr(parquet, "_ROWS_AT_ONCE", 300)
    names = ["time", "other", "text", "user"]
    rows = [[each.time, 1, each.text, each.user] for each in few]
    path = file(
        dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), row_group_size=700
    )
    expected = [message._replace(row=row) for row, message in enumerate(few, 1)]
    assert read(path) == expected
    assert read(path, None) == [message._replace(time=None) for message in expected]


@given(st.lists(st.tuples(st.text(min_size=1).filter(str.strip), st.text()), max_size=8))
def test_any_text_comes_back(rows):
    users, texts = ([row[i] for row in rows] for i in range(2))
    columns = [pyarrow.array(column, pyarrow.string()) for column in (users, texts)]
    with tempfile.NamedTemporaryFile() as handle:
        pyarrow.parquet.write_table(pyarrow.table(columns, ["user", "text"]), handle.name)
        expected = [
            Message(user, None, text, i) for i, (user, text) in enumerate(rows, 1) if text.strip()
        ]
        assert read(handle.name, None) == expected


@pytest.mark.parametrize(
    "times",
    [
        *(pyarrow.array([NOON], pyarrow.timestamp(unit, "UTC")) for unit in ("ms", "us", "ns")),
        pyarrow.array([NOON.replace(tzinfo=None)], pyarrow.timestamp("us")),
        pyarrow.array([NOON.astimezone(timezone(timedelta(hours=2)))]),
        ["2018-05-02T14:00:00+02:00"],
        ["2018-05-02 12:00:00 UTC"],
        [1525262400],
        [1525262400000],
        [1525262400.0],
    ],
)
def test_times_in_every_type(times, file):
    path = file({"user": ["a"], "text": ["b"], "time": times})
    assert read(path) == [Message("a", NOON.timestamp(), "b", 1)]


def test_numbered_and_categorical_users_and_a_dotted_name(file):
    assert read(file({"user": [17], "text": ["b"]}), None) == [Message("17", None, "b", 1)]
    users = pyarrow.array(["a", "c", "a"]).dictionary_encode()
    path = file({"user": users, "said.in": ["d", "e", "f"], "said": [{"in": "x"}] * 3})
    found = list(parquet_files(Table(path, path, text="said.in")))
    assert [message[:3] for message in found] == [
        ("a", None, "d"),
        ("c", None, "e"),
        ("a", None, "f"),
    ]


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"user": ["anna"], "said": ["hello there"]}, ['no column "text"', '"user", "said"']),
        ({"user": [1.5], "text": ["hello there"], "time": [0]}, ['"user"', '"double"', "strings"]),
        ({"user": ["anna"], "text": [7], "time": [0]}, ['"text"', '"int64"', "strings"]),
        ({"user": ["anna"], "text": [b"hello there"], "time": [0]}, ['"text"', '"binary"']),
        ({"user": ["anna"], "text": [["hello there"]], "time": [0]}, ['"text"', "list"]),
        ({"user": ["anna"], "text": ["hello there"], "time": [True]}, ['"time"', '"bool"']),
        (of(time=float("nan")), ["row 2", '"time" is not a time']),
        (of(time=1e40), ["row 2", '"time" is not a time']),
        (of() | {"time": ["2018-05-02", "noon"]}, ["row 2", '"time" is not a time']),
        (
            of() | {"time": pyarrow.array([0, 10**12], pyarrow.timestamp("s"))},
            ["row 2", '"time" is not a time'],
        ),
        (of() | {"text": strings(b"fine", b"hello there \xe9")}, ["row 2", "not UTF-8"]),
        (of() | {"user": strings(b"bob", b"anna \xff")}, ["row 2", "not UTF-8"]),
    ],
)
def test_refuses(columns, parts, file, refuses):
    path = file(columns)
    with refuses(path, *parts, secrets=SECRETS):
        read(path)


def test_a_column_that_is_there_twice(tmp_path, refuses):
    table = pyarrow.table([["anna"], ["hello there"], ["friend"]], ["user", "text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "twice")
    with refuses("several columns", '"text"', secrets=SECRETS):
        read(tmp_path / "twice", None)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"user,text\nanna,hello there\n", b"\0" * 99])
def test_not_parquet(content, tmp_path, refuses):
    (tmp_path / "file").write_bytes(content)
    with refuses(tmp_path / "file", "not a Parquet file", secrets=SECRETS):
        read(tmp_path / "file")


def test_missing_and_directory(tmp_path, refuses):
    with refuses("no such file"):
        read(tmp_path / "none.parquet")
    with refuses("has no .parquet file"):
        read(tmp_path)


def test_parts_in_a_directory_are_read_by_name(few, tmp_path, refuses):
    """As Spark writes them, with files of its own."""
    names = ["part-00001.parquet", "part-00000.parquet"]
    for name, part in zip(names, (few[5:9], few[:5]), strict=True):
        columns = {key: [getattr(each, key) for each in part] for key in ("user", "text", "time")}
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / name)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part.parquet").write_text("of another program")
    assert read(tmp_path) == [m._replace(row=i) for i, m in enumerate(few[:9], 1)]
    (tmp_path / "part-00002.parquet").write_text("no")
    with refuses("part-00002.parquet", "not a Parquet file"):
        read(tmp_path)


@pytest.mark.parametrize("nothing", [{"user": None}, {"user": " "}, {"text": None}, {"time": None}])
def test_rows_that_say_nothing_are_skipped(nothing, file):
    path = file(of(**nothing))
    table = Table(path, path, time="time")
    assert [m.user for m in parquet_files(table)] == ["bob"]
    assert table.skipped.counts.total() == 1


def test_damage_is_one_line_or_goes_unseen(few, file):
    """Parquet has no checksums by default; what Arrow notices must not be a traceback."""
    columns = {name: [getattr(each, name) for each in few[:300]] for name in Message._fields}
    path = file(columns)
    whole = path.read_bytes()
    generator = random.Random(1)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        if generator.random() < 0.2:
            del damaged[generator.randrange(len(whole)) :]
        else:
            damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            read(path)
        except UserError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert refused > 100


@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.large_string()])
@pytest.mark.parametrize("column", ["user", "text"])
def test_a_string_has_a_longest(kind, column, tmp_path, refuses):
    def write(length):
        values = {"user": ["anna", "bob"], "text": ["hello there", "hi all"]}
        values[column][1] = "a" * length
        table = pyarrow.table({name: pyarrow.array(of, kind) for name, of in values.items()})
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet", compression="zstd")
        return tmp_path / "a.parquet"

    path = write(2**20)
    assert len(list(parquet_files(Table(path, path)))) == 2
    with refuses(write(2**20 + 1), "rows 1 to 2", "more than 1,048,576 bytes", secrets=["anna"]):
        list(parquet_files(Table(path, path)))
