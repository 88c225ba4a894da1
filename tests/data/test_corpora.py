import csv
import io
import itertools
import json
import tempfile
from datetime import UTC, datetime

import chitchat_dataset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.data.corpora import chitchat, source
from fedkeyboard.data.messages import Message
from fedkeyboard.data.tables import Table, csv_rows, json_lines

SECRETS = ("anna", "hello there")


def read_csv(path, time="time", **options):
    return list(csv_rows(Table(path, path, time=time, **options)))


def read_jsonl(path, time="time", **options):
    return list(json_lines(Table(path, path, time=time, **options)))


def test_chitchat_has_the_published_counts(corpus):
    # From the README of the data set.
    assert len(corpus) == 258_145
    assert len({message.user for message in corpus}) == 1_315


def test_chitchat_keeps_text_order_and_times(corpus):
    turns = [turn for each in chitchat_dataset.Dataset().values() for turn in each["messages"]]
    raw = list(itertools.chain.from_iterable(turns))
    assert [message.text for message in corpus] == [each["text"] for each in raw]
    assert [message.row for message in corpus] == list(range(1, len(raw) + 1))
    for i in range(0, len(raw), 1000):
        expected = datetime.strptime(raw[i]["timestamp"], "%Y-%m-%dT%H:%M:%SZ")
        assert corpus[i].time == expected.replace(tzinfo=UTC).timestamp()


def test_chitchat_reads_times_without_z_as_utc_too(monkeypatch):
    def conversation(timestamp):
        return {"messages": [[{"sender": "a", "text": "b", "timestamp": timestamp}]]}

    both = [conversation("2018-05-02T19:38:15Z"), conversation("2018-05-02T19:38:15")]
    monkeypatch.setattr(chitchat_dataset, "Dataset", lambda: dict(enumerate(both)))
    assert [message.time for message in chitchat()] == [1525289895.0] * 2


def test_csv_round_trip_of_real_text(few, tmp_path):
    path = tmp_path / "messages.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["time", "text", "user"])
        writer.writerows((message.time, message.text, message.user) for message in few)
    assert [message[:3] for message in read_csv(path)] == [message[:3] for message in few]


def test_jsonl_round_trip_of_real_text(few, tmp_path):
    path = tmp_path / "messages.jsonl"
    path.write_text("".join(json.dumps(message._asdict()) + "\n" for message in few))
    expected = [message._replace(row=row) for row, message in enumerate(few, 1)]
    assert read_jsonl(path) == expected


TEXTS = st.lists(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0") | st.just("\n")),
    min_size=1,
    max_size=8,
)


@given(TEXTS, st.sampled_from(["\n", "\r\n"]))
def test_csv_any_text_comes_back_named_by_the_line_where_its_row_begins(texts, end):
    content = io.StringIO(newline="")
    writer = csv.writer(content, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["user", "text"])
    begins = []
    for text in texts:
        # Universal newlines, here by StringIO: "\r\n", "\r" and "\n" each end a line.
        begins.append(io.StringIO(content.getvalue(), newline=None).read().count("\n") + 1)
        writer.writerow(["u", text])
    with tempfile.NamedTemporaryFile() as handle:
        handle.write(content.getvalue().encode())
        handle.flush()
        expected = [
            Message("u", None, text, row)
            for text, row in zip(texts, begins, strict=True)
            if text.strip()
        ]
        assert read_csv(handle.name, time=None) == expected


def test_csv_tolerates_a_byte_order_mark_and_empty_lines(file):
    path = file(b"\xef\xbb\xbfuser,text\n\na,b\n\r\nc,d\n")
    assert read_csv(path, None) == [Message("a", None, "b", 3), Message("c", None, "d", 5)]


def test_jsonl_tolerates_a_byte_order_mark_empty_lines_and_numbered_users(file):
    path = file(b'\xef\xbb\xbf{"user": 17, "text": "b"}\n\n{"user": "c", "text": "d"}')
    assert read_jsonl(path, None) == [Message("17", None, "b", 1), Message("c", None, "d", 3)]


