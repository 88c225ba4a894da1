"""The one door, `open_source`, and that the format of a file makes no difference."""

import csv
import itertools
import json
import os
import pathlib
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow
import pyarrow.parquet
import pytest

from data.cleaning import Cleaning
from data.corpora import open_source
from data.prepare import prepare

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
    messages, source = open_source(None, tmp_path / name, **columns)
    made = prepare(messages, tmp_path / "made", source=source, cleaning=Cleaning())
    expected = prepare(few, tmp_path / "expected", source=source, cleaning=Cleaning())
    assert made.messages_read == len(few)
    assert made.fingerprint == expected.fingerprint


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "leaf", "tff"])
def test_a_format_that_is_named_counts_and_not_the_ending(form, few, tmp_path):
    write = {
        **{"csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet},
        **{"leaf": as_leaf, "tff": as_tff},
    }[form]
    write(few[:9], tmp_path / "few.txt")
    messages, _ = open_source(None, tmp_path / "few.txt", form)
    assert sorted(each.text for each in messages) == sorted(each.text for each in few[:9])


def test_other_columns(tmp_path):
    (tmp_path / "a.csv").write_text("who,said,when\nanna,hello there,2018-05-02\n")
    named = {"user_column": "who", "text_column": "said", "time_column": "when"}
    messages, source = open_source(None, tmp_path / "a.csv", **named)
    assert source == str(tmp_path / "a.csv")
    assert [message[:3] for message in messages] == [("anna", 1525219200.0, "hello there")]


def test_the_bundled_corpus(corpus):
    messages, source = open_source("chitchat", None)
    assert source == "chitchat-dataset 0.9.0"
    assert next(messages) == corpus[0]


@pytest.mark.parametrize("option", ["time_column", "source_split"])
def test_an_option_that_is_not_for_the_corpus(option, refuses):
    with refuses("chitchat", f"--{option.replace('_', '-')}", "leave it out"):
        open_source("chitchat", None, **{option: "x"})


def test_neither_and_both(refuses):
    with refuses("either --corpus chitchat, or --input"):
        open_source(None, None)
    with refuses("either --corpus chitchat, or --input"):
        open_source("chitchat", "a.csv")


@pytest.mark.parametrize("name", ["a.txt", "a", "a.csv.gz"])
def test_an_unknown_ending(name, refuses):
    with refuses(name, ".csv, .jsonl, .parquet, .json, .sqlite, .db", "--format"):
        open_source(None, name)


@pytest.mark.parametrize("name", ["stackoverflow.sqlite.lzma", "a.csv.XZ"])
def test_a_compressed_file(name, refuses):
    with refuses(name, "xz --decompress"):
        open_source(None, name)


@pytest.mark.parametrize("form", [None, "tff"])
def test_a_population_file(form, population_file, refuses):
    with refuses(population_file, "a population file already", "--population"):
        open_source(None, population_file, form)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *(("a.json", option) for option in ("user_column", "text_column", "time_column")),
        ("a.sqlite", "user_column"),
        *((name, "source_split") for name in ("a.csv", "a.jsonl", "a.parquet", "a.json")),
    ],
)
def test_an_option_of_another_source(name, option, refuses):
    with refuses(name, f"--{option.replace('_', '-')}", "leave it out"):
        open_source(None, name, **{option: "x"})


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.json", "a.sqlite"])
def test_an_empty_file_ends_the_command_with_2_and_a_line(name, tmp_path):
    (tmp_path / name).touch()
    program = "from fedkeyboard.cli import main; main()"
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
