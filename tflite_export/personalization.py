"""What unseen users gain when their phone learns on: `model_train.tflite` itself, through LiteRT.

After Wang et al. 2019 (arXiv 1910.10252), as `fedkeyboard.personalization` does it in TensorFlow:
each user's sentences in time order, the first 80% to train on, the last 20% to test on. Beside it
what a **gate** saves: the phone trains on nine tenths of its part only, and keeps the personal
weights if they do better than the global ones on the tenth that it held back.
"""

import dataclasses
import itertools
import math
import pathlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fedkeyboard import (
    evaluation,
    files,
    keystrokes,
    metrics,
    model,
    personalization,
    update,
)
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.local_training import LocalTraining
from fedkeyboard.personalization import Compared
from fedkeyboard.tokenizer import Text
from tflite_export import memory
from tflite_export.learner import Learner, weights_sha256
from tflite_export.opened import Package

_HELD_BACK = 0.1


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a phone learns on.

    Attributes:
      training: How it trains, as `Learner.fit` does.
      layers: Of `model.Weights`, those that learn; none given, all.
    """

    training: LocalTraining
    layers: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns what was chosen, in the types of JSON."""
        return {
            **{
                name: getattr(self.training, name)
                for name in ("learning_rate", "epochs", "batch_size", "clipping_norm")
            },
            "layers": list(self.layers or model.Weights._fields),
        }


def grid(
    learning_rates: Sequence[float],
    epochs: Sequence[int],
    batch_sizes: Sequence[int],
    layers: Sequence[str],
    clipping_norm: float,
) -> list[Settings]:
    """Returns every combination of some settings.

    Args:
      learning_rates: Of SGD.
      epochs: Passes over the text.
      batch_sizes: Sentences.
      layers: Of each, names of weights with commas between, or `all`.
      clipping_norm: Of all.

    Raises:
      UserError: If one is not possible.
    """
    return [
        Settings(
            LocalTraining(rate, batch_size=batch, epochs=passes, clipping_norm=clipping_norm),
            _layers(names),
        )
        for names, batch, passes, rate in itertools.product(
            layers, batch_sizes, epochs, learning_rates
        )
    ]


def _layers(names: str) -> tuple[str, ...]:
    chosen = () if names == "all" else tuple(names.split(","))
    for name in chosen:
        if name not in model.Weights._fields:
            raise UserError(
                f"layers: {name!r} given, must be among {', '.join(model.Weights._fields)}, or all"
            )
    return chosen


class Phone(NamedTuple):
    """What came of one user's phone.

    Attributes:
      personal: The global model against the personal one; None of a user with too few sentences.
      gated: Against the personal one if the gate kept it, else against the global one.
      kept: Whether the gate kept it.
      seconds: Of training, on one thread.
      megabytes: How far memory rose, at most, while it trained; None if not known. LiteRT keeps
        what batches took, so that only the largest of all users means something.
    """

    personal: Compared | None
    gated: Compared | None = None
    kept: bool = False
    seconds: float = 0.0
    megabytes: float | None = None


def personalize(
    learner: Learner,
    users: Iterable[Text],
    prefixes: keystrokes.Prefixes,
    grid: Sequence[Settings],
) -> list[list[Phone]]:
    """Trains on each user's first sentences and compares on the later ones.

    Args:
      learner: The file; it is left as it was opened.
      users: Each user's text, in time order.
      prefixes: The vocabulary's.
      grid: The settings to try; each begins with the file's own weights.

    Returns:
      For each of the settings, each user's phone.
    """
    scorer = evaluation.LogProbabilitiesScorer(learner.log_probabilities, prefixes)
    outcomes: list[list[Phone]] = [[] for _ in grid]
    for text in users:
        cut = metrics.trained_sentences(len(text.words))
        if cut is None:
            for phones in outcomes:
                phones.append(Phone(None))
            continue
        later = Text(*(values[cut:] for values in text))
        learner.reset()
        before = scorer.score(later)
        for settings, phones in zip(grid, outcomes, strict=True):
            phones.append(_phone(learner, scorer, text.words[:cut], later, before, settings))
    learner.reset()
    return outcomes


def _phone(
    learner: Learner,
    scorer: evaluation.Scorer,
    rows: np.ndarray,
    later: Text,
    before: metrics.Scores,
    settings: Settings,
) -> Phone:
    learner.reset()
    began = time.perf_counter()
    with memory.Growth() as growth:
        learner.fit(rows, settings.training, settings.layers)
    seconds = time.perf_counter() - began
    personal = _compare(learner, scorer, later, before)

    learner.reset()
    training = len(rows) - max(1, round(len(rows) * _HELD_BACK))
    unchanged = learner.evaluate(rows[training:])
    learner.fit(rows[:training], settings.training, settings.layers)
    changed = learner.evaluate(rows[training:])
    # As many hits are decided by the loss. Weights that are no numbers may hit by chance.
    kept = math.isfinite(changed.loss) and (
        (changed.top1_hits, -changed.loss) > (unchanged.top1_hits, -unchanged.loss)
    )
    counts = metrics.count(later, before)
    gated = _compare(learner, scorer, later, before) if kept else Compared(counts, counts, 0, 0)
    return Phone(personal, gated, kept, seconds, growth.megabytes)


