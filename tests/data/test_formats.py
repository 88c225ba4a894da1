"""The one door, `source`, and that the format of a file makes no difference."""

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import os
import pathlib
import subprocess
import sys
import threading
import zipfile
from datetime import UTC, datetime

import pyarrow
import pyarrow.parquet
import pytest

from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.corpora import source
from fedkeyboard.data.prepare import prepare

ROOT = pathlib.Path(__file__).parents[2]


def by_user(messages):
    ordered = sorted(messages, key=lambda message: message.user)
    groups = itertools.groupby(ordered, key=lambda message: message.user)
    return {user: list(rows) for user, rows in groups}


def as_csv(messages, path):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "text", "time"])
        writer.writerows((each.user, each.text, each.time) for each in messages)


def as_jsonl(messages, path):
    path.write_text("".join(json.dumps(each._asdict()) + "\n" for each in messages))


def as_parquet(messages, path):
    times = [datetime.fromtimestamp(each.time, UTC) for each in messages]
    columns = {
        "user": [each.user for each in messages],
        "text": [each.text for each in messages],
        "time": pyarrow.array(times, pyarrow.timestamp("ms", "UTC")),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def as_leaf(messages, path):
    users = by_user(messages)
    data = {
        user: {
            "x": [each.text for each in rows],
            "y": [{"created_utc": each.time} for each in rows],
        }
        for user, rows in users.items()
    }
    counts = [len(rows) for rows in users.values()]
    tree = {"users": list(users), "num_samples": counts, "user_data": data}
    path.write_text(json.dumps(tree))


def as_leaf_directory(messages, path):
    path.mkdir()
    half = len(messages) // 2
    as_leaf(messages[:half], path / "0.json")
    as_leaf(messages[half:], path / "1.json")


def as_tff(messages, path):
    import tensorflow as tf
    import tensorflow_federated as tff

    users = by_user(messages)

    def dataset(user):
        dates = [datetime.fromtimestamp(each.time, UTC) for each in users[user]]
        return tf.data.Dataset.from_tensor_slices(
            {
                "tokens": [each.text for each in users[user]],
                "creation_date": [f"{date:%Y-%m-%d %H:%M:%S} UTC" for date in dates],
                "score": [1] * len(dates),
            }
        )

    tff.simulation.datasets.save_to_sql_client_data(list(users), dataset, str(path))


TIME = {"time_column": "time"}


@pytest.mark.parametrize(
    ("write", "name", "columns"),
    [
        (as_csv, "few.csv", TIME),
        (as_jsonl, "few.JSONL", TIME),
        (as_parquet, "few.parquet", TIME),
        (as_leaf, "few.json", {}),
        (as_leaf_directory, "few", {}),
        (as_tff, "few.sqlite", {}),
        (as_tff, "few.db", {}),
    ],
)
def test_the_same_messages_make_the_same_population(write, name, columns, few, tmp_path):
    write(few, tmp_path / name)
    with source(None, tmp_path / name, **columns) as of:
        made = prepare(of.messages, tmp_path / "made", source=of.name, cleaning=Cleaning())
        expected = prepare(few, tmp_path / "expected", source=of.name, cleaning=Cleaning())
    assert made.messages_read == len(few)
    assert made.fingerprint == expected.fingerprint


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "leaf", "tff"])
def test_a_format_that_is_named_counts_and_not_the_ending(form, few, tmp_path):
    write = {
        **{"csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet},
        **{"leaf": as_leaf, "tff": as_tff},
    }[form]
    write(few[:9], tmp_path / "few.txt")
    with source(None, tmp_path / "few.txt", form) as of:
        texts = sorted(each.text for each in of.messages)
    assert texts == sorted(each.text for each in few[:9])


def test_other_columns(tmp_path):
    (tmp_path / "a.csv").write_text("who,said,when\nanna,hello there,2018-05-02\n")
    named = {"user_column": "who", "text_column": "said", "time_column": "when"}
    with source(None, tmp_path / "a.csv", **named) as of:
        assert of.name == str(tmp_path / "a.csv")
        assert [m[:3] for m in of.messages] == [("anna", 1525219200.0, "hello there")]


def test_the_bundled_corpus(few_messages):
    with source("chitchat", None) as of:
        assert of.name == "chitchat-dataset 0.9.0"
        assert next(of.messages) == few_messages[0]


@pytest.mark.parametrize("option", ["time_column", "source_split"])
def test_an_option_that_is_not_for_the_corpus(option, refuses):
    with (
        refuses("chitchat", f"--{option.replace('_', '-')}", "leave it out"),
        source("chitchat", None, **{option: "x"}),
    ):
        pass


def test_neither_and_both(refuses):
    with refuses("either --corpus chitchat, or --input"), source(None, None):
        pass
    with refuses("either --corpus chitchat, or --input"), source("chitchat", "a.csv"):
        pass


@pytest.mark.parametrize("name", ["a.doc", "a", "a.doc.gz"])
def test_an_unknown_ending(name, refuses):
    with refuses(name, ".csv, ", ".parquet, ", ".json", "--format"), source(None, name):
        pass


@pytest.mark.parametrize("form", [None, "tff"])
def test_a_population_file(form, population_file, refuses):
    with (
        refuses(population_file, "a population file already", "--population"),
        source(None, population_file, form),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *(("a.json", option) for option in ("user_column", "text_column", "time_column")),
        ("a.xml", "time_format"),
        ("a.txt", "delimiter"),
        ("a.sqlite", "user_column"),
        *((name, "source_split") for name in ("a.csv", "a.jsonl", "a.parquet", "a.json")),
    ],
)
def test_an_option_of_another_source(name, option, refuses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("{}")
    with (
        refuses(name, f"--{option.replace('_', '-')}", "leave it out"),
        source(None, name, **{option: "x"}),
    ):
        pass


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.json", "a.sqlite"])
def test_an_empty_file_ends_the_command_with_2_and_a_line(name, tmp_path):
    (tmp_path / name).touch()
    program = "from fedkeyboard.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "prepare", "--input", name, "--out", "out.sqlite"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"fedkeyboard: {name}")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


CSV = "user,text,time\nanna,hello there,1525262400\nbob,how are you,1525262401\n"


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("messages.csv", content)
    return file.getvalue()


def zstandard(content):
    file = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(file, "zstd") as compressed:
        compressed.write(content)
    return file.getvalue().to_pybytes()


COMPRESSED = {
    ".csv.gz": gzip.compress,
    ".csv.bz2": bz2.compress,
    ".csv.xz": lzma.compress,
    ".csv.lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    ".csv.zst": zstandard,
    ".zip": zipped,
}


def texts(path, form=None, **options):
    with source(None, path, form, **options) as of:
        return [message.text for message in of.messages]


@pytest.mark.parametrize("ending", COMPRESSED)
def test_compressed_files_are_read(ending, tmp_path, refuses):
    path = tmp_path / f"messages{ending}"
    whole = COMPRESSED[ending](CSV.encode())
    path.write_bytes(whole)
    assert texts(path) == ["hello there", "how are you"]
    path.write_bytes(COMPRESSED[ending](CSV.encode() * 2000)[:-20])
    with refuses(path, secrets=["hello there", "anna"]):
        texts(path)


def test_an_endless_line_is_not_kept_in_memory(tmp_path, refuses):
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(40):
            file.write(b" " * (1 << 20))
    with refuses(path, "line 1 has more than 16,777,216 characters"):
        texts(path)


def test_a_zip_of_several_files_is_refused(tmp_path, refuses):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("b.csv", CSV)
    with refuses("two.zip", "2 files"):
        texts(tmp_path / "two.zip", "csv")


def test_pipes_are_read_whole(tmp_path, refuses):
    """They can be opened once: what was looked at was lost."""
    lines = "".join(json.dumps({"user": "u", "text": f"number {i}"}) + "\n" for i in range(3000))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(lines,))
    writer.start()
    assert len(texts(pipe, "jsonl")) == 3000
    writer.join()
    writer = threading.Thread(target=pipe.write_text, args=(lines,))
    writer.start()
    with refuses(pipe, "--format"):
        texts(pipe)
    writer.join()
    program = "from fedkeyboard.cli.app import main; main()"
    for name in ("-", "/dev/stdin"):
        done = subprocess.run(
            [sys.executable, "-c", program, "prepare", "--input", name, "--out", "out.sqlite",
             "--json", "--format", "csv", "--force"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            input="user,text\n" + "".join(f"u{i % 7},number {i}\n" for i in range(3000)),
            capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["messages_read"] == 3000


def test_a_device_is_refused(refuses):
    with refuses("/dev/zero", "is a device"):
        texts("/dev/zero", "csv")


def test_an_array_of_objects(tmp_path, refuses):
    path = tmp_path / "messages.json"
    rows = [
        {"user": "anna", "text": "hello there"},
        {"user": "", "text": "x"},
        {"user": 7, "text": "y z"},
    ]
    path.write_text(json.dumps(rows, indent=1))
    assert texts(path) == ["hello there", "y z"]
    for broken in (json.dumps(rows)[:-1], "[" * 100_000, '[{"user": 1', "[1]", "[]"):
        path.write_text(broken)
        with refuses(path, secrets=["anna", "hello there"]):
            texts(path, "json")
