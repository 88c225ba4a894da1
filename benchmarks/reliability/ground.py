"""What the cases start from: a population of real text, a tiny run, its package, phones' updates.

Made once, by the commands themselves; a case works on a copy. What each command gives without
harm is kept beside, to compare with.
"""

import contextlib
import csv
import dataclasses
import hashlib
import json
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.reliability import commands
from fedkeyboard.data import corpora

SETTINGS = """
seed = 2
population.corpus = "chitchat"
tokenizer.vocabulary_size = 300
ngrams = { order = 3 }
model = { embedding = 8, units = 16, length = 10 }
client = { learning_rate = 0.5, batch_size = 4, maximum_sentences = 12 }
server = { optimizer = "adam", learning_rate = 0.05, averaging = 0.3 }
fleet = { over_selection = 1.25, minimum_reports = 2, deadline_minutes = 9, habits = {} }
[rounds]
count = 9
cohort = 4
keep = "best"
checkpoint_every = 3
validate_every = 2
validation_users = 3
"""
SWEEP = """
experiment = "tiny.toml"
trials = 2
[ranges]
client.learning_rate = { low = 0.1, high = 1.0, log = true }
"""
MESSAGES = 4000
PHONES = 3

PREPARE = (
    *("prepare", "--input", "messages.csv", "--out", "tiny.sqlite", "--max-sentences", "40"),
    *("--user-column", "who", "--text-column", "said", "--time-column", "when"),
)
SIMULATE = (
    *("simulate", "--config", "tiny.toml", "--population", "tiny.sqlite", "--out", "run"),
    "--json",
)
RESUME = ("simulate", "--resume", "--out", "run", "--json")
UPDATES = tuple(f"phone{i}.npz" for i in range(PHONES))
AGGREGATE = ("aggregate", "run", *UPDATES, "--out", "next", "--json")


@dataclasses.dataclass(frozen=True)
class Ground:
    """A directory with all that the commands make.

    Attributes:
      directory: It.
      seconds: How long each command took that made it, by its first word.
    """

    directory: pathlib.Path
    seconds: dict[str, float]

    @contextlib.contextmanager
    def copy(self, *names: str) -> Iterator[pathlib.Path]:
        """Yields a directory with copies of some of the ground's files and directories."""
        with tempfile.TemporaryDirectory(prefix="reliability-") as temporary:
            for name in names:
                source, target = self.directory / name, pathlib.Path(temporary, name)
                (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
            yield pathlib.Path(temporary)


@contextlib.contextmanager
def made() -> Iterator[Ground]:
    """Makes the ground for the `with` block.

    Raises:
      RuntimeError: If one of the commands fails.
    """
    with tempfile.TemporaryDirectory(prefix="reliability-") as temporary:
        directory = pathlib.Path(temporary)
        (directory / "tiny.toml").write_text(SETTINGS)
        (directory / "sweep.toml").write_text(SWEEP)
        _write_messages(directory)
        seconds = {}
        for arguments in (
            PREPARE,
            SIMULATE,
            *(("update", "run", f"phone{i}.txt", "--out", UPDATES[i]) for i in range(PHONES)),
            AGGREGATE,
            ("baseline", "kneser-ney", "run", "--json"),
        ):
            began = time.monotonic()
            outcome = commands.run(arguments, directory)
            if outcome.code != 0:
                raise RuntimeError(f"{' '.join(arguments)}: {outcome.err}")
            seconds[arguments[0]] = time.monotonic() - began
        yield Ground(directory, seconds)


def _write_messages(directory: pathlib.Path) -> None:
    """Writes real messages: of many users as CSV, and those of a few as phones' text."""
    messages = list(corpora.chitchat())[:MESSAGES]
    with open(directory / "messages.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["who", "said", "when"])
        writer.writerows((m.user, m.text, m.time) for m in messages)
    users = list(dict.fromkeys(m.user for m in messages))
    for i in range(PHONES):
        lines = [m.text for m in messages if m.user == users[i]][:10]
        text = "".join(" ".join(line.split()) + "\n" for line in lines)
        (directory / f"phone{i}.txt").write_text(text, encoding="utf-8")


def digest(path: pathlib.Path) -> str:
    """Returns the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def difference_of_runs(one: pathlib.Path, other: pathlib.Path) -> str | None:
    """Returns what two runs that should be equal, to float rounding, differ in; None if nothing."""
    with np.load(one / "weights.npz") as a, np.load(other / "weights.npz") as b:
        if a.files != b.files or not all(np.allclose(a[n], b[n], atol=1e-5) for n in a.files):
            return "weights.npz"
    for name in ("vocabulary.txt", "tokenizer.model"):
        if digest(one / name) != digest(other / name):
            return name
    if not close(_rounds(one), _rounds(other)):
        return "rounds.csv"
    if (one / "metrics.json").exists():
        metrics = [json.loads((path / "metrics.json").read_bytes()) for path in (one, other)]
        if not close(*metrics):
            return "metrics.json"
    return None


def close(one: Any, other: Any) -> bool:
    """Whether two values of JSON are equal, numbers to what a rounded weight may turn."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return bool(np.isclose(one, other, rtol=5e-3, atol=5e-3, equal_nan=True))
    return one == other


def _rounds(run: pathlib.Path) -> list[dict[str, Any]]:
    with open(run / "rounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: _number(v) for k, v in row.items() if k != "seconds"} for row in rows]


def _number(text: str) -> float | None:
    return float(text) if text else None
