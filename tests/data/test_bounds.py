"""Small files that would take memory or time without end are refused, and say why."""

import contextlib
import gzip
import io
import json
import lzma
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import zipfile

import pyarrow
import pyarrow.parquet
import pytest

from fedkeyboard.data import chats, json_text, tables
from fedkeyboard.data.corpora import source
from fedkeyboard.data.json_text import JsonText


def read(path, form=None):
    with source(None, path, form) as of:
        return [message[:3] for message in of.messages]


def test_a_row_without_end(tmp_path, monkeypatch, refuses):
    """Of a thousand fields, none of them long."""
    path = tmp_path / "rows.csv"
    path.write_text("user,text\nanna,hello there\n" + '"a\n",' * 1000)
    with refuses(path, "line 3"):
        read(path)
    monkeypatch.setattr(tables, "_LONGEST_ROW", 2000)
    with refuses(path, "begins at line 3", "more than 2,000 characters"):
        read(path)
    path.write_text("user,text\n" + "anna,hello there\n" * 1000)
    assert len(read(path)) == 1000


@pytest.mark.parametrize(
    ("form", "begin"),
    [
        ("json", "["),
        ("leaf", '{"user_data": {"anna": '),
        ("slack", "["),
        ("telegram", '{"messages": ['),
        ("discord", '{"messages": ['),
    ],
)
def test_a_value_without_end(form, begin, tmp_path, monkeypatch, refuses):
    """Empty lists take thirty times the memory of their characters."""
    monkeypatch.setattr(json_text, "_MOST", 1 << 12)
    monkeypatch.setattr(json_text, "_LEAST_READ", 1 << 10)
    path = tmp_path / "lists.json"
    path.write_text(begin + "[" + "[]," * 10_000)
    with refuses(path, "a value of more than 4,096 characters"):
        read(path, form)


def test_a_value_may_be_long_and_its_bound_is_exact(monkeypatch):
    text = "hello there " * 200_000
    assert JsonText(io.StringIO(json.dumps(text))).value() == text
    monkeypatch.setattr(json_text, "_MOST", 100)
    monkeypatch.setattr(json_text, "_LEAST_READ", 1)
    # Quotes and all, it is not yet more than a hundred when it ends.
    assert JsonText(io.StringIO('"' + "a" * 98 + '"')).value() == "a" * 98
    with pytest.raises(json_text.TooLong):
        JsonText(io.StringIO('"' + "a" * 200)).value()
    # What is read at once may end within a value; what came before it does not count.
    monkeypatch.setattr(json_text, "_LEAST_READ", 90)
    content = JsonText(io.StringIO(json.dumps(["a" * 30] * 50)))
    assert [content.value() for _ in content.elements()] == ["a" * 30] * 50
    monkeypatch.setattr(json_text, "_LEAST_READ", 100)
    assert JsonText(io.StringIO('"' + "a" * 99 + '"')).value() == "a" * 99


def test_what_is_passed_over_may_be_of_any_size(monkeypatch):
    monkeypatch.setattr(json_text, "_MOST", 1 << 12)
    monkeypatch.setattr(json_text, "_LEAST_READ", 1 << 10)
    long = {"a": [{"b": [1.5, None, True, "c]}"]}, [], {}] * 1000}
    content = JsonText(io.StringIO(json.dumps({"left": long, "kept": 7, "also": long})))
    kept = {}
    for key in content.members():
        if key == "kept":
            kept[key] = content.value()
        else:
            content.skip()
    content.end()
    assert kept == {"kept": 7}


@pytest.mark.parametrize("number", ["1.5", "-2", "1e5", "1.5E+5", "10e-1", "0"])
def test_a_number_may_be_read_in_two_pieces(number, monkeypatch):
    for piece in range(1, 9):
        monkeypatch.setattr(json_text, "_LEAST_READ", piece)
        content = JsonText(io.StringIO(f"[{number}, {number}]"))
        assert [content.value() for _ in content.elements()] == [float(number)] * 2
        content.end()


def test_an_element_without_end(tmp_path, monkeypatch, refuses):
    """Expat begins with an attribute again at each block, and so takes quadratic time."""
    monkeypatch.setattr(chats, "_READ", 1 << 10)
    monkeypatch.setattr(chats, "_LONGEST_ELEMENT", 1 << 13)
    sms = '<sms address="1" type="1" date="1699956000000" body="hello there"/>'
    path = tmp_path / "sms.xml"
    path.write_text("<smses>" + sms * 500 + "</smses>")
    assert len(read(path)) == 500
    path.write_text("<smses>" + sms + '<sms body="' + "a" * 20_000 + '"/></smses>')
    with refuses(path, "after message 1", "more than 8,192 bytes"):
        read(path)
    # As long as it may be, as far as the first block has it: the bound is exact.
    monkeypatch.setattr(chats, "_LONGEST_ELEMENT", (1 << 10) - len("<smses>"))
    path.write_text("<smses>" + sms.replace("hello there", "a" * 1100) + "</smses>")
    assert len(read(path)) == 1


@pytest.mark.parametrize(
    "kind", [pyarrow.string(), pytest.param(pyarrow.large_string(), marks=pytest.mark.heavy)]
)
def test_a_string_that_a_file_says_a_million_times(kind, tmp_path):
    """Some KB, which are 5 GB as rows."""
    path = tmp_path / "long.parquet"
    users = pyarrow.array([f"u{i % 5}" for i in range(100)])
    text = pyarrow.array(["ab cd " * 200_000] * 100, kind)
    table = pyarrow.table({"user": users, "text": text})
    with pyarrow.parquet.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(40):
            writer.write_table(table)
    assert path.stat().st_size < 100_000
    program = (
        "import sys; from fedkeyboard.data.corpora import source\n"
        "with source(None, sys.argv[1]) as of:\n    list(of.messages)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)),
    )
    assert "rows 1 to 100 holds a text of more than 1,048,576 bytes" in done.stderr


def test_a_view_that_computes_for_ever(tmp_path, refuses):
    path = tmp_path / "view.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE client_metadata (client_id, split_name, num_examples);"
            "CREATE VIEW examples AS WITH RECURSIVE r(n) AS"
            " (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT 'train' split_name, 'u' client_id,"
            " x'' serialized_example_proto FROM r WHERE n < 0;"
        )
    with refuses(path, "no table examples"):
        read(path)


def test_a_pipe_is_opened_once_whatever_its_name(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("messages.csv", "user,text\nanna,hello there\n")
    path = tmp_path / "a.zip"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(archive.getvalue(),), daemon=True)
    writer.start()
    assert read(path, "csv") == [("anna", None, "hello there")]
    writer.join()


@pytest.mark.parametrize("ending", [".gz", ".xz"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damage_is_told_of_whatever_decompresses(ending, damage, tmp_path, refuses):
    users = {f"user{i}": {"x": [f"hello there {i} {j}" for j in range(50)]} for i in range(500)}
    compress = {".gz": gzip.compress, ".xz": lzma.compress}[ending]
    content = bytearray(compress(json.dumps({"user_data": users}).encode()))
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 0x55
    path = tmp_path / f"leaf.json{ending}"
    path.write_bytes(content)
    with refuses(path, "after user", "cut short, or damaged"):
        read(path)
