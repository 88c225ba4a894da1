"""Rows of CSV and JSON: where they stand, and how long they may be."""

import json

import pytest

from fedkeyboard.data import tables
from fedkeyboard.data.tables import Table, csv_rows, json_array, json_lines


def test_a_short_header_says_no_delimiter(tmp_path):
    """As long as `sep=;`, which does."""
    path = tmp_path / "a.csv"
    path.write_text("u,t,x\nanna,hello there,1\n")
    assert [m[:3] for m in csv_rows(Table(path, path, "u", "t"))] == [("anna", None, "hello there")]
    path.write_text("sep=;\nu;t\nanna;hello, there\n")
    (found,) = csv_rows(Table(path, path, "u", "t"))
    assert (found.user, found.text, found.row) == ("anna", "hello, there", 3)
    path.write_text("SEP=|\nu|t\nanna|hello\n")
    assert [m.text for m in csv_rows(Table(path, path, "u", "t"))] == ["hello"]
    # What is given counts.
    path.write_text("sep=;\nu,t\nanna,hello; there\n")
    (found,) = csv_rows(Table(path, path, "u", "t", delimiter=","))
    assert found.text == "hello; there"


@pytest.mark.parametrize("name", ["a.tsv", "a.TAB", "a.tsv.gz"])
def test_a_name_says_the_delimiter(name, tmp_path):
    path = tmp_path / "spool"
    path.write_text("user\ttext\nanna\thello, there\n")
    assert [m.text for m in csv_rows(Table(path, name))] == ["hello, there"]


@pytest.mark.parametrize("delimiter", ["", ";;"])
def test_a_delimiter_is_one_character(delimiter, tmp_path, refuses):
    path = tmp_path / "a.csv"
    path.write_text("user,text\nanna,hello\n")
    with refuses("--delimiter", repr(delimiter), "not one character"):
        list(csv_rows(Table(path, path, delimiter=delimiter)))


def test_elements_are_counted_from_one(tmp_path, refuses):
    path = tmp_path / "a.json"
    rows = [
        {"user": "anna", "text": "hello"},
        {"user": "bob", "text": ""},
        {"user": 7, "text": "x"},
    ]
    path.write_text(json.dumps(rows))
    table = Table(path, path)
    assert [(m.user, m.row) for m in json_array(table)] == [("anna", 1), ("7", 3)]
    assert table.skipped.first == {"without a text": "element 2"}
    path.write_text(json.dumps([*rows, {"user": "anna"}]))
    with refuses(path, "element 4", 'no key "text"', secrets=["anna"]):
        list(json_array(Table(path, path)))
    path.write_text(json.dumps(rows)[:-1])
    with refuses(path, "cut short, after element 3"):
        list(json_array(Table(path, path)))
    path.write_text("[]")
    with refuses(path, "there are no messages"):
        list(json_array(Table(path, path)))
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [(m.user, m.row) for m in json_lines(Table(path, path))] == [("anna", 1), ("7", 3)]


def test_a_row_has_a_longest(tmp_path, monkeypatch, refuses):
    monkeypatch.setattr(tables, "_LONGEST_ROW", 20)
    path = tmp_path / "a.csv"
    row = "anna,hello thereee\n"
    assert len(row) == 19
    path.write_text("user,text\n" + row.replace("eee", "eeee") + row)
    assert len(list(csv_rows(Table(path, path)))) == 2
    path.write_text("user,text\n" + row + row.replace("eee", "eeeee"))
    with refuses(path, "line 3", "more than 20 characters"):
        list(csv_rows(Table(path, path)))


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_another_delimiter_is_told_of(sign, tmp_path, refuses):
    path = tmp_path / "a.csv"
    path.write_text(f"user{sign}text\nanna{sign}hello\n")
    with refuses(path, f"one cell with {json.dumps(sign)} in it", "--delimiter"):
        list(csv_rows(Table(path, path)))
    assert len(list(csv_rows(Table(path, path, delimiter=sign)))) == 1
    # Where commas delimit, a column may be named so.
    path.write_text(f'"a{sign}b",user,text\n1,anna,hello\n')
    assert len(list(csv_rows(Table(path, path)))) == 1