def test_sources_are_lazy(file):
    path = file("user,text\na,b\nbroken\n")
    messages = csv_rows(Table(path, path))
    assert next(messages).text == "b"
    path = file('{"user": "a", "text": "b"}\nbroken\n')
    messages = json_lines(Table(path, path))
    assert next(messages).text == "b"


def test_a_long_text_is_read(file):
    text = "long " * 100_000
    assert read_csv(file(f"user,text\na,{text}\n"), None)[0].text == text


NOON = datetime(2018, 5, 2, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "value",
    [
        "2018-05-02T12:00:00Z",
        "2018-05-02T12:00:00",
        "2018-05-02 12:00:00.000",
        "2018-05-02 12:00:00.0 UTC",
        " 2018-05-02T14:00:00+02:00 ",
        "1525262400",
        "1525262400.0",
        "1525262400000",
        "1525262400000000",
        "1525262400000000000",
        "20180502T120000Z",
        "2018-W18-3T12:00:00",
    ],
)
def test_times_in_every_notation(file, value):
    assert read_csv(file(f"user,text,time\na,b,{value}\n"))[0].time == NOON
    line = json.dumps({"user": "a", "text": "b", "time": value})
    assert read_jsonl(file(line))[0].time == NOON


@pytest.mark.parametrize("value", [NOON, int(NOON), int(NOON) * 1000])
def test_jsonl_times_as_numbers(file, value):
    line = json.dumps({"user": "a", "text": "b", "time": value})
    assert read_jsonl(file(line))[0].time == NOON


def test_times_before_1970_and_at_the_edge_of_milliseconds(file):
    lines = [
        {"user": "a", "text": "b", "time": time} for time in (-1, 1e11, 1.001e11, "1969-12-31")
    ]
    path = file("\n".join(map(json.dumps, lines)))
    assert [message.time for message in read_jsonl(path)] == [-1, 1e11, 1.001e8, -86400]