def _compare(
    learner: Learner, scorer: evaluation.Scorer, later: Text, before: metrics.Scores
) -> Compared:
    # A phone throws away what has diverged.
    finite = all(np.all(np.isfinite(weight)) for weight in learner.weights())
    after = scorer.score(later) if finite else before
    return personalization.compare(later, before, after)


def report(phones: Sequence[Phone]) -> dict[str, Any]:
    """Sums up.

    Returns:
      The keys of `fedkeyboard.personalization.gains`, of the personal models; `gate`, the same of
      the gated ones, with `kept`, the share of users whose personal weights were kept; and `cost`
      of training: `seconds`, over the users as `metrics.distribution` has them, and `max`; and
      `megabytes`, how far memory rose at most as any of them trained.
    """
    trained = [phone for phone in phones if phone.personal is not None]
    seconds = [phone.seconds for phone in trained]
    grown = [phone.megabytes for phone in trained if phone.megabytes is not None]
    return {
        **personalization.gains([phone.personal for phone in phones]),
        "gate": {
            "kept": sum(phone.kept for phone in trained) / len(trained) if trained else None,
            **personalization.gains([phone.gated for phone in phones]),
        },
        "cost": {
            "seconds": {**metrics.distribution(seconds), "max": max(seconds, default=None)},
            "megabytes": max(grown, default=None),
        },
    }


def learn(
    learner: Learner,
    rows: np.ndarray,
    settings: LocalTraining,
    *,
    purpose: str,
    vocabulary_sha256: str,
    weight: float = 0.0,
) -> update.Update:
    """Trains on int32 `[n, T + 1]` sentences and returns what was learned.

    Args:
      learner: The file; it begins with its own weights, and keeps what it learns.
      rows: The sentences, one at least.
      settings: How.
      purpose: `personal`, or `update`.
      vocabulary_sha256: Of the package's `vocabulary.txt`.
      weight: How it counts, as an `update`.

    Raises:
      RunFailure: If training diverges.
    """
    learner.reset()
    base = learner.weights()
    losses = learner.fit(rows, settings)
    difference = update.subtract(learner.weights(), base)
    if not all(np.all(np.isfinite(array)) for array in (losses, *difference)):
        raise RunFailure("training has diverged: lower the learning rate")
    return update.Update(
        difference,
        update.Metadata(
            purpose=purpose,
            weights_sha256=weights_sha256(base),
            vocabulary_sha256=vocabulary_sha256,
            weight=weight,
            sentences=len(rows),
            steps=len(losses),
            loss=float(np.mean(losses)),
            learning_rate=settings.learning_rate,
            clipping_norm=settings.clipping_norm,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
        ),
    )


def learn_from_file(
    package: Package,
    path: files.PathLike,
    *,
    personal: bool = False,
    learning_rate: float | None = None,
) -> update.Update:
    """Does what a phone does in a round, on a file with a sentence a line.

    Args:
      package: What the phone has; with the settings of the rounds that made it.
      path: The file, UTF-8.
      personal: To learn for its user alone, with `fedkeyboard.personalization.PERSONAL`.
      learning_rate: Instead of that of the settings, which a schedule may have lowered.

    Raises:
      UserError: If the file cannot be read, or has no word in it.
    """
    settings, weighting, at_most = (
        (personalization.PERSONAL, None, None) if personal else _round(package)
    )
    if learning_rate is not None:
        settings = dataclasses.replace(settings, learning_rate=learning_rate)
    try:
        sentences = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error
    rows = package.tokenizer.rows(sentences, package.learner.length)
    if not len(rows):
        raise UserError(f"{path}: has no words to learn from")
    # A simulated phone draws them anew each round.
    rows = rows[:at_most]
    weights = {None: 0.0, "sentences": float(len(rows)), "uniform": 1.0}
    return learn(
        package.learner,
        rows,
        settings,
        purpose="personal" if personal else "update",
        vocabulary_sha256=package.vocabulary_sha256,
        weight=weights[weighting],
    )


def _round(package: Package) -> tuple[LocalTraining, str, int]:
    """Returns how phones train in a package's rounds, how updates count, and of how much text.

    Raises:
      UserError: If they do not send updates, or the manifest does not say how.
    """
    client = package.client()
    if client.algorithm != "fedavg":
        raise UserError(
            f"{package.path}: trained with {client.algorithm}; phones' updates are those of "
            'client.algorithm = "fedavg"'
        )
    training = LocalTraining(
        client.learning_rate,
        batch_size=client.batch_size,
        epochs=client.epochs,
        clipping_norm=client.clipping_norm,
    )
    return training, client.weighting, client.maximum_sentences


def load_personal(
    learner: Learner, path: files.PathLike, *, vocabulary_sha256: str, migrate: bool = False
) -> None:
    """Gives a learner the weights of a personal checkpoint (`update.personal_weights`)."""
    learner.reset()
    base = learner.weights()
    learner.set_weights(
        update.personal_weights(
            path,
            base,
            weights_sha256=weights_sha256(base),
            vocabulary_sha256=vocabulary_sha256,
            migrate=migrate,
        )
    )
