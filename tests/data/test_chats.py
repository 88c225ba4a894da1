"""Chat exports, as their programs write them."""

import json

import pytest

from fedkeyboard.data.corpora import source


def read(path, form=None, **options):
    with source(None, path, form, **options) as of:
        messages = list(of.messages)
    # Where each stands: they are in order, what was left out is between them.
    rows = [message.row for message in messages]
    assert rows == sorted(set(rows)) and all(row >= 1 for row in rows)
    return [message[:3] for message in messages], of.skipped


TELEGRAM = {
    "name": "Anna", "type": "personal_chat", "id": 7,
    "messages": [
        {"id": 1, "type": "service", "date": "2023-11-14T10:00:00", "date_unixtime": "1699956000",
         "actor": "Bob", "action": "phone_call", "text": ""},
        {"id": 2, "type": "message", "date": "2023-11-14T10:00:01", "date_unixtime": "1699956001",
         "from": "Bob", "from_id": "user2", "text": "hello there"},
        {"id": 3, "type": "message", "date": "2023-11-14T10:00:02", "date_unixtime": "1699956002",
         "from": "Anna", "from_id": "user1",
         "text": ["see ", {"type": "link", "text": "https://example.org"}, " and call me"]},
        {"id": 4, "type": "message", "date": "2023-11-14T10:00:03", "date_unixtime": "1699956003",
         "from": "Anna", "from_id": "user1", "photo": "x.jpg", "text": ""},
    ],
}  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
def test_telegram(whole, tmp_path):
    """One chat, or all of them."""
    content = {"about": "x", "chats": {"about": "y", "list": [TELEGRAM]}} if whole else TELEGRAM
    (tmp_path / "result.json").write_text(json.dumps(content, indent=1))
    messages, skipped = read(tmp_path / "result.json")
    assert messages == [
        ("user2", 1699956001.0, "hello there"),
        ("user1", 1699956002.0, "see https://example.org and call me"),
    ]
    assert skipped.counts == {"of a program": 1, "without a text": 1}


def test_discord(tmp_path):
    said = {"timestamp": "2023-11-14T10:00:00.123+00:00", "author": {"id": "9", "isBot": False}}
    content = {
        "guild": {"id": "1"}, "channel": {"id": "2"}, "dateRange": {},
        "messages": [
            {"id": "3", "type": "Default", "content": "hello there"} | said,
            {"id": "4", "type": "Reply", "content": "and you <@7>"} | said,
            {"id": "5", "type": "GuildMemberJoin", "content": "Joined the server."} | said,
            {"id": "6", "type": "Default", "content": "beep"} | said | {"author": {"isBot": True}},
            {"id": "7", "type": "Default", "content": ""} | said,
        ],
    }  # fmt: skip
    (tmp_path / "channel.json").write_text(json.dumps(content))
    messages, skipped = read(tmp_path / "channel.json")
    assert messages == [("9", 1699956000.123, "hello there"), ("9", 1699956000.123, "and you <@7>")]
    assert skipped.counts == {"of a program": 2, "without a text": 1}


def test_slack(tmp_path):
    (tmp_path / "export/general").mkdir(parents=True)
    (tmp_path / "export/users.json").write_text('[{"id": "U1", "name": "anna"}]')
    days = {
        "2023-11-14": [
            {
                "type": "message",
                "user": "U1",
                "text": "a &lt; b &amp; c",
                "ts": "1699956000.000200",
            },
            {"type": "message", "subtype": "channel_join", "user": "U1", "text": "x", "ts": "1"},
            {"type": "message", "user": "U2", "text": "welcome", "ts": "1699956001"},
        ],
        "2023-11-15": [{"type": "message", "user": "U2", "text": "hi all", "ts": "1700042400.1"}],
    }
    for day, messages in days.items():
        (tmp_path / f"export/general/{day}.json").write_text(json.dumps(messages))
    messages, skipped = read(tmp_path / "export")
    assert messages == [
        ("U1", 1699956000.0002, "a < b & c"),
        ("U2", 1699956001.0, "welcome"),
        ("U2", 1700042400.1, "hi all"),
    ]
    assert skipped.counts == {"of a program": 1}
    assert skipped.first == {
        "of a program": f"{tmp_path / 'export/general/2023-11-14.json'}, message 2"
    }
    with source(None, tmp_path / "export") as of:
        assert [message.row for message in of.messages] == [1, 3, 4]
    of_day, _ = read(tmp_path / "export/general/2023-11-15.json")
    assert of_day == messages[2:]


SMS = """<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>
<smses count="4">
  <sms protocol="0" address="+15551234" date="1699956000000" type="1" body="hello &amp; there" />
  <sms protocol="0" address="+15551234" date="1699956001000" type="2" body="how are you" />
  <mms address="+15551234" date="1" />
  <sms protocol="0" address="" date="1699956002000" type="1" body="x" />
</smses>"""