@pytest.mark.parametrize(
    "value",
    [
        *("2023-366", "2023-000", "2024-05-31x18:20", "2023-11-17-05", "20231117120000"),
        *("2024-02-30", "2023-W53-1", "2023-11-17T25:00", "2023-11-17T10:00+25:00"),
        "9999999999999",
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(file, value, refuses):
    path = file(f"user,text,time\na,b,{value}\n")
    with refuses(path, "line 2", '"time" is not a time'):
        read_csv(path)


@pytest.mark.parametrize("time_format", ["%d.%d.%Y", "%Q"])
def test_a_format_of_times_that_cannot_be(file, time_format, refuses):
    path = file("user,text,time\na,b,1\n")
    with (
        refuses("--time-format", "strptime"),
        source(None, path, "csv", time_column="time", time_format=time_format),
    ):
        pass


@pytest.mark.parametrize("read", [read_csv, read_jsonl])
class TestFile:
    def test_missing(self, read, tmp_path, refuses):
        with refuses(tmp_path / "none.csv", "no such file"):
            read(tmp_path / "none.csv")

    def test_directory(self, read, tmp_path, refuses):
        with refuses(tmp_path, "is a directory"):
            read(tmp_path)

    def test_below_a_file(self, read, file, refuses):
        path = file("x") / "messages.csv"
        with refuses(path, "cannot be read"):
            read(path)

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
    def test_empty(self, read, content, file, refuses):
        path = file(content)
        with refuses(path, "is empty"):
            read(path)


GOOD = "user,text,time\nbob,fine,2018-05-02\n"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("user,text,time\n", ["header but no message"]),
        ("user,text,time\n\n\n", ["header but no message"]),
        ("user,time,said\n1,2,3\n", ['no column "text"', "3 cells", "--text-column"]),
        ("user;text;time\n1;2;3\n", ["one cell", '--delimiter ";"']),
        ("anna,hello there\nbob,and you\n", ['no column "user"', "2 cells", "header"]),
        ("user,text,text,time\n1,2,3,4\n", ["several columns", '"text"']),
        (GOOD + "anna,hello there\n", ["line 3", "2 fields", "header has 3"]),
        (GOOD + "anna,hello there,friend,2018-05-02\n", ["line 3", "4 fields", "header has 3"]),
        (GOOD + "anna,hello there,noon\n", ["line 3", '"time" is not a time', "ISO 8601"]),
        (GOOD + "anna,hello there,1_000\n", ["line 3", '"time" is not a time']),
        (GOOD + "anna,hello there,20181399\n", ["line 3", '"time" is not a time']),
        (GOOD + "anna,hello there,\u0661\u0662\n", ["line 3", '"time" is not a time']),
        (GOOD + "anna,hello there,nan\n", ["line 3", '"time" is not a time']),
        (GOOD + "anna,hello there,-inf\n", ["line 3", '"time" is not a time']),
        (GOOD + "anna,hello there,1e40\n", ["line 3", '"time" is not a time']),
        (GOOD + "anna,hello there,2018-02-30\n", ["line 3", '"time" is not a time']),
        (GOOD.encode() + b"anna,hello there \xe9,1\n", ["line 3", "not UTF-8"]),
        (GOOD.encode() + b'anna,"hello there\n\n \xff",1\n', ["line 5", "not UTF-8"]),
        (GOOD.encode("utf-16"), ["line 1", "not UTF-8"]),
        (GOOD.encode("utf-16-le"), ["line 1", "NUL"]),
        (GOOD + "anna,hello there\0,1\n", ["line 3", "NUL"]),
        (GOOD + 'anna,"hello there" friend,1\n', ["begins at line 3", "broken quoting"]),
        (GOOD + 'anna,"hello there,1\nbob,fine,1\n', ["begins at line 3", "broken quoting"]),
        (GOOD + 'anna,"a\nb",1\nanna,"hello there', ["begins at line 5", "broken quoting"]),
        (GOOD + 'anna,"a\n\nb",1\nanna,hello there,x\n', ["line 6", "not a time"]),
        (GOOD + 'anna,"hello there\n\n",x\n', ["line 3", "not a time"]),
        (GOOD + 'anna,"hello there' + "\nmore" * 300_000, ["begins at line 3", "1,048,576"]),
    ],
)
def test_csv_refuses(content, parts, file, refuses):
    path = file(content)
    with refuses(path, *parts, secrets=SECRETS):
        read_csv(path)


LINE = '{"user": "bob", "text": "fine", "time": 1}\n'


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ('{"user": "anna", "text": "hello there', ["not valid JSON"]),
        ("anna: hello there", ["not valid JSON"]),
        ("[" * 200_000, ["not valid JSON"]),
        ('{"user": "anna"} {"text": "hello there"}', ["not valid JSON"]),
        ('["anna", "hello there", 1]', ["not a JSON object"]),
        ('"anna"', ["not a JSON object"]),
        ("null", ["not a JSON object"]),
        ('{"anna": "hello there"}', ['no key "user"']),
        ('{"user": "anna", "time": 1}', ['no key "text"']),
        ('{"user": "anna", "text": "hello there"}', ['no key "time"']),
        ('{"user": true, "text": "hello there", "time": 1}', ['"user" is not a string']),
        ('{"user": 1.5, "text": "hello there", "time": 1}', ['"user" is not a string']),
        ('{"user": "anna", "text": ["hello there"], "time": 1}', ['"text" is not a string']),
        ('{"user": "anna", "text": "\\ud83d hello there", "time": 1}', ["surrogate"]),
        ('{"user": "anna\\udc00", "text": "hello there", "time": 1}', ["surrogate"]),
        ('{"user": "anna", "text": "hello there", "time": true}', ['"time" is not a time']),
        ('{"user": "anna", "text": "hello there", "time": [1]}', ['"time" is not a time']),
        ('{"user": "anna", "text": "hello there", "time": NaN}', ['"time" is not a time']),
        ('{"user": "anna", "text": "hello there", "time": 1e999}', ['"time" is not a time']),
        ('{"user": "anna", "text": "hello there", "time": 1' + "0" * 400 + "}", ["not a time"]),
        ('{"user": "anna", "text": "hello there", "time": "noon"}', ['"time" is not a time']),
        (b'{"user": "anna", "text": "hello there \xe9", "time": 1}', ["not UTF-8"]),
        (b'{"user": "anna", "text": "hello there \0", "time": 1}', ["NUL"]),
    ],
)
def test_jsonl_refuses(content, parts, file, refuses):
    path = file(LINE.encode() + (content if isinstance(content, bytes) else content.encode()))
    with refuses(path, "line 2", *parts, secrets=SECRETS):
        read_jsonl(path)


