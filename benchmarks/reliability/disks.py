"""A disk that is full: a training in a file system of some size, then in the same with room.

It must end with one line; with room, the same command, or `--resume` where there is a run, goes on
to the result of an unbroken training. Needs root, for a tmpfs.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.reliability import commands, ground
from benchmarks.reliability.cases import Case
from benchmarks.reliability.ground import Ground


def cases(made: Ground, count: int, generator: np.random.Generator) -> Iterator[Case]:
    """Yields a case for each of so many sizes, up to what a training needs."""
    if os.geteuid():
        raise PermissionError("needs root to mount a file system of a size")
    files = [path for path in (made.directory / "run").rglob("*") if path.is_file()]
    needed = sum(-(-path.stat().st_size // 4096) * 4096 for path in files)
    given = -(-(made.directory / "tiny.sqlite").stat().st_size // 4096) * 4096 + (1 << 15)
    for number in range(count):
        size = given + int(needed * (number + float(generator.random())) / count)
        yield Case(f"{number}: {size:,} bytes", _attempt(made, size))


@contextlib.contextmanager
def _disk(size: int) -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="reliability-disk-") as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        try:
            yield pathlib.Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def _attempt(made: Ground, size: int) -> Callable[[], tuple[str, str | None]]:
    def attempt() -> tuple[str, str | None]:
        with _disk(size) as place:
            for name in ("tiny.toml", "tiny.sqlite"):
                shutil.copy2(made.directory / name, place)
            first = commands.run(ground.SIMULATE, place)
            if first.fault:
                return "full", first.fault
            if first.code == 0:
                return "had room", ground.difference_of_runs(place / "run", made.directory / "run")
            subprocess.run(["mount", "-o", "remount,size=1g", place], check=True)
            begun = (place / "run/config.toml").exists()
            again = commands.run(ground.RESUME if begun else ground.SIMULATE, place)
            if again.fault or again.code != 0:
                return "again", again.fault or again.err[-300:]
            differs = ground.difference_of_runs(place / "run", made.directory / "run")
            return "went on", differs and f"{differs} differs from an unbroken training's"

    return attempt
