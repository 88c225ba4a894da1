"""What an experiment reaches on test users, and what it is compared with, for some seeds.

    python -m benchmarks.quality [--seeds 1 2 3] [--keep] [--directory runs/quality]
    python -m benchmarks.quality --population F [--minutes N] [--config auto]

The tuned experiment on the bundled text, or on any population the settings that suit it, or those
of an experiment. Each seed is a run in the directory, which goes on where it was stopped; then
`comparison.compare`. After each, `benchmarks/results/quality.json`, of another population
`quality-NAME.json`, has of each seed the settings, the curve over the rounds, the models' metrics
and their ratios; how much users differ, beside what personalization gains; and the means of metrics
and ratios, which are printed at the end. `--keep` leaves seeds that stand there, asked for alike,
as they are.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rich.table
from rich.console import Console

from benchmarks import results
from fedkeyboard.data.population import Population
from fedkeyboard.data.statistics import describe as describe_population
from fedkeyboard.runtime import worker
from fedkeyboard.simulation import config_files, runs
from fedkeyboard.simulation.comparison import comparison, comparison_page

CONFIG = "simulation/configs/chitchat_full.toml"
_CURVE = ("round", "top1_recall", "top3_recall", "perplexity")
_FIGURES = {
    "top1_recall": "{:.2%}",
    "top3_recall": "{:.2%}",
    "top5_recall": "{:.2%}",
    "keystroke_savings": "{:.2%}",
    "perplexity": "{:.1f}",
}


class Asked(NamedTuple):
    """Which experiment, on which text, for how long.

    Attributes:
      config: A file or a name, as `--config` takes it.
      population: A population file instead of the experiment's.
      minutes: For each run.
    """

    config: str
    population: pathlib.Path | None = None
    minutes: float | None = None

    @property
    def name(self) -> str:
        """Of the results."""
        return "quality" if self.population is None else f"quality-{self.population.stem}"

    def record(self) -> dict[str, Any]:
        """Returns what tells results apart, without a path of this machine."""
        if self.population is None:
            return {"config": config_files.load(self.config).published() | {"seed": None}}
        with Population.open(self.population, ("train",)) as opened:
            fingerprint = opened.fingerprint
        return {"config": self.config, "population": fingerprint, "minutes": self.minutes}


def train(path: pathlib.Path, settings: Sequence[str], asked: Asked | None = None) -> runs.Run:
    """Returns the finished run of an experiment with some settings, as `--set` takes them.

    It is begun, or continued, if it is not there.
    """
    asked = asked or Asked(CONFIG)
    if not (path / "metrics.json").exists():
        begun = (path / "config.toml").exists()
        chosen = [word for setting in settings for word in ("--set", setting)]
        if asked.population is not None:
            chosen += ["--population", str(asked.population)]
        if asked.minutes is not None:
            chosen += ["--minutes", str(asked.minutes)]
        how = ["--resume"] if begun else ["--config", asked.config, *chosen]
        program = str(pathlib.Path(sys.executable).with_name("fedkeyboard"))
        command = [*worker.tied(), program, "simulate", *how, "--out", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return runs.open_run(path)


def describe(run: runs.Run, compared: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """Returns what is to be known of a seed, in the types of JSON."""
    (of_run,) = compared["runs"]
    return {
        "seed": run.config.seed,
        "asked": asked.record(),
        "kept_round": run.kept_round(),
        "settings": run.config.published(),
        "curve": {name: of_run["rounds"][name] for name in _CURVE},
        "all_sentences": {
            name: {f: of[f] for f in _FIGURES}
            for name, of in of_run["models"].items()
            if of["on"] == "whole"
        },
        "last_fifth": {name: {f: of[f] for f in _FIGURES} for name, of in of_run["later"].items()},
        "ratios": of_run["ratios"],
        "verdicts": of_run["verdicts"],
        "personal": of_run["personal"],
        "costs": of_run["costs"],
        "typing": of_run["typing"],
    }


def mean_ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean over the seeds of each ratio of top-1 recalls."""
    return {
        f"{ratio['model']} against {ratio['against']}": statistics.mean(
            row["ratios"][i]["ratio"] for row in rows
        )
        for i, ratio in enumerate(rows[0]["ratios"])
    }


