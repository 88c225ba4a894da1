"""Nothing from a file reaches the terminal as a command to it."""

import io
import logging
import unicodedata

import pytest
from rich.console import Console

from fedkeyboard import terminal
from fedkeyboard.cli import app, output
from fedkeyboard.errors import UserError
from fedkeyboard.text.tokenizer import SPECIAL, Tokenizer

# Clears the screen, renames the window, goes back over what stands there, turns the direction.
ATTACK = "a\x1b[2J\x1b]0;owned\x07\x9b31m\rb\x08\u202ec\u2066\u2028d\nfedkeyboard: all is well"


def harmless(printed, lines=1):
    controls = [c for c in printed if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cf")]
    return controls == ["\n"] * lines


def test_controls_are_written_out_and_all_else_is_as_it_was():
    assert terminal.printable(ATTACK).startswith(r"a\x1b[2J\x1b]0;owned\x07\x9b31m\rb\x08\u202ec")
    assert harmless(terminal.printable(ATTACK), 0)
    text = "καλημέρα 你好 می\u200cخواهم \U0001f44d\U0001f3fd [bold] → ▁"
    assert terminal.printable(text) == text


def test_whatever_is_printed(monkeypatch, capsys):
    out = io.StringIO()
    monkeypatch.setattr(output, "OUT", Console(file=out, width=300, force_terminal=False))
    output.print_suggestions(ATTACK, [(ATTACK, 0.5)])
    assert harmless(out.getvalue()) and "50.0%" in out.getvalue()
    out.seek(0)
    out.truncate()
    output.print_table([(ATTACK, ATTACK)], (ATTACK, "two"))
    assert harmless(out.getvalue(), 2)
    with pytest.raises(SystemExit):
        app._fail(f"{ATTACK}: damaged", 1)
    assert harmless(capsys.readouterr().err)
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "%s", (ATTACK,), None)
    assert harmless(terminal.Formatter().format(record))


@pytest.mark.parametrize("control", ["\x1b", "\r", "\x00", "\x9b", "\u202e", "\u2028"])
def test_a_vocabulary_with_controls_is_refused(tmp_path, control):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes("".join(f"{e}\n" for e in (*SPECIAL, "yes", f"n{control}o")).encode())
    with pytest.raises(UserError, match=r"vocabulary\.txt: entry 6: has control characters"):
        Tokenizer.load_vocabulary(path)
