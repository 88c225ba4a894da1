"""Fleets of a few phones, for tests."""

import pathlib

import numpy as np

from fedkeyboard.simulation import config
from fedkeyboard.simulation.fleet import fleet

GBOARD = pathlib.Path(config.__file__).parent / "configs/gboard.toml"


HABITS = config.Habits()


def lengths(phones):
    return 10 + phones % 91


def make(report_goal=20, phones=5000, *, seed=1, sentences=lengths, **of):
    return fleet.Fleet(
        config.Fleet(**of),
        report_goal,
        phones=phones,
        sentences=sentences,
        bytes_down=5_000_000,
        bytes_up=5_000_000,
        seed=seed,
    )


def run(of, rounds):
    return [of.next_round() for _ in range(rounds)]


def same(one, other):
    return all(
        np.array_equal(a, b)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


REAL = {
    "over_selection": 1.3,
    "minimum_reports": 12,
    "deadline_minutes": 5.0,
    "dropout": 0.06,
    "reuse_hours": 2.0,
    "minimum_memory_gb": 2.0,
    "habits": HABITS,
}


SAMPLINGS = ["check_in", "uniform", "poisson", "cyclic", "random_check_in"]
