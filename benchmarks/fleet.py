"""What millions of phones cost: to build, to open, to draw and read a cohort, to simulate rounds.

Writes `benchmarks/results/fleet.json`. `python -m benchmarks.fleet` measures this alone.
"""

import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from rich.console import Console

from benchmarks import results
from benchmarks.memory_use import Peak
from fedkeyboard.data.population import Population
from fedkeyboard.runtime import worker
from fedkeyboard.simulation import config_files
from fedkeyboard.simulation.fleet import fleet

SMALL, MIDDLE, LARGE = 10_000, 1_000_000, 10_000_000
COHORT = 100
DRAWS = 200
ROUNDS = 3000
CONFIG = "simulation/configs/gboard.toml"
IDEAL = "simulation/configs/chitchat.toml"

_HOLD = """
import sys, time
from fedkeyboard.data.population import Population
from fedkeyboard.simulation import config_files
from fedkeyboard.simulation.fleet import fleet
population = Population.open(sys.argv[1])
of = fleet.of(config_files.load(sys.argv[2]), population)
for _ in range(100):
    for phone in of.next_round().reported:
        population.sentences(phone)
print("holds", flush=True)
time.sleep(1)
"""


def build(directory: pathlib.Path, phones: int) -> tuple[pathlib.Path, dict[str, Any]]:
    """Builds a population of virtual phones by the command; returns the file and what it took."""
    path = directory / f"{phones}.sqlite"
    command = [str(pathlib.Path(sys.executable).with_name("fedkeyboard")), "prepare"]
    began = time.monotonic()
    subprocess.run(
        [*worker.tied(), *command, "--corpus=chitchat", f"--phones={phones}", f"--out={path}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds, size = time.monotonic() - began, path.stat().st_size
    return path, {
        "phones": phones,
        "seconds": round(seconds, 1),
        "megabytes": round(size / 1e6, 1),
        "bytes_per_phone": round(size / phones, 1),
    }


def draw_and_read(paths: dict[int, pathlib.Path], config: str) -> list[dict[str, Any]]:
    """Times, in turns, drawing a round's cohort and reading its phones' sentences."""
    settings = config_files.load(config, [f"rounds.cohort={COHORT}", "fleet.over_selection=1.0"])
    with contextlib.ExitStack() as stack:
        opened = {n: stack.enter_context(Population.open(path)) for n, path in paths.items()}
        fleets = {n: fleet.of(settings, population) for n, population in opened.items()}
        seconds = {n: [] for n in paths}
        for _ in range(DRAWS):
            for n, population in opened.items():
                began = time.perf_counter()
                for phone in fleets[n].next_round().reported:
                    population.sentences(phone)
                seconds[n].append(time.perf_counter() - began)
    return [
        {
            "phones": n,
            "config": pathlib.Path(config).name,
            "milliseconds": round(1e3 * statistics.median(each), 2),
            "slowest_tenth": round(1e3 * statistics.quantiles(each, n=10)[-1], 2),
        }
        for n, each in seconds.items()
    ]


def hold(path: pathlib.Path) -> float:
    """Returns the peak memory of a process with the population open and a fleet, in 10^6 bytes."""
    command = [*worker.tied(), sys.executable, "-c", _HOLD, str(path), CONFIG]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as child,
        Peak(child.pid) as peak,
    ):
        if not child.stdout.readline():
            raise RuntimeError("the process that holds a population failed")
    return peak.megabytes


def rounds(path: pathlib.Path) -> float:
    """Returns the seconds of 3,000 rounds of the fleet on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with Population.open(path) as population:
            of = fleet.of(config_files.load(CONFIG), population)
            began = time.perf_counter()
            for _ in range(ROUNDS):
                of.next_round()
            return time.perf_counter() - began
    finally:
        os.sched_setaffinity(0, allowed)


def run(console: Console) -> None:
    """Measures, writes and prints."""
    with tempfile.TemporaryDirectory() as directory:
        paths, builds = {}, []
        for phones in (SMALL, MIDDLE, LARGE):
            paths[phones], of_build = build(pathlib.Path(directory), phones)
            builds.append(of_build)
            console.print(f"built {phones:,} phones in {of_build['seconds']} s")
        ends = {n: paths[n] for n in (SMALL, LARGE)}
        draws = [row for config in (IDEAL, CONFIG) for row in draw_and_read(ends, config)]
        seconds, megabytes = rounds(paths[MIDDLE]), hold(paths[LARGE])
    results.write(
        "fleet",
        build=builds,
        draw_and_read=draws,
        rounds={"phones": MIDDLE, "rounds": ROUNDS, "seconds": round(seconds, 1)},
        hold={"phones": LARGE, "peak_memory_mb": round(megabytes)},
    )
    out = Console()
    for small, large in (draws[:2], draws[2:]):
        out.print(
            f"a cohort of {COHORT} from {LARGE:,} phones ({large['config']}): "
            f"{large['milliseconds']} ms, {large['milliseconds'] / small['milliseconds']:.2f}x of "
            f"{SMALL:,}"
        )
    out.print(
        f"open population of {LARGE:,} with its fleet: {megabytes:,.0f} MB, the whole process\n"
        f"{ROUNDS:,} rounds of {MIDDLE:,} phones on one core: {seconds:.1f} s\n"
        f"building {MIDDLE:,} phones: {builds[1]['seconds']} s, {builds[1]['megabytes']} MB"
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run(Console(stderr=True))