def test_sms(tmp_path, refuses):
    path = tmp_path / "sms.xml"
    path.write_text(SMS)
    messages, skipped = read(path)
    assert messages == [
        ("+15551234", 1699956000.0, "hello & there"),
        ("owner", 1699956001.0, "how are you"),
    ]
    assert skipped.counts == {"with pictures (MMS)": 1, "without a user": 1}
    # The backup itself is the first element; of the messages, the last one is the third.
    assert skipped.first == {"with pictures (MMS)": "element 4", "without a user": "message 3"}
    bomb = '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]><smses><sms body="&d;"/></smses>'
    for content, why in (
        (bomb, "declares entities"),
        (SMS[:-9], "not XML"),
        ("<a/>", "not a backup"),
    ):
        path.write_text(content)
        with refuses(path, why, secrets=["+15551234", "hello"]):
            read(path)


IOS = """[14.11.23, 10:00:00] Anna: \u200eMessages and calls are end-to-end encrypted.
[14.11.23, 10:00:01] Anna: hello there
and on the next line: this
\u200e[14.11.23, 10:00:02] Bob: \u200eimage omitted
and what goes on with it
[14.11.23, 10:00:03] Anna added Bob
[14.11.23, 10:00:04] Bob: look: \u200ehere
"""
ANDROID = """14/11/2023, 10:00 - Messages and calls are end-to-end encrypted.
14/11/2023, 10:01 - Anna B.: hello there
14/11/2023, 22:02 - +49 151 2345: how are you: fine?
"""
AMERICAN = """11/4/23, 10:00\u202fAM - Anna: hello there
11/4/23, 1:05\u202fPM - Bob: how are you
11/5/23, 12:05\u202fAM - Bob: at midnight
"""
GERMAN = """[14.11.23, 10:00:01] Anna: hallo du
[14.11.23, 10:00:02] Bob: na wie geht es
"""
BRAZILIAN = "14/11/2023 10:00 - Ana: oi tudo bem\n"
DAYS = """3/11/23, 10:00 - Anna: hello there
4/11/23, 10:00 - Bob: how are you
2/12/23, 09:00 - Anna: x y
"""


def at(path, text):
    path.write_text(text, encoding="utf-8")
    return read(path)


def test_whatsapp(tmp_path):
    path = tmp_path / "_chat.txt"
    messages, skipped = at(path, IOS)
    assert messages == [
        ("Anna", 1699956001.0, "hello there\nand on the next line: this"),
        ("Bob", 1699956004.0, "look: here"),
    ]
    assert skipped.counts == {"of a program": 3}
    messages, _ = at(path, ANDROID)
    assert messages == [
        ("Anna B.", 1699956060.0, "hello there"),
        ("+49 151 2345", 1699999320.0, "how are you: fine?"),
    ]
    messages, _ = at(path, AMERICAN)
    assert [time for _, time, _ in messages] == [1699092000.0, 1699103100.0, 1699142700.0]
    assert len(at(path, GERMAN)[0]) == 2
    assert at(path, BRAZILIAN)[0] == [("Ana", 1699956000.0, "oi tudo bem")]
    # By the order: as months and days first, time would go back.
    assert [time for _, time, _ in at(path, DAYS)[0]] == sorted(t for _, t, _ in at(path, DAYS)[0])


@pytest.mark.parametrize("whole", [False, True])
def test_rows_of_telegram(whole, tmp_path):
    """All chats' messages are counted one after the other, those of a program too."""
    chats = {"chats": {"list": [TELEGRAM, TELEGRAM]}} if whole else TELEGRAM
    (tmp_path / "result.json").write_text(json.dumps(chats))
    with source(None, tmp_path / "result.json") as of:
        rows = [message.row for message in of.messages]
    assert rows == ([2, 3, 6, 7] if whole else [2, 3])


def test_a_message_may_be_long(tmp_path):
    text = "hello there " * 250_000  # Some blocks of what is read at once.
    (tmp_path / "sms.xml").write_text(SMS.replace("how are you", text.strip()))
    messages, _ = read(tmp_path / "sms.xml")
    assert [len(text) for _, _, text in messages] == [13, len(text) - 1]


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.txt", "no chat at all\n" * 5, "whatsapp"),
        ("a.json", "{}", "telegram"),
        ("a.json", '{"messages": [1]}', "telegram"),
        ("a.json", '{"messages": [{"type": "message", "from": "anna", "text": "hello there", '
                   '"date": "noon"}]}', "telegram"),
        ("a.json", '{"messages": [{"author": {"id": [1]}, "content": "hello there", '
                   '"timestamp": 1}]}', "discord"),
        ("a.json", "[{", "slack"),
        ("a.xml", "\x00", "sms"),
    ],
)  # fmt: skip
def test_what_is_no_such_export_is_refused(name, content, form, tmp_path, refuses):
    (tmp_path / name).write_text(content)
    with refuses(name, secrets=["anna", "hello there", "noon"]):
        read(tmp_path / name, form)
