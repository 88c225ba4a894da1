"""One flipped bit in a file of a population, a run, a package or an update: noticed, or harmless.

A command that reads the file must say what it said before, or fail with one line. `aggregate` may
refuse a damaged update by its name, and must then say what it says without it.
"""

import contextlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from benchmarks.reliability import commands, ground
from benchmarks.reliability.cases import Case
from benchmarks.reliability.ground import Ground

# Readers of a run's files, of a package's, of a population's and of an update.
_OF_RUN = (("evaluate", "run", "--json", "--population", "tiny.sqlite"),)
_OF_POPULATION = (
    ("population", "stats", "tiny.sqlite", "--json"),
    (*ground.SIMULATE[:5], "--out", "other", "--json", "--set", "rounds.count=1"),
)
_OF_PACKAGE = (
    ("suggest", "package", "i am going to", "--json"),
    ("verify", "package"),
    ("update", "package", "phone0.txt", "--out", "new.npz", "--json"),
)
_RESUME = (*ground.RESUME, "--set", "rounds.count=10", "--population", "tiny.sqlite")


def cases(made: Ground, count: int, generator: np.random.Generator) -> Iterator[Case]:
    """Yields so many cases, over all kinds of files in turn."""
    run, package = made.directory / "run", made.directory / "run/export"
    kinds: list[tuple[str, tuple[str, ...]]] = [("tiny.sqlite", _OF_RUN[0])]
    kinds += [
        (f"run/{path.name}", _OF_RUN[0])
        for path in sorted(run.iterdir())
        if path.is_file() and path.suffix in (".toml", ".json", ".model", ".txt", ".npz")
    ]
    kinds += [("run/rounds.csv", _RESUME), ("run/metrics.json", ("export", *_OF_RUN[0][1:]))]
    kinds += [("tiny.sqlite", reader) for reader in _OF_POPULATION]
    kinds += [
        (str(path.relative_to(made.directory)), _RESUME)
        for path in sorted(run.glob("checkpoints/*/**/*"))
        if path.is_file()
    ]
    kinds += [
        (f"package/{path.name}", reader)
        for path in sorted(package.iterdir())
        if path.is_file()
        for reader in _OF_PACKAGE
    ]
    kinds += [(name, ground.AGGREGATE) for name in ground.UPDATES]
    kinds += [
        (str(path.relative_to(made.directory)), ("baseline", "kneser-ney", *_OF_RUN[0][1:]))
        for path in sorted(run.glob("baselines/*"))
    ]
    said: dict[tuple[str, ...], object] = {}
    for reader in {*(reader for _, reader in kinds), *map(_without, ground.UPDATES)}:
        with _place(made) as place:
            outcome = commands.run(reader, place)
            if outcome.code != 0:
                raise RuntimeError(f"{' '.join(reader)}: {outcome.err}")
            said[reader] = _said(reader, outcome, place)
    for number in range(count):
        name, reader = kinds[number % len(kinds)]
        yield Case(
            f"{number}: {name}, {' '.join(reader[:2])}",
            _attempt(made, name, reader, said, int(generator.integers(2**62))),
        )


def _without(update: str) -> tuple[str, ...]:
    return tuple(word for word in ground.AGGREGATE if word != update)


@contextlib.contextmanager
def _place(made: Ground) -> Iterator[pathlib.Path]:
    """Yields a copy of all that the readers need, with the package also outside its run."""
    names = ("tiny.toml", "tiny.sqlite", "run", "phone0.txt", *ground.UPDATES)
    with made.copy(*names) as place:
        shutil.copytree(place / "run/export", place / "package")
        yield place


def _said(reader: tuple[str, ...], outcome: commands.Outcome, place: pathlib.Path) -> object:
    if outcome.code != 0:
        return None
    if reader[0] == "verify":  # Milliseconds differ.
        return "verified"
    if reader[0] == "aggregate":
        with np.load(place / "next/weights.npz") as arrays:
            return {name: arrays[name].tolist() for name in arrays.files}
    if reader[0] == "update":
        with np.load(place / "new.npz") as arrays:
            return {n: arrays[n].tolist() for n in arrays.files if n.endswith("bias")}
    if reader[0] == "export":
        return "exported"
    return json.loads(outcome.out.replace(str(place), "place"))


def _attempt(
    made: Ground,
    name: str,
    reader: tuple[str, ...],
    said: Mapping[tuple[str, ...], object],
    seed: int,
) -> Callable[[], tuple[str, str | None]]:
    def attempt() -> tuple[str, str | None]:
        with _place(made) as place:
            path = place / name
            content = bytearray(path.read_bytes())
            if not content:
                return "empty file", None
            position, bit = divmod(seed % (8 * len(content)), 8)
            content[position] ^= 1 << bit
            path.write_bytes(content)
            outcome = commands.run(reader, place)
            if outcome.fault:
                return "fault", f"byte {position} bit {bit}: {outcome.fault}"
            if outcome.code != 0:
                return "noticed", None
            # It reads all of a package.
            if reader[0] == "verify" and name.startswith("package/"):
                return "verified", f"byte {position} bit {bit}: exit 0"
            refused = name in ground.UPDATES and f"{name}: " in outcome.err
            before = said[_without(name) if refused else reader]
            if not ground.close(_said(reader, outcome, place), before):
                return "changed", f"byte {position} bit {bit}: exit 0, and another result"
        return ("noticed" if outcome.err.strip() else "harmless"), None

    return attempt
