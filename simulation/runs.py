"""A run directory: all that is needed to resume, evaluate, export and explain a run.

    config.toml         every setting, as it was resolved
    population.json     which population file, its fingerprint, how many phones of how many users
    tokenizer.model     the SentencePiece model, and vocabulary.txt, its entries
    words.model         of a run with sub-words, the vocabulary of words that it is evaluated by
    checkpoints/        the learning process's state, by tff.program.FileProgramStateManager
    weights.npz         the model at the last checkpoint
    rounds.csv          a row a round; tensorboard/ has the same (after a resume, rounds twice)
    metrics.json        the final evaluation on unseen users
    report.html         curves and figures for a reader
    rounds_of_updates.json  in which rounds phones' update files were aggregated, if any were
    baselines/          what other models are worth on the same users (`simulation.comparison`)
    comparison.html     the page that compares them

`runs/latest` points to the newest run of `runs/`.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from data.population import Population
from fedkeyboard import files, model, spellings, subwords
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.tokenizer import VOCABULARY_FILE, Tokenizer
from simulation import config as configs

RUNS = pathlib.Path("runs")
PACKAGE = "export"
_UPDATES = "rounds_of_updates.json"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory that has been begun.

    Attributes:
      path: The directory.
      config: The run's settings.
      tokenizer: The run's vocabulary.
    """

    path: pathlib.Path
    config: configs.Config
    tokenizer: Tokenizer

    @property
    def sizes(self) -> model.Sizes:
        """The model's sizes: the settings', and the vocabulary that the text gave."""
        return model.Sizes(vocabulary=len(self.tokenizer), **self.config.model.model_dump())

    @property
    def rounds_csv(self) -> pathlib.Path:
        """A row a round."""
        return self.path / "rounds.csv"

    def population_record(self) -> dict[str, Any]:
        """Reads `population.json`: file, fingerprint, and of each split the phones and users."""
        path = self.path / "population.json"
        record = _read_json(path)
        if not isinstance(record, dict) or not {"file", "fingerprint", "phones"} <= set(record):
            raise RunFailure(f"{path}: damaged: not what a run begins with; begin a new run")
        return record

    def population_file(self) -> pathlib.Path:
        """Where the population was at the run's begin."""
        return pathlib.Path(self.population_record()["file"])

    def open_population(self, moved_to: files.PathLike | None = None) -> Population:
        """Opens the population that the run trains on.

        Args:
          moved_to: Where the file is now, if not where it was at the run's begin.

        Raises:
          UserError: If the file is gone or has other contents than at the run's begin.
        """
        record = self.population_record()
        if moved_to is None and not self.population_file().exists():
            raise UserError(
                f"{record['file']}: gone, and {self.path} was trained on it; say where it is now "
                "with --population"
            )
        population = Population.open(moved_to or record["file"])
        if population.fingerprint != record["fingerprint"]:
            population.close()
            raise UserError(
                f"{population.path}: not the population that {self.path} was begun with; "
                "give that one as --population, or begin a new run"
            )
        return population

    def save_weights(self, weights: model.Weights, round_number: int) -> None:
        """Writes `weights.npz`, the model after a round."""
        with files.replacing(self.path / "weights.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, round=round_number, **weights._asdict())

    def weights(self) -> tuple[model.Weights, int]:
        """Reads `weights.npz`: the weights, and the round they are of.

        Raises:
          RunFailure: If no checkpoint was reached, or the file is damaged.
        """
        path = self.path / "weights.npz"
        try:
            with np.load(path) as arrays:
                weights = model.Weights(*(arrays[name] for name in model.Weights._fields))
                round_number = int(arrays["round"])
        except FileNotFoundError as error:
            raise RunFailure(
                f"{self.path}: no checkpoint yet; wait, or go on with "
                f"fedkeyboard simulate --resume --out {self.path}"
            ) from error
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RunFailure(
                f"{path}: damaged; write it again with "
                f"fedkeyboard simulate --resume --out {self.path}"
            ) from error
        if [w.shape for w in weights] != list(model.weight_shapes(self.sizes)):
            raise RunFailure(f"{path}: not of the model that config.toml describes")
        return weights, round_number

    def rounds_of_updates(self) -> list[int]:
        """Returns the rounds in which phones' update files were aggregated."""
        path = self.path / _UPDATES
        return _read_json(path) if path.exists() else []

    def save_rounds_of_updates(self, rounds: list[int]) -> None:
        """Writes them."""
        files.write_text(self.path / _UPDATES, json.dumps(rounds) + "\n")

    def training_record(self) -> dict[str, Any]:
        """Returns how the weights were made, for a package's manifest."""
        return {
            "rounds": self.weights()[1],
            "rounds_of_updates": self.rounds_of_updates(),
            "settings": self.config.published(),
        }

    def rounds_done(self) -> int:
        """Returns how many rounds the last checkpoint has; 0 if `weights.npz` cannot be read."""
        try:
            return self.weights()[1]
        except RunFailure:
            return 0

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes `metrics.json`."""
        files.write_text(self.path / "metrics.json", json.dumps(metrics, indent=2) + "\n")

    def metrics(self) -> dict[str, Any] | None:
        """Reads `metrics.json`; None before the final evaluation."""
        path = self.path / "metrics.json"
        return _read_json(path) if path.exists() else None


def package(
    path: files.PathLike, run: files.PathLike | None = None
) -> tuple[pathlib.Path, pathlib.Path | None]:
    """Returns the phone package that `path` means, itself or a run's, and the run that made it.

    Args:
      path: A phone package or a run directory.
      run: The run, if it is known; else it is the one that the package lies in, if it does.

    Raises:
      UserError: If `path` is no directory, or a run without a package.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such directory; give that of a run or a phone package")
    if (path / "config.toml").exists():
        if not (path / PACKAGE).exists():
            raise UserError(
                f"{path}: has no phone package; write it with `fedkeyboard export {path}`"
            )
        path = path / PACKAGE
    if run is None and (path.resolve().parent / "config.toml").exists():
        run = path.resolve().parent
    return path, None if run is None else pathlib.Path(run)


def population_of(run: files.PathLike | None, moved_to: files.PathLike | None = None) -> Population:
    """Opens a run's population; without a run, any that is named.

    Raises:
      UserError: If neither says which.
    """
    if run is not None:
        return open_run(run).open_population(moved_to)
    if moved_to is None:
        raise UserError("of a package alone no population is known: give --population")
    return Population.open(moved_to)


def new_directory(name: str) -> pathlib.Path:
    """Returns a directory for a new run of experiment `name`, told apart by the time."""
    return RUNS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def begin(
    path: files.PathLike, config: configs.Config, population: Population, tokenizer: Tokenizer
) -> Run:
    """Writes what a run begins with; `config.toml` last, since with it a directory is a run."""
    path = pathlib.Path(path)
    tokenizer.save(path)
    record = {
        "file": str(population.path.absolute()),
        "fingerprint": population.fingerprint,
        "phones": {split: len(population.phones(split)) for split in population.splits},
        "users": {split: len(population.users(split)) for split in population.splits},
        "multiplied": population.multiplied,
    }
    files.write_text(path / "population.json", json.dumps(record, indent=2) + "\n")
    config.save(path / "config.toml")
    point_latest(path)
    return Run(path, config, tokenizer)


def open_run(path: files.PathLike) -> Run:
    """Opens a run directory.

    Raises:
      UserError: If it is none.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such run directory; begin one with fedkeyboard simulate")
    if not (path / "config.toml").exists():
        raise UserError(f"{path}: not a run directory (it has no config.toml)")
    config = configs.load(path / "config.toml")
    return Run(path.resolve(), config, subwords.load(path, config.tokenizer.kind))


# What `begin` writes before config.toml: a directory with no more than that has no run in it yet.
_BEGUN = {
    *(".lock", "tokenizer.model", VOCABULARY_FILE, spellings.FILE, "words.model", "population.json")
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
        yield


def point_latest(path: pathlib.Path) -> None:
    """Makes `runs/latest` point to a run, if it is one of `runs/`."""
    if path.parent != RUNS:
        return
    temporary = RUNS / f".latest-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(path.name)
    temporary.replace(RUNS / "latest")


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise RunFailure(f"{path}: damaged: {error}") from error
