"""What `make simulate` ends with: the table and the suggestions that README shows.

    python -m benchmarks.default RUN

Takes them from RUN, which is over and has its package, and writes the figures, and the lines as
`fedkeyboard simulate` prints them, to `benchmarks/results/default.json`.
"""

import argparse
import contextlib
import io
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.text import Text

from benchmarks import results
from fedkeyboard.cli import output, run_package
from fedkeyboard.simulation import assessment, runs

_FIGURES = (
    "top1_recall",
    "top3_recall",
    "top5_recall",
    "keystroke_savings",
    "accuracy_no_oov_no_eos",
    "perplexity",
    "oov_rate",
)
_OF_METRICS = ("split", "users", "targets", *_FIGURES, "intervals")


def measure(run: runs.Run) -> dict[str, Any]:
    """Returns the figures, the suggestions of the exported file, and both as they are printed."""
    metrics = run.metrics()

    def suggest(text: str) -> list[tuple[str, float]]:
        return run_package.suggest(run.path, text)

    suggestions = {text: suggest(text) for text in assessment.beginnings(run.tokenizer, suggest)}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        output.print_metrics(metrics)
        for text, of in suggestions.items():
            output.print_suggestions(text, of)
    # A terminal's header is in bold, and empty cells are blanks at the end of a line.
    plain = Text.from_ansi(printed.getvalue()).plain.splitlines()
    return {
        "settings": run.config.published(),
        "metrics": {name: metrics[name] for name in _OF_METRICS},
        "unigram": {name: metrics["baselines"]["unigram"][name] for name in _FIGURES},
        "suggestions": suggestions,
        "printed": [line.rstrip() for line in plain],
    }


def main() -> None:
    """Reads, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    measured = measure(runs.open_run(parser.parse_args().run))
    results.write("default", **measured)
    Console().print("\n".join(measured["printed"]), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