def test_rows_that_say_nothing_are_skipped_and_counted(file):
    path = file("user,text,time\n,a b,1\nu,,1\nu,a b,\nu,  ,1\nu,a b,1\n")
    table = Table(path, path, time="time")
    assert list(csv_rows(table)) == [Message("u", 1.0, "a b", 6)]
    assert table.skipped.note() == (
        "4 rows skipped: 1 without a user (first: line 2), 2 without a text (first: line 3), "
        "1 without a time (first: line 4)"
    )
    nothing = [{"user": None}, {"text": ""}, {"time": None}]
    rows = [{"user": "u", "text": "a b", "time": 1} | of for of in nothing]
    path = file("\n".join(map(json.dumps, rows)))
    table = Table(path, path, time="time")
    assert list(json_lines(table)) == [] and table.skipped.counts.total() == 3


def test_a_date_without_dashes_is_a_date(file):
    path = file("user,text,time\na,b,20231117\na,b,2023-11-17\na,b,2023-W46-5\na,b,2023-321\n")
    assert len({message.time for message in read_csv(path)}) == 1


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("user;text\na;b, c\n", {"delimiter": ";"}),
        ("sep=;\nuser;text\na;b, c\n", {}),
        ('user, text\na, "b, c"\n', {}),
        ("user\ttext\na\tb, c\n", {"delimiter": "\t"}),
        ("user;text\na;b, c\n".encode("utf-16"), {"delimiter": ";", "encoding": "utf-16"}),
    ],
)
def test_delimiters_and_encodings(content, options, file):
    assert [m[:3] for m in read_csv(file(content), None, **options)] == [("a", None, "b, c")]


def test_an_encoding_that_is_none_or_another(file, refuses):
    path = file("user,text\na,gr\xfc\xdfe\n".encode("latin-1"))
    assert read_csv(path, None, encoding="latin-1")[0].text == "gr\xfc\xdfe"
    with refuses(path, "not UTF-8", "--encoding"):
        read_csv(path, None)
    with refuses("--encoding", "klingon"):
        read_csv(path, None, encoding="klingon")
    with refuses(path, "not in ascii"):
        read_csv(path, None, encoding="ascii")


def test_times_by_a_format(file, refuses):
    path = file("user,text,time\na,b,02.05.2018 12:00\n")
    assert read_csv(path, time_format="%d.%m.%Y %H:%M")[0].time == NOON
    with refuses(path, "line 2", "--time-format %Y"):
        read_csv(path, time_format="%Y")


def test_keys_within_keys(file):
    line = json.dumps({"author": {"id": 7}, "body": {"said": "a b"}, "x.y": "c d"})
    path = file(line)
    assert read_jsonl(path, None, user="author.id", text="body.said")[0][:3] == ("7", None, "a b")
    assert read_jsonl(path, None, user="author.id", text="x.y")[0].text == "c d"
