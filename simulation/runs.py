"""A run directory: all that is needed to resume, evaluate, export and explain a run.

    config.toml         every setting, as it was resolved
    population.json     which population file, its fingerprint, how many phones of how many users
    tokenizer.model     the SentencePiece model, and vocabulary.txt, its entries
    words.model         of a run with sub-words, the vocabulary of words that it is evaluated by
    initial.npz         of a run that began with another one's model, what that was
    checkpoints/        the learning process's state, by tff.program.FileProgramStateManager: what
                        a run goes on from (`checkpoints`)
    weights.npz         a copy of the run's model (`selection`), for what needs no more
    ngrams.bin          of a run with n-grams, once it is trained, what they say beside the model
                        (`fedkeyboard.ngrams.model`)
    rounds.csv          a row a round; tensorboard/ has the same (after a resume, rounds twice)
    metrics.json        the final evaluation on unseen users
    report.html         curves and figures for a reader
    rounds_of_updates.json  in which rounds phones' update files were aggregated, if any were
    hashes.json         of the files above; checked wherever one is read (`fedkeyboard.hashed`)
    baselines/          what other models are worth on the same users
    (`fedkeyboard.simulation.comparison.comparison`) comparison.html     the page that compares them

`runs/latest` points to the newest run of `runs/`.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedkeyboard import arrays, files, hashed, model
from fedkeyboard.data.population import Population
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.ngrams import model as ngram_model
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation import config_files, directories
from fedkeyboard.text import subwords
from fedkeyboard.text.tokenizer import Tokenizer

PACKAGE = "export"
INITIAL = "initial.npz"
_UPDATES = "rounds_of_updates.json"
_RECORDED = {"file", "fingerprint", "phones", "users", "multiplied"}  # population.json
# Bytes of a run's JSON files; the largest, metrics.json, has some 20 KB.
_MOST_JSON = 16 * files.MEGABYTE


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
        return sizes_of(self.config, len(self.tokenizer))

    @property
    def rounds_csv(self) -> pathlib.Path:
        """A row a round."""
        return self.path / "rounds.csv"

    @property
    def report_html(self) -> pathlib.Path:
        """Curves and figures for a reader, after the final evaluation."""
        return self.path / "report.html"

    def population_record(self) -> dict[str, Any]:
        """Reads `population.json`: file, fingerprint, and of each split the phones and users."""
        path = self.path / "population.json"
        record = hashed.read_json(path, at_most=_MOST_JSON)
        if not isinstance(record, dict) or not set(record) >= _RECORDED:
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

    def save_weights(
        self, weights: model.Weights, round_number: int, kept: int | None = None
    ) -> None:
        """Writes `weights.npz`, the model after a round; `kept`, if it is of an earlier one."""
        rounds = {"round": np.int64(round_number)}
        if self.config.rounds.keep == "best":
            rounds["kept"] = np.int64(round_number if kept is None else kept)
        hashed.write_bytes(self.path / "weights.npz", arrays.dump({**rounds, **weights._asdict()}))

    def weights(self) -> tuple[model.Weights, int]:
        """Reads `weights.npz`: the run's model, and how many rounds the last checkpoint has.

        Raises:
          RunFailure: If no checkpoint was reached, or the file is damaged.
        """
        read = self._read_weights()
        return model.Weights(*(read[name] for name in model.Weights._fields)), int(read["round"])

    def kept_round(self) -> int:
        """Returns the round that the run's model is of; raises as `weights`."""
        read = self._read_weights()
        return int(read.get("kept", read["round"]))

    def initial_weights(self) -> model.Weights:
        """Returns what training begins with: drawn, or another run's (`warm_start`)."""
        if self.config.start is None:
            return model.initial_weights(self.sizes, self.config.seed)
        read = self._read_arrays(INITIAL, (), "begin a new run with another --out")
        return model.Weights(**read)

    def _read_weights(self) -> dict[str, np.ndarray]:
        again = f"fedkeyboard simulate --resume --out {self.path}"
        if not (self.path / "weights.npz").exists():
            raise RunFailure(f"{self.path}: no checkpoint yet; wait, or go on with {again}")
        numbers = ("round", "kept") if self.config.rounds.keep == "best" else ("round",)
        return self._read_arrays("weights.npz", numbers, f"write it again with {again}")

    def _read_arrays(self, name: str, numbers: Sequence[str], remedy: str) -> dict[str, np.ndarray]:
        """Reads a file of a model, with some whole numbers beside it."""
        path = self.path / name
        shapes = model.weight_shapes(self.sizes)._asdict()
        like = {name: np.empty((), np.int64) for name in numbers} | {
            name: np.empty(shape, np.float32) for name, shape in shapes.items()
        }
        content = hashed.read_bytes(path, at_most=arrays.size(like), remedy=remedy)
        try:
            return arrays.load(content, like)
        except ValueError as error:
            raise RunFailure(
                f"{path}: damaged, or not of the model that config.toml describes ({error}); "
                f"{remedy}"
            ) from error

    def save_ngrams(self, ngrams: NGrams) -> None:
        """Writes `ngrams.bin`."""
        hashed.write_bytes(self.path / ngram_model.FILE, ngrams.dump())

    def ngrams(self) -> NGrams | None:
        """Reads `ngrams.bin`; None of a run without n-grams, or before the end of training.

        Raises:
          RunFailure: If it is damaged.
        """
        path = self.path / ngram_model.FILE
        if not self.config.mixes_ngrams or not path.exists():
            return None
        again = f"write it again with fedkeyboard simulate --resume --out {self.path}"
        content = hashed.read_bytes(path, at_most=ngram_model.MOST_BYTES, remedy=again)
        try:
            return ngram_model.load(content, len(self.tokenizer))
        except ValueError as error:
            raise RunFailure(f"{path}: {error}; {again}") from error

    def rounds_of_updates(self) -> list[int]:
        """Returns the rounds in which phones' update files were aggregated."""
        path = self.path / _UPDATES
        return hashed.read_json(path, at_most=_MOST_JSON) if path.exists() else []

    def save_rounds_of_updates(self, rounds: list[int]) -> None:
        """Writes them."""
        hashed.write_text(self.path / _UPDATES, json.dumps(rounds) + "\n")

    def training_record(self) -> dict[str, Any]:
        """Returns how the weights were made, for a package's manifest."""
        return {
            "rounds": self.weights()[1],
            **({"kept_round": self.kept_round()} if self.config.rounds.keep == "best" else {}),
            "rounds_of_updates": self.rounds_of_updates(),
            "settings": self.config.published(),
        }

    def rounds_done(self) -> int:
        """Returns how many rounds the last checkpoint has; 0 if `weights.npz` cannot be read."""
        try:
            return self.weights()[1]
        except UserError:
            return 0

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes `metrics.json`."""
        hashed.write_text(self.path / "metrics.json", json.dumps(metrics, indent=2) + "\n")

    def metrics(self) -> dict[str, Any] | None:
        """Reads `metrics.json`; None before the final evaluation."""
        path = self.path / "metrics.json"
        if not path.exists():
            return None
        again = f"write it again with fedkeyboard simulate --resume --out {self.path}"
        return hashed.read_json(path, at_most=_MOST_JSON, remedy=again)


def sizes_of(config: configs.Config, vocabulary: int) -> model.Sizes:
    """Returns the sizes of an experiment's model over a vocabulary of so many entries."""
    return model.Sizes(vocabulary=vocabulary, **config.model.model_dump())


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


