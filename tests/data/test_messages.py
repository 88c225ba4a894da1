"""What the readers of all formats say and check alike."""

import pytest

from fedkeyboard.data import messages


def test_what_was_skipped_is_told_in_a_line():
    skipped = messages.Skipped()
    assert skipped.note() is None
    skipped.add("without a text", "line 3")
    assert skipped.note() == "1 row skipped: 1 without a text (first: line 3)"
    skipped.add("without a text", "line 5")
    assert skipped.note() == "2 rows skipped: 2 without a text (first: line 3)"
    for i in range(1000):
        skipped.add("without a user", f"line {i + 7}")
    assert skipped.note() == (
        "1,002 rows skipped: 2 without a text (first: line 3), 1,000 without a user (first: line 7)"
    )


@pytest.mark.parametrize(
    ("value", "empty"),
    [(None, True), ("", True), (" \t\n", True), ("a", False), (0, False), (False, False)],
)
def test_what_says_nothing(value, empty):
    assert messages.is_empty(value) == empty


def test_a_name_is_short_and_on_one_line():
    assert messages.short("say") == '"say"'
    assert messages.short("a\nb") == '"a\\nb"'
    assert messages.short("é") == '"é"'
    assert messages.short("a" * 30) == f'"{"a" * 30}"'
    assert messages.short("a" * 31) == f'"{"a" * 27}..."'


def test_of_many_names_the_first_are_listed():
    names = [f"n{i}" for i in range(13)]
    assert messages.listed(names[:12]) == ", ".join(f'"n{i}"' for i in range(12))
    assert messages.listed(names) == ", ".join([*(f'"n{i}"' for i in range(12)), "..."])
    assert messages.listed([]) == ""


def test_a_column_is_found_by_its_name(refuses):
    assert messages.column("a.csv", ["x", "user", "y"], "user") == 1
    with refuses("a.csv", 'several columns are called "user"'):
        messages.column("a.csv", ["user", "x", "user"], "user")
    # The first row of a file without a header is a user and a text.
    with refuses("a.csv", 'no column "user"', "2 cells", secrets=["anna"]):
        messages.column("a.csv", ["anna", "hi"], "user")
    with refuses("a.csv", 'no column "user"', 'are "anna", "hi"'):
        messages.column("a.csv", ["anna", "hi"], "user", tell=True)


def test_a_user_is_not_blank(refuses):
    messages.check_user("a.csv", "line 3", "user", "anna")
    for blank in ("", " \t"):
        with refuses("a.csv", "line 3", '"user" is empty'):
            messages.check_user("a.csv", "line 3", "user", blank)


def test_a_text_is_whole(refuses):
    for text in ("hello", "é", "🙂"):
        messages.check_text("a.csv", "line 3", "text", text)
        assert messages.is_encodable(text)
    assert not messages.is_encodable("é\ud83d")
    with refuses("a.csv", "line 3", "half of a surrogate pair", secrets=["hello"]):
        messages.check_text("a.csv", "line 3", "text", "hello \ud83d")


def test_what_cannot_be_opened_is_called_by_its_name(tmp_path, refuses):
    (tmp_path / "a").write_text("x")
    with messages.open_file(tmp_path / "a") as file:
        assert file.read() == b"x"
    for missing in ("none", "a/below"):
        path = tmp_path / missing
        with refuses(path):
            messages.open_file(path)
        with refuses("standard input", secrets=[str(path)]):
            messages.open_file(path, "standard input")
    with refuses(tmp_path, "is a directory"):
        messages.open_file(tmp_path)


def test_times_that_are_none_say_how_to_write_them(refuses):
    assert messages.time("a.csv", "line 3", "when", "2018-05-02") == 1525219200
    assert messages.time("a.csv", "line 3", "when", 1525219200e3, 1e3) == 1525219200
    assert messages.time("a.csv", "line 3", "when", "02.05.18", None, "%d.%m.%y") == 1525219200
    with refuses("a.csv", "line 3", '"when" is not a time', "ISO 8601", secrets=["noon"]):
        messages.time("a.csv", "line 3", "when", "noon")
    with refuses("as --time-format %d says", secrets=["noon"]):
        messages.time("a.csv", "line 3", "when", "noon", None, "%d")
