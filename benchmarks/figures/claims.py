"""The numbers of sentences: each is a value of a result file, or an exception says why not.

`claims.toml` has by page fragments of its sentences, in which `{quality[...]:.1%}` stands for a value
as `str.format` writes it, and `exceptions.toml` what comes from no file.
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
_TEXT = r"(\S{1,40}?)"
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
        told = format(value, how)
        pattern.append(_NUMBER if re.match(r"[-+]?\d", told) else _TEXT)
        wanted.append((told, field))
    for match in re.finditer("".join(pattern), page.folded):
        for i, (told, field) in enumerate(wanted, 1):
            yield Told(*page.span(*match.span(i)), told, field)


@dataclasses.dataclass
class Exceptions:
    """What is tied to no file, and why; knows which of it a page has use for."""

    kinds: list[dict[str, str]]
    texts: list[dict[str, str]]
    sections: list[dict[str, Any]]

    @classmethod
    def load(cls, directory: pathlib.Path = DIRECTORY) -> "Exceptions":
        """Reads the list."""
        of = load("exceptions", directory)
        return cls(of["kinds"], of["texts"], of["sections"])

    def without(self, page: Page, untied: list[tuple[int, int]]) -> tuple[list, list[str]]:
        """Returns the numbers of a page that no exception is for, and what is stale of the list."""
        stale = []
        for kind in self.kinds:
            spans = [match.span() for match in re.finditer(kind["pattern"], page.folded)]
            left = _outside(untied, [page.span(*span) for span in spans if span[0] < span[1]])
            kind["used"] = kind.get("used") or len(left) < len(untied)
            untied = left
        for text in self.texts:
            if text["page"] != page.name:
                continue
            words = re.escape(" ".join(text["text"].split()))
            spans = [match.span() for match in re.finditer(words, page.folded)]
            left = _outside(untied, [page.span(*span) for span in spans])
            if len(left) == len(untied):
                what = "has no number without a source" if spans else "is not in the page"
                stale.append(f"{page.name}: an exception is stale: {text['text']!r} {what}")
            untied = left
        for section in self.sections:
            if section["page"] != page.name:
                continue
            span = page.section(section["section"])
            left = _outside(untied, [span] if span else [])
            count = len(untied) - len(left)
            if count != section["numbers"]:
                stale.append(
                    f"{page.name}: under {section['section']!r} {count} numbers come from no "
                    f"result file, and exceptions.toml knows of {section['numbers']}"
                )
            untied = left
        return untied, stale

    def unused(self) -> list[str]:
        """Returns what no page had use for."""
        return [
            f"exceptions.toml: no page needs the kind {kind['pattern']!r}"
            for kind in self.kinds
            if not kind.get("used")
        ]


def _outside(numbers: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [
        (start, end)
        for start, end in numbers
        if not any(start < to and at < end for at, to in spans)
    ]
