"""A thousand rounds: memory, open files and threads, of the training and of TFF's worker."""

import csv
import pathlib
import subprocess
import tempfile
import time
from typing import Any

import psutil

from benchmarks.memory_use import proportional_mb
from benchmarks.reliability import commands
from benchmarks.reliability.ground import Ground

_FROM = 0.1  # Of the rounds; before, buffers and caches fill.
_GROWTH = 1.1  # More memory than this is a leak.
_MORE = 2  # More files or threads than this are one.


def measure(made: Ground, rounds: int) -> dict[str, Any]:
    """Returns what a training has in its first half and in its last quarter, and the fault.

    Of memory the least, of files and threads the most: gRPC's server makes a thread when more calls
    meet than ever before, which may be at round 300, and keeps it.
    """
    with made.copy("tiny.toml", "tiny.sqlite") as place:
        arguments = (
            *("simulate", "--config", "tiny.toml", "--population", "tiny.sqlite", "--out", "run"),
            *("--set", f"rounds.count={rounds}", "--set", "rounds.checkpoint_every=25"),
        )
        with tempfile.TemporaryFile() as said:
            child = psutil.Popen(
                [str(commands.FEDKEYBOARD), *arguments],
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            samples = []
            while child.poll() is None:
                done = _rounds(place / "run/rounds.csv")
                if done >= _FROM * rounds and done < rounds:
                    samples.append(_sample(child, done))
                time.sleep(0.2)
        code = child.wait()
    begin, end = samples[: -(-len(samples) // 2)], samples[-(-len(samples) // 4) :]
    figures = {
        name: [of(sample[name] for sample in part) for part in (begin, end)]
        for name, of in (("megabytes", min), ("files", max), ("threads", max))
    }
    fault = None
    if code != 0:
        fault = f"exit code {code}"
    elif figures["megabytes"][1] > _GROWTH * figures["megabytes"][0]:
        fault = "memory grows"
    elif any(figures[name][1] > figures[name][0] + _MORE for name in ("files", "threads")):
        fault = "open files or threads grow"
    return {"rounds": rounds, **figures, "fault": fault}


def _sample(child: psutil.Process, done: int) -> dict[str, float]:
    members = [child, *child.children(recursive=True)]
    return {
        "round": done,
        "megabytes": proportional_mb(child.pid),
        "files": sum(member.num_fds() for member in members),
        "threads": sum(member.num_threads() for member in members),
    }


def _rounds(path: pathlib.Path) -> int:
    if not path.exists():
        return 0
    with open(path, newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1
