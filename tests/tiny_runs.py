"""A tiny experiment, by the command line."""

import csv

from benchmarks.reliability.ground import SETTINGS

__all__ = ["SETTINGS", "rounds", "simulate"]


def simulate(population, out):
    return [
        *("simulate", "--config", "tiny.toml"),
        *("--population", population, "--out", out, "--json"),
    ]


def rounds(path):
    """The rows of rounds.csv without the wall-clock time."""
    with open(path / "rounds.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