def mean_figures(rows: list[dict[str, Any]], on: str) -> dict[str, dict[str, float]]:
    """Returns the mean over the seeds of each model's metrics on some sentences, if it has them."""
    return {
        name: {
            f: statistics.mean(row[on][name][f] for row in rows)
            for f in _FIGURES
            if rows[0][on][name][f] is not None
        }
        for name in rows[0][on]
    }


def table(title: str, means: dict[str, dict[str, float]]) -> rich.table.Table:
    """Returns the means for a reader: a row a model, the best first."""
    drawn = rich.table.Table(title=title)
    drawn.add_column("", no_wrap=True)
    for figure in _FIGURES:
        drawn.add_column(figure.replace("_", " "))
    for name, of in sorted(means.items(), key=lambda item: -item[1]["top1_recall"]):
        drawn.add_row(
            name, *(form.format(of[f]) if f in of else "-" for f, form in _FIGURES.items())
        )
    return drawn


def kept_rows(asked: Asked) -> list[dict[str, Any]]:
    """Returns the rows of the results that were asked for as today."""
    today = asked.record()
    return [row for row in results.read(asked.name).get("rows", []) if row.get("asked") == today]


def summary(rows: list[dict[str, Any]], heterogeneity: dict[str, Any]) -> dict[str, Any]:
    """Returns the means over the seeds, and how users differ (`statistics.describe`)."""
    return {
        "heterogeneity": heterogeneity,
        "personalization_gain": statistics.mean(
            row["personal"]["relative_gain"] or 0.0 for row in rows
        ),
        "mean_ratios": mean_ratios(rows),
        "mean_figures": {on: mean_figures(rows, on) for on in ("all_sentences", "last_fifth")},
        "users_worse_beyond_noise": statistics.mean(
            row["personal"]["users_worse_beyond_noise"] for row in rows
        ),
    }


def main() -> None:
    """Trains, compares, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--keep", action="store_true", help="do not measure again what stands")
    parser.add_argument("--population", type=pathlib.Path, help="a population file")
    parser.add_argument("--minutes", type=float, help="for each run")
    parser.add_argument("--config", help="default: the tuned experiment; with --population, auto")
    parser.add_argument("--directory", type=pathlib.Path, help="default: runs/quality[-NAME]")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    other = arguments.population
    asked = Asked(
        arguments.config or (CONFIG if other is None else "auto"), other, arguments.minutes
    )
    directory = arguments.directory or pathlib.Path("runs", asked.name)
    rows = {row["seed"]: row for row in kept_rows(asked)} if arguments.keep else {}
    for seed in arguments.seeds:
        if seed not in rows:
            run = train(directory / f"seed{seed}", [f"seed={seed}"], asked)
            compared = comparison.compare([run], "test", console)
            comparison_page.write(run.path / "comparison.html", compared)
            rows[seed] = describe(run, compared, asked)
            with run.open_population() as population:
                differ = describe_population(population)["heterogeneity"]
            in_order = [rows[one] for one in sorted(rows)]
            results.write(asked.name, rows=in_order, **summary(in_order, differ))
    means = results.read(asked.name)
    out = Console()
    for on, figures in means["mean_figures"].items():
        out.print(table(f"{on.replace('_', ' ')}, mean of {len(rows)} seeds", figures))
    for name, ratio in means["mean_ratios"].items():
        out.print(f"{name}: {ratio:.3f}x")
    for verdict in sorted({said for row in rows.values() for said in row["verdicts"]}):
        out.print(verdict)
    worse = means["users_worse_beyond_noise"]
    out.print(f"personalized users worse off beyond noise: {worse:.1%}")


if __name__ == "__main__":
    main()
