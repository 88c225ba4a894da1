"""The numbers of sentences: each is a value of a result file, or an exception says why not.

`claims.toml` has by page fragments of its sentences, in which `{quality[...]:.1%}` stands for a
value as `str.format` writes it, and `exceptions.toml` what comes from no file.
"""

import dataclasses
import pathlib
import re
import string
import tomllib
from collections.abc import Iterator
from typing import Any

from benchmarks.figures.pages import Page

DIRECTORY = pathlib.Path(__file__).parent
_NUMBER = r"(?<![\d.,])([-+]?\d+(?:[.,]\d+)*(?:e-?\d+)?%?)(?!\d)"
_FORMATTER = string.Formatter()


@dataclasses.dataclass(frozen=True)
class Told:
    """A number of a page that is tied: where it stands, what it should be, and by which value."""

    start: int
    end: int
    wanted: str
    field: str


def load(name: str, directory: pathlib.Path = DIRECTORY) -> dict[str, Any]:
    """Reads `claims.toml` or `exceptions.toml`."""
    return tomllib.loads((directory / f"{name}.toml").read_text(encoding="utf-8"))


def find(template: str, page: Page, values: dict[str, Any]) -> Iterator[Told]:
    """Yields the numbers that a claim ties, wherever its words stand in the page.

    Raises:
      LookupError: The values have no such one; says which.
      ValueError: It cannot be written so.
    """
    pattern, wanted = [], []
    for literal, field, how, _ in _FORMATTER.parse(" ".join(template.split())):
        pattern.append(re.escape(literal))
        if field is None:
            continue
        try:
            value, _ = _FORMATTER.get_field(field, (), values)
        except (LookupError, AttributeError, TypeError) as error:
            raise LookupError(f"no value {field}") from error
        try:
            told = format(value, how)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{field} cannot be written as {how}") from error
        words = r"(\S+" + r" \S+" * told.count(" ") + ")"
        pattern.append(_NUMBER if re.match(r"[-+]?\d", told) else words)
        wanted.append((told, field))
    for match in re.finditer("".join(pattern), page.folded):
        for i, (told, field) in enumerate(wanted, 1):
            yield Told(*page.span(*match.span(i)), told, field)


class Exceptions:
    """What is tied to no file, and why; knows which of it the pages had use for."""

    def __init__(self, directory: pathlib.Path = DIRECTORY) -> None:
        self.pages = load("exceptions", directory)
        self.kinds = [pattern for pattern, _why in self.pages.pop("kinds")]
        self._used: set[str] = set()

    def without(
        self, page: Page, numbers: list[tuple[int, int]]
    ) -> tuple[list[tuple[int, int]], list[str]]:
        """Returns the numbers of a page that no exception is for, and what is stale of the list."""
        stale = []
        of_page = self.pages.get(page.name, {})
        for pattern in self.kinds:
            left = outside(numbers, _places(pattern, page))
            if len(left) < len(numbers):
                self._used.add(pattern)
            numbers = left
        for text, _why in of_page.get("texts", []):
            places = _places(re.escape(" ".join(text.split())), page)
            left = outside(numbers, places)
            if len(left) == len(numbers):
                what = "has no number without a source" if places else "is not in the page"
                stale.append(f"{page.name}: an exception is stale: {text!r} {what}")
            numbers = left
        for heading, count, _why in of_page.get("sections", []):
            section = page.section(heading)
            left = outside(numbers, [section] if section else [])
            if len(numbers) - len(left) != count:
                stale.append(
                    f"{page.name}: under {heading!r} {len(numbers) - len(left)} numbers come from "
                    f"no result file, and exceptions.toml knows of {count}"
                )
            numbers = left
        return numbers, stale

    def unused(self) -> list[str]:
        """Returns what no page had use for."""
        return [
            f"exceptions.toml: no page needs the kind {pattern!r}"
            for pattern in self.kinds
            if pattern not in self._used
        ]


def _places(pattern: str, page: Page) -> list[tuple[int, int]]:
    found = (match.span() for match in re.finditer(pattern, page.folded))
    return [page.span(*span) for span in found]


def outside(numbers: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns the numbers that are in none of the stretches."""
    return [
        (start, end)
        for start, end in numbers
        if not any(start < to and at < end for at, to in spans)
    ]
