"""Seconds a round against the peers: same phones, batches, model and weights, in turn.

Writes `benchmarks/results/engine.json`, with every measurement, and `engine.png`.
"""

import contextlib
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import ceiling, charts, results
from benchmarks.cohorts import Cohort
from benchmarks.entrants import Entrant, Framework, peer, tff
from benchmarks.peers import environments
from fedkeyboard import model

OURS, BFLOAT16, PLAIN = "fedkeyboard", "fedkeyboard, bfloat16", "TFF"
CORES = len(os.sched_getaffinity(0))
# Name, environment, processes, threads of each: the better setting, and the framework's default.
PEERS = (
    ("pfl-research", "pfl", CORES, 1),
    ("Flower", "flower", CORES, 1),
    ("pfl-research, one process", "pfl", 1, CORES),
    ("Flower, one actor", "flower", 1, CORES),
)
QUICK_PEERS = PEERS[:2]
# Of the average update, relative to its norm; bfloat16's is reported and not bounded.
TOLERANCE = 1e-4
# Phones at a time, and threads of an operation. The first was the fastest on 2 cores; the last is
# TFF's own default, no limit and a thread a core.
PLAIN_SETTINGS = ((4, 1), (2, 1), (2, 2), (1, 2), (1000, 2))


def measure(
    cohorts: Sequence[Cohort], rounds: int, console: Console, *, quick: bool
) -> dict[str, Any]:
    """Measures all frameworks on all cohorts; `quick`, without their settings that are slower.

    Returns:
      `rows`, one a cohort and framework; `missing`, the peers that cannot be installed, and why;
      `plain_settings`, seconds a round of plain TFF with each.
    """
    frameworks, missing = [tff(OURS, "ours"), tff(BFLOAT16, "ours", "--bfloat16")], {}
    for name, *how in QUICK_PEERS if quick else PEERS:
        console.print(f"{name}: making sure of its environment")
        try:
            frameworks.append(peer(name, *how))
        except environments.PeerMissing as error:
            console.print(f"[red]{name} is missing[/red]: {error}")
            missing[name] = str(error)
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        for cohort in cohorts:
            cohort.write(directory / f"{cohort.name}.npz")
        if quick:
            plain, settings = plain_tff(*PLAIN_SETTINGS[0]), []
        else:
            plain, settings = best_plain(directory / "typical.npz", console)
        rows = [
            row
            for cohort in cohorts
            for row in measure_cohort(cohort, [*frameworks, plain], rounds, directory, console)
        ]
    return {"rows": rows, "missing": missing, "plain_settings": settings}


def plain_tff(clients: int, threads: int) -> Framework:
    """Returns plain TFF, for phones at a time and threads of an operation."""
    options = ("--concurrent-clients", str(clients), "--threads", str(threads))
    return tff(PLAIN, "plain", *options)


def best_plain(job: pathlib.Path, console: Console) -> tuple[Framework, list[dict[str, Any]]]:
    """Returns plain TFF with the setting that is fastest on a cohort, and the figures of all."""
    seconds = {}
    for clients, threads in PLAIN_SETTINGS:
        framework = plain_tff(clients, threads)
        with contextlib.closing(Entrant(framework, job)) as entrant:
            entrant.wait()
            seconds[framework] = min(entrant.round() for _ in range(2))
        console.print(
            f"TFF, {clients} phones at a time, {threads} threads: {seconds[framework]:.2f} s"
        )
    tried = [
        {"concurrent_clients": clients, "threads": threads, "seconds_per_round": taken}
        for (clients, threads), taken in zip(PLAIN_SETTINGS, seconds.values(), strict=True)
    ]
    return min(seconds, key=seconds.get), tried


