"""The comparison as one HTML file that opens offline: charts to hover, and no request to anyone."""

import json
import pathlib
from typing import Any

import plotly.offline

import fedkeyboard
from fedkeyboard import files

_TEMPLATE = pathlib.Path(__file__).with_name("comparison.html")


def write(path: files.PathLike, compared: dict[str, Any]) -> None:
    """Writes the page of what `comparison.compare` returned."""
    data = json.dumps({**compared, "version": fedkeyboard.__version__}, allow_nan=False)
    page = _TEMPLATE.read_text(encoding="utf-8")
    # "</script>" in a name must not end the script.
    page = page.replace("/*DATA*/", data.replace("<", "\\u003c"))
    files.write_text(path, page.replace("/*PLOTLY*/", plotly.offline.get_plotlyjs()))
