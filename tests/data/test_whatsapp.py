"""Lines of WhatsApp's exports, in the languages and settings that phones have."""

from datetime import UTC, datetime

import pytest

from fedkeyboard.data import whatsapp
from fedkeyboard.data.messages import Skipped


@pytest.mark.parametrize(
    ("line", "date", "text"),
    [
        ("14/11/2023, 10:00 - Anna: hi", (14, 11, 2023, 10, 0, 0), "Anna: hi"),
        ("[14.11.23, 10:00:07] Anna: hi", (14, 11, 23, 10, 0, 7), "Anna: hi"),
        ("2023-11-14 10.05 \u2013 Anna: hi\r\n", (2023, 11, 14, 10, 5, 0), "Anna: hi"),
        ("14.11.2023 um 10:00 - Anna: hi", (14, 11, 2023, 10, 0, 0), "Anna: hi"),
        ("11/4/23, 9:05\u202fAM - Anna: hi", (11, 4, 23, 9, 5, 0), "Anna: hi"),
        ("11/4/23, 12:05 AM - Anna: hi", (11, 4, 23, 0, 5, 0), "Anna: hi"),
        ("11/4/23, 12:05 p. m. - Anna: hi", (11, 4, 23, 12, 5, 0), "Anna: hi"),
        ("11/4/23, 1:05 pm - Anna: hi", (11, 4, 23, 13, 5, 0), "Anna: hi"),
        ("\u200e[14.11.23, 10:00:07] Anna: \u200ehi", (14, 11, 23, 10, 0, 7), "Anna: hi"),
    ],
)
def test_how_a_message_begins(line, date, text):
    assert whatsapp._begin(line) == (date, text)


@pytest.mark.parametrize(
    "line",
    ["", "and on", "10:00 - Anna: hi", "14/11/2023 - Anna: hi", "14/11/2023, 10:00 Anna: hi"],
)
def test_what_goes_on_with_the_message_before(line):
    assert whatsapp._begin(line) is None


def chat(tmp_path, *lines):
    path = tmp_path / "chat.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    skipped = Skipped()
    return list(whatsapp.whatsapp(path, path, skipped)), skipped


def days(tmp_path, *dates):
    """The months and days that a chat's messages are of."""
    messages, _ = chat(tmp_path, *(f"{date} - Anna: hello" for date in dates))
    moments = [datetime.fromtimestamp(message.time, UTC) for message in messages]
    return [(moment.year, moment.month, moment.day) for moment in moments]


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        # No month has the number 13 or 31.
        (["13/02/2023, 10:00", "01/03/2023, 10:00"], [(2023, 2, 13), (2023, 3, 1)]),
        (["02/13/2023, 10:00", "03/01/2023, 10:00"], [(2023, 2, 13), (2023, 3, 1)]),
        # Otherwise time would go back.
        (["03/11/2023, 10:00", "02/12/2023, 10:00"], [(2023, 11, 3), (2023, 12, 2)]),
        (["11/03/2023, 10:00", "12/02/2023, 10:00"], [(2023, 11, 3), (2023, 12, 2)]),
        # Both could be: with hours of twelve the month is first.
        (["03/04/23, 10:00"], [(2023, 4, 3)]),
        (["03/04/23, 10:00 AM"], [(2023, 3, 4)]),
        # The year first.
        (["2023/04/03, 10:00"], [(2023, 4, 3)]),
        (["01/01/00, 10:00", "31/12/99, 10:00"], [(2000, 1, 1), (2099, 12, 31)]),
        # Once back is less than twice, such as after a journey.
        (
            ["05/06/23, 10:00", "05/06/23, 09:00", "06/06/23, 10:00", "01/07/23, 10:00"],
            [(2023, 6, 5), (2023, 6, 5), (2023, 6, 6), (2023, 7, 1)],
        ),
    ],
)
def test_days_and_months_by_all_dates(tmp_path, dates, expected):
    assert days(tmp_path, *dates) == expected


def test_where_messages_stand_and_what_is_left_out(tmp_path):
    found, skipped = chat(
        tmp_path,
        "not yet a message",
        "14/11/2023, 10:00 - Anna added Bob",
        "14/11/2023, 10:01 - Anna: hello",
        "there",
        "14/11/2023, 10:02 - Bob: \u200eimage omitted",
        "which goes on",
        "14/11/2023, 10:03 - Bob:  ",
        "14/11/2023, 10:04 - Bob: last",
    )
    assert [(m.user, m.text, m.row) for m in found] == [
        ("Anna", "hello\nthere", 3), ("Bob", "last", 8)
    ]  # fmt: skip
    assert skipped.counts == {"of a program": 2, "without a text": 1}
    assert skipped.first == {"of a program": "line 2", "without a text": "line 7"}


def test_a_date_that_is_none_is_refused(tmp_path, refuses):
    with refuses("line 2", "no such date", secrets=["hello"]):
        chat(tmp_path, "13/02/2023, 10:00 - Anna: hello", "30/02/2023, 10:00 - Anna: hello")


def test_a_message_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(whatsapp, "_LONGEST", 20)
    (found,), _ = chat(tmp_path, "14/11/2023, 10:00 - Anna: hello", *["more"] * 50)
    assert found.text == "hello" + "\nmore" * 2  # Anna: hello has 11 of the 20.
    (found,), _ = chat(tmp_path, "14/11/2023, 10:00 - Anna: hello", "12345678", "more")
    assert found.text == "hello\n12345678"


def test_a_message_may_be_long(tmp_path):
    lines = ["and so on and on"] * 2000
    (found,), _ = chat(tmp_path, "14/11/2023, 10:00 - Anna: hello", *lines)
    assert found.text == "\n".join(["hello", *lines])