def measure_cohort(
    cohort: Cohort,
    frameworks: Sequence[Framework],
    rounds: int,
    directory: pathlib.Path,
    console: Console,
) -> list[dict[str, Any]]:
    """Returns a row for each framework."""
    console.print(f"{cohort.name}: {len(cohort.phones)} phones, {cohort.local_steps} local steps")
    multiplication = ceiling.Multiplication(cohort.sizes)
    rates: list[float] = []
    with contextlib.ExitStack() as running:
        entrants = [
            running.enter_context(
                contextlib.closing(Entrant(framework, directory / f"{cohort.name}.npz"))
            )
            for framework in frameworks
        ]
        ready = [entrant.wait() for entrant in entrants]
        seconds: list[list[float]] = [[] for _ in entrants]
        for entrant in entrants:
            entrant.round()  # To warm up.
        for number in range(rounds):
            rates.append(multiplication.rate())
            for entrant, taken in zip(entrants, seconds, strict=True):
                taken.append(entrant.round())
            console.print(f"  round {number + 1} of {rounds}")
        memory = [entrant.peak_memory() for entrant in entrants]
        updates = [_update(entrant, cohort.sizes, directory) for entrant in entrants]
    reference = updates[[f.name for f in frameworks].index(PLAIN)]
    best_possible = ceiling.needed(cohort.sizes, cohort.targets) / statistics.median(rates)
    return [
        {
            "framework": framework.name,
            "cohort": cohort.name,
            "phones": len(cohort.phones),
            "local_steps": cohort.local_steps,
            "targets": cohort.targets,
            "seconds_per_round": statistics.median(taken),
            "peak_memory_mb": round(peak),
            "ceiling_seconds": best_possible,
            "fraction_of_ceiling": best_possible / statistics.median(taken),
            "update_difference": float(
                np.linalg.norm(update - reference) / np.linalg.norm(reference)
            ),
            **{key: said[key] for key in ("setting", "versions")},
            "measurements": taken,
            "matrix_product_rates": rates,
        }
        for framework, said, taken, peak, update in zip(
            frameworks, ready, seconds, memory, updates, strict=True
        )
    ]


def _update(entrant: Entrant, sizes: model.Sizes, directory: pathlib.Path) -> np.ndarray:
    """Returns the average update of a round from the initial weights, one vector."""
    path = directory / "updated.npz"
    entrant.save(path)
    initial = model.initial_weights(sizes, 0)._asdict()
    with np.load(path) as updated:
        return np.concatenate([np.ravel(updated[name] - w) for name, w in initial.items()])


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Returns the figures for people."""
    shown = Table(
        *("cohort", "framework", "s a round", "ms a step", "ours is faster by", "of the ceiling"),
        *("peak MB", "update differs by"),
        box=None,
    )
    for row in rows:
        ours = next(r for r in rows if r["cohort"] == row["cohort"] and r["framework"] == OURS)
        shown.add_row(
            row["cohort"],
            row["framework"],
            f"{row['seconds_per_round']:.2f}",
            f"{1000 * row['seconds_per_round'] / row['local_steps']:.1f}",
            f"{row['seconds_per_round'] / ours['seconds_per_round']:.2f}",
            f"{row['fraction_of_ceiling']:.2f}",
            f"{row['peak_memory_mb']:,}",
            f"{row['update_difference']:.0e}",
        )
    return shown


def run(cohorts: Sequence[Cohort], rounds: int, console: Console, *, quick: bool) -> list[str]:
    """Measures, writes and prints; returns what is not as it should be."""
    measured = measure(cohorts, rounds, console, quick=quick)
    name = "engine-quick" if quick else "engine"
    results.write(name, **measured)
    charts.seconds_per_round(measured["rows"], results.DIRECTORY / f"{name}.png")
    # A pipe has no width, and 80 columns would break every name.
    Console(width=None if sys.stdout.isatty() else 120).print(table(measured["rows"]))
    return [
        f"{row['framework']}, {row['cohort']}: its update differs from plain TFF's by "
        f"{row['update_difference']:.1e} of its norm"
        for row in measured["rows"]
        if row["framework"] != BFLOAT16 and not row["update_difference"] <= TOLERANCE
    ] + [f"{name} is missing: {why}" for name, why in measured["missing"].items()]
