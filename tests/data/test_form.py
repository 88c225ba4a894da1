"""What format a file is of, by its name and its beginning."""

import pytest

from fedkeyboard.data import corpora


def test_which_formats_there_are():
    """But the bundled corpus, which is no file."""
    assert set(corpora.FORMATS) == {
        *("csv", "jsonl", "json", "parquet", "leaf", "tff"),
        *("telegram", "discord", "slack", "whatsapp", "sms"),
    }


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ('[{"user": "a", "text": "b"}]', "json"),
        ('[{"ts": "1", "text": "b"}]', "slack"),  # No more than what tells it.
        (' \n[{"type": "message", "ts": "1", "user": "a", "text": "b"}]', "slack"),
        # The first message tells, whatever others have.
        ('[{"user": "a", "text": "b"}, {"ts": "1", "text": "b"}]', "json"),
        ('[{"ts": "1", "who": "b"}, {"text": "1"}]', "json"),
        ('{"user_data": {}}', "leaf"),
        ('{"num_samples": [1], "messages": [1]}', "leaf"),
        ('{"user_data": {"messages": 1, "guild": 2}}', "leaf"),
        ('{"guild": {"id": "1"}, "messages": []}', "discord"),
        ('{"channel": {"id": "1"}, "messages": []}', "discord"),
        ('{"guild": {"id": "1"}, "channel": {}}', "leaf"),
        ('{"name": "x", "messages": []}', "telegram"),
        ('{"chats": {"list": []}}', "telegram"),
        ('{"personal_information": {}}', "telegram"),
        ('{"users": []}', "leaf"),
        # Which says what is wrong with it.
        ("", "leaf"),
        (b'{"name": "\xff"}', "leaf"),
        (b"\x1f\x8b\x08 no gzip", "leaf"),
    ],
)
def test_the_beginning_of_json_says_its_format(content, form, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert corpora._form(path, path) == form


def test_the_beginning_of_json_is_some_kilobytes(tmp_path):
    """What tells the format may come late; what comes later than that does not count."""
    for blanks, form in ((50_000, "telegram"), (100_000, "leaf")):
        path = tmp_path / "a.json"
        path.write_text('{"about": "' + "x" * blanks + '", "messages": []}')
        assert corpora._form(path, path) == form
