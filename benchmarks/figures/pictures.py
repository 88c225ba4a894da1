"""The plot of `engine.json`, held against it: a picture carries what it was drawn of."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

PICTURE = "benchmarks/results/engine.png"
_SOURCE = "benchmarks/results/engine.json"
_PLOTTED = (
    *("cohort", "framework", "phones", "local_steps"),
    *("seconds_per_round", "measurements", "ceiling_seconds"),
)


def data(rows: Sequence[dict[str, Any]]) -> str:
    """Returns what is plotted of the rows, as it stands in the picture's description."""
    return json.dumps([[row[name] for name in _PLOTTED] for row in rows])


def problems(root: pathlib.Path) -> Iterator[str]:
    """Yields a line if the picture is of other rows than the file has."""
    with Image.open(root / PICTURE) as picture:
        drawn_of = picture.text.get("Description")
    if drawn_of != data(_rows(root)):
        yield f"{PICTURE}: was drawn of other figures than those of {_SOURCE}"


def write(root: pathlib.Path) -> list[str]:
    """Draws the picture again if it is of other rows, and returns its name."""
    if not list(problems(root)):
        return []
    from benchmarks import charts  # matplotlib takes a second, which the check has no use for.

    charts.seconds_per_round(_rows(root), root / PICTURE)
    return [PICTURE]


def _rows(root: pathlib.Path) -> list[dict[str, Any]]:
    return json.loads((root / _SOURCE).read_text(encoding="utf-8"))["rows"]
