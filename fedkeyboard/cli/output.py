"""What commands print: results to stdout, everything else to stderr."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fedkeyboard.terminal import printable, say

OUT = Console()
ERR = Console(stderr=True)
_LONGEST_WORD = 24


def print_json(value: Any) -> None:
    """Prints a value as JSON."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def print_table(
    rows: list[tuple[str, ...]], header: tuple[str, ...] | None = None, left: tuple[int, ...] = (0,)
) -> None:
    """Prints a table; `left` has the columns that are set flush left."""
    table = Table(show_header=header is not None, box=None, pad_edge=False)
    for i, name in enumerate(header or rows[0]):
        words = [word for text in (name, *(row[i] for row in rows)) for word in text.split()]
        # Paths and the like may be folded, words of a header or figures not.
        longest = max((len(word) for word in words if len(word) <= _LONGEST_WORD), default=1)
        justify = "left" if i in left else "right"
        table.add_column(Text(printable(name)), justify=justify, overflow="fold", min_width=longest)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # A word is broken nowhere; a table with more columns than fit is as wide as it must be.
    least = Measurement.get(OUT, OUT.options.update(width=10_000), table).minimum
    OUT.print(table, width=max(OUT.width, least), no_wrap=least > OUT.width, crop=False)


def print_metrics(metrics: dict[str, Any]) -> None:
    """Prints a run's final evaluation."""
    from fedkeyboard.simulation import report

    header = (f"{metrics['users']:,} {metrics['split']} users", *report.HEADER)
    print_table(report.rows(metrics), header)


def print_verified(report: Any) -> None:
    """Prints what was checked of a package, and how long it takes."""
    print_table(*report.check_table(), left=(0, 1, 2))
    if report.timings:
        OUT.print()
        print_table(*report.timing_table(), left=(0, 1))


def print_suggestions(text: str, suggestions: list[tuple[str, float]]) -> None:
    """Prints the words that are suggested after a text."""
    words = "   ".join(f"{word} {probability:.1%}" for word, probability in suggestions)
    say(OUT, f"{text} → {words}")


def tell_if_alone(run: Any) -> None:
    """Says so if a run is to have n-grams and has not counted them yet."""
    if run.config.mixes_ngrams and run.ngrams() is None:
        say(ERR, f"{run.path}: n-grams are counted when training is over; this is the model alone")
