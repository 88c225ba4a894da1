"""Where runs are: a new one's place, who holds it, which is the newest. Needs no TensorFlow."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

from fedkeyboard import files, hashed
from fedkeyboard.errors import RunFailure, UserError

RUNS = pathlib.Path("runs")
LATEST = RUNS / "latest"


def new_directory(name: str) -> pathlib.Path:
    """Returns a directory for a new run of experiment `name`, told apart by the time."""
    return RUNS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


# What `runs.begin` writes before config.toml: a directory with no more has no run in it yet.
_BEGUN = {
    *(".lock", hashed.RECORD, "tokenizer.model", "vocabulary.txt"),
    *("spellings.json", "words.model", "population.json", "initial.npz"),
}


def check_new(path: files.PathLike) -> None:
    """Raises UserError if a new run cannot go to `path` because something else is there."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: not a directory; give another --out")
    if (path / "config.toml").exists():
        raise UserError(
            f"{path}: has a run already; give another --out, or go on with it by simulate --resume"
        )
    if path.is_dir() and any(
        entry.name not in _BEGUN and not entry.name.endswith(".part") for entry in path.iterdir()
    ):
        raise UserError(f"{path}: not empty; give another --out")


def check_run(path: files.PathLike) -> None:
    """Raises UserError if `path` is no run directory."""
    path = pathlib.Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such run directory; begin one with fedkeyboard simulate")
    if not (path / "config.toml").exists():
        raise UserError(f"{path}: not a run directory (it has no config.toml)")


@contextlib.contextmanager
def claimed(path: files.PathLike) -> Iterator[None]:
    """Makes a run's directory if it is not there, and holds it against other processes.

    Raises:
      RunFailure: If it cannot be made, or another process holds it.
    """
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailure(f"{path}: {error.strerror}") from error
    with files.locked(path):
        # What a killed process left.
        for directory in (path, pathlib.Path(path, "baselines")):
            files.remove_unfinished(directory)
        yield


def point_latest(path: pathlib.Path) -> None:
    """Makes `runs/latest` point to a run, if it is one of `runs/`."""
    if path.parent != RUNS:
        return
    _point(path.name)


def latest() -> str | None:
    """Returns the name of the run that `runs/latest` points to; None if it points to none."""
    return os.readlink(LATEST) if LATEST.is_symlink() else None


def point_latest_back(path: pathlib.Path, before: str | None) -> None:
    """Makes `runs/latest` point where it did before, if it points to a run that is gone."""
    if path.parent != RUNS or latest() != path.name:
        return
    if before is None:
        LATEST.unlink()
    else:
        _point(before)


def _point(name: str) -> None:
    temporary = RUNS / f".latest-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    temporary.replace(LATEST)
