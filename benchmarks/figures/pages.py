"""A page of Markdown: its numbers, its generated blocks, and the places of its sentences."""

import bisect
import dataclasses
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/*.md",
    "benchmarks/README.md",
    "benchmarks/reliability/README.md",
)

_BLOCK = re.compile(
    r"^<!-- figures: (?P<name>[\w-]+) -->\n(?P<body>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL
)
# What is shown as it is typed, or not at all: programs, addresses, markers, the numbers of a list.
_CODE = re.compile(
    r"^```.*?^```$|`[^`]+`|^\d\. |\]\([^)]*\)|https?://[^\s)>]+|<[^>]*>", re.MULTILINE | re.DOTALL
)
# A digit that a letter or a letter's hyphen stands before is part of a name: float32, top-1, UTF-8.
_NUMBER = re.compile(r"(?<![\w.])(?<![A-Za-z]-)\d+(?:[.,]\d+)*(?:e-?\d+)?%?")


@dataclasses.dataclass(frozen=True)
class Block:
    """What stands between `<!-- figures: NAME -->` and `<!-- end -->`; a span of characters."""

    name: str
    start: int
    end: int


class Page:
    """The text of a page, which keeps its places."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.blocks = [Block(match["name"], *match.span("body")) for match in _BLOCK.finditer(text)]
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        # White space folded, with the place that each character is from.
        self._origin: list[int] = []
        folded = []
        for match in re.finditer(r"\s+|\S", text):
            folded.append(" " if match[0].isspace() else match[0])
            self._origin.append(match.start())
        self.folded = "".join(folded)

    def line(self, offset: int) -> int:
        """Returns the line, from 1, of a character."""
        return bisect.bisect_right(self._lines, offset)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Returns the place in the text of a stretch of the folded one."""
        return self._origin[start], self._origin[end - 1] + 1

    def numbers(self) -> Iterator[tuple[int, int]]:
        """Yields the places of the numbers in sentences and tables, without those in code."""
        shown = _CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), self.text)
        for match in _NUMBER.finditer(shown):
            yield match.span()

    def section(self, heading: str) -> tuple[int, int] | None:
        """Returns the place of what is under a heading, up to the next of its level or above."""
        start = re.search(rf"^(#+) {re.escape(heading)}$", self.text, re.MULTILINE)
        if start is None:
            return None
        after = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(
            self.text, start.end()
        )
        return start.end(), after.start() if after else len(self.text)


def read(root: pathlib.Path = ROOT) -> list[Page]:
    """Returns the pages whose figures are checked."""
    return [
        Page(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        for pattern in PAGES
        for path in sorted(root.glob(pattern))
    ]
