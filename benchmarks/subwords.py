"""Words against pieces of words, with as many entries and as many rounds, on validation users.

    python -m benchmarks.subwords [--directory runs/subwords]

Trains `chitchat_full.toml` for 2,000 rounds with each kind of tokenizer, or goes on with the runs
in the directory, and writes `benchmarks/results/subwords.json`. Recall is that of words, the same
ones for all (docs/using.md, Sub-words).
"""

import argparse
import os
import pathlib
from typing import Any, get_args

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rich.table
from rich.console import Console

from benchmarks import quality, results
from fedkeyboard.simulation import assessment
from fedkeyboard.text.subwords import Kind

SETTINGS = ("rounds.count=2000", "server.decay_rounds=2030")
_OUTSIDE = "out of vocabulary"


def measure(directory: pathlib.Path, kind: str, console: Console) -> dict[str, Any]:
    """Returns what a kind of tokenizer reaches."""
    run = quality.train(directory / kind, [*SETTINGS, f"tokenizer.kind={kind}"])
    with run.open_population() as population:
        report = assessment.evaluate(run, population, "validation", console)
    return {
        "kind": kind,
        "entries": len(run.tokenizer),
        "settings": run.config.published(),
        **{
            name: report[name]
            for name in ("top1_recall", "top3_recall", "top5_recall", "perplexity", "oov_rate")
        },
        "intervals": {name: report["intervals"][name] for name in ("top1_recall", "top3_recall")},
        "by_frequency": report["by"]["frequency"],
    }


def main() -> None:
    """Trains, measures, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=pathlib.Path, default=pathlib.Path("runs/subwords"))
    directory = parser.parse_args().directory
    rows = [measure(directory, kind, Console(stderr=True)) for kind in get_args(Kind)]
    results.write("subwords", rows=rows)
    drawn = rich.table.Table()
    for name in ("", "top-1 recall", "top-3 recall", "of words outside 10,000, top-3"):
        drawn.add_column(name)
    for row in rows:
        outside = row["by_frequency"][_OUTSIDE]["top3_recall"]
        values = (row["top1_recall"], row["top3_recall"], outside)
        drawn.add_row(row["kind"], *(f"{value:.2%}" for value in values))
    Console().print(drawn)


if __name__ == "__main__":
    main()
