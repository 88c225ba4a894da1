"""Text of files, and of whoever made them, on a terminal: shown, never obeyed.

A vocabulary or the name of a source may hold escape codes, which move the cursor, rename the window
or hide what stands there; or marks that turn the direction of all that follows.
"""

import logging
import re
import typing

if typing.TYPE_CHECKING:  # What reads a vocabulary needs not wait for it.
    from rich.console import Console

# C0 and C1 controls, line and paragraph separators, and marks of direction (UAX #9).
CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)


def printable(text: str) -> str:
    r"""Returns text with its control characters written out: ESC becomes `\x1b`."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(console: "Console", text: str) -> None:
    """Prints a line as it is, unwrapped and without markup."""
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


class Formatter(logging.Formatter):
    """Formats records of a log, which may have several lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record's text."""
        return "\n".join(map(printable, super().format(record).split("\n")))