def begin(
    path: files.PathLike,
    config: configs.Config,
    population: Population,
    tokenizer: Tokenizer,
    initial: model.Weights | None = None,
) -> Run:
    """Writes what a run begins with; `config.toml` last, since with it a directory is a run.

    Args:
      path: The directory, held by this process.
      config: The settings.
      population: The phones.
      tokenizer: The vocabulary.
      initial: Of a new run that begins with another one's model, that.
    """
    path = pathlib.Path(path)
    tokenizer.save(path)
    if initial is not None:
        hashed.write_bytes(path / INITIAL, arrays.dump(initial._asdict()))
    record = {
        "file": str(population.path.absolute()),
        "fingerprint": population.fingerprint,
        "phones": {split: len(population.phones(split)) for split in population.splits},
        "users": {split: len(population.users(split)) for split in population.splits},
        "multiplied": population.multiplied,
    }
    hashed.write_text(path / "population.json", json.dumps(record, indent=2) + "\n")
    config.save(path / "config.toml")
    directories.point_latest(path)
    return Run(path, config, tokenizer)


def open_run(path: files.PathLike) -> Run:
    """Opens a run directory.

    Raises:
      UserError: If it is none.
    """
    directories.check_run(path)
    path = pathlib.Path(path)
    config = config_files.load_of_run(path)
    return Run(path.resolve(), config, subwords.load(path, config.tokenizer.kind))
