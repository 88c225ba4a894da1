"""Memory against the size of the cohort, and against the number of rounds.

Writes `benchmarks/results/memory.json`.
"""

import contextlib
import csv
import pathlib
import statistics
import subprocess
import tempfile
import time
from typing import Any

from rich.console import Console

from benchmarks import results
from benchmarks.cohorts import Cohort
from benchmarks.entrants import Entrant, simulate, tff
from benchmarks.memory_use import proportional_mb

COHORTS = (50, 1000)
ROUNDS = (30, 300)
OVER = 10  # Rounds over which memory is watched: it goes up and down within each.


def by_cohort(small: Cohort, console: Console) -> list[dict[str, Any]]:
    """Returns the peak memory of a round with cohorts of phones of 16 sentences.

    The corpus has fewer phones than 1,000: the cohort has some of them several times.
    """
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for phones in COHORTS:
            repeated = [small.phones[i % len(small.phones)] for i in range(phones)]
            job = pathlib.Path(directory, "job.npz")
            small._replace(phones=repeated).write(job)
            with contextlib.closing(Entrant(tff("fedkeyboard", "ours"), job)) as entrant:
                entrant.wait()
                rows.append({"phones": phones, "peak_memory_mb": round(entrant.peak_memory())})
            console.print(f"a cohort of {phones}: {rows[-1]['peak_memory_mb']:,} MB")
    return rows


def by_round(console: Console) -> list[dict[str, Any]]:
    """Returns the median memory of `fedkeyboard simulate` over the rounds after some of its own.

    The default experiment: cohorts of 10 phones, drawn anew in every round.
    """
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        run = pathlib.Path(directory, "run")
        command = simulate(run, f"rounds.count={ROUNDS[-1] + 2 * OVER}")
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            for count in ROUNDS:
                seen = []
                while (done := _rounds(run)) < count + OVER:
                    if child.poll() is not None:
                        raise RuntimeError(f"simulate ended with {child.returncode}")
                    if done >= count:
                        seen.append(proportional_mb(child.pid))
                    time.sleep(0.05)
                rows.append({"rounds": count, "memory_mb": round(statistics.median(seen))})
                console.print(f"after {count} rounds: {rows[-1]['memory_mb']:,} MB")
            child.terminate()
    return rows


def _rounds(run: pathlib.Path) -> int:
    with contextlib.suppress(FileNotFoundError), open(run / "rounds.csv", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1
    return 0


def run(small: Cohort, console: Console) -> None:
    """Measures, writes and prints."""
    cohorts, rounds = by_cohort(small, console), by_round(console)
    results.write("memory", by_cohort=cohorts, by_round=rounds)
    of_cohorts = cohorts[-1]["peak_memory_mb"] / cohorts[0]["peak_memory_mb"]
    of_rounds = rounds[-1]["memory_mb"] / rounds[0]["memory_mb"]
    Console().print(
        f"peak memory, cohort of {COHORTS[1]:,} against {COHORTS[0]}: {of_cohorts:.2f}x\n"
        f"memory after {ROUNDS[1]} rounds against after {ROUNDS[0]}: {of_rounds:.2f}x"
    )
