"""What unseen users gain when their phone learns on: `model_train.tflite` itself, through LiteRT.

After Wang et al. 2019 (arXiv 1910.10252), as `fedkeyboard.evaluation.personalization` does it in
TensorFlow: each user's sentences in time order, the first 80% to train on, the last 20% to test on.
Beside it what a **gate** saves: by cross-validation the phone asks whether learning does its user
good. It trains on two thirds of its part and looks at the other, three times, and keeps the weights
that it learned from all of it only if the three did better than the global ones.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import keystrokes, metrics, personalization, scoring
from fedkeyboard.evaluation.personalization import Compared
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text.tokenizer import PAD, Text
from fedkeyboard.tflite_export.phone import memory
from fedkeyboard.tflite_export.phone.learner import Evaluated, Learner

_FOLDS = 3


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
      gated: The same if the gate kept the personal one, else the global one against itself.
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
    ngrams: NGrams,
    users: Iterable[Text],
    prefixes: keystrokes.Prefixes,
    grid: Sequence[Settings],
) -> list[list[Phone]]:
    """Trains on each user's first sentences and compares on the later ones.

    Args:
      learner: The file; it is left as it was opened.
      ngrams: What is mixed with it, before and after.
      users: Each user's text, in time order.
      prefixes: The vocabulary's.
      grid: The settings to try; each begins with the file's own weights.

    Returns:
      For each of the settings, each user's phone.
    """
    scorer = scoring.LogProbabilitiesScorer(
        lambda rows: ngrams.mixed(learner.log_probabilities(rows), rows), prefixes
    )
    outcomes: list[list[Phone]] = [[] for _ in grid]
    for text in users:
        cut = metrics.trained_sentences(len(text.words))
        if cut is None:
            for phones in outcomes:
                phones.append(Phone(None))
            continue
        user = _user(learner, scorer, text, cut)
        for settings, phones in zip(grid, outcomes, strict=True):
            phones.append(_phone(learner, scorer, user, settings))
    learner.reset()
    return outcomes


class _Fold(NamedTuple):
    """Rows to train on, rows to look at, and what the global model says of these."""

    learned: np.ndarray
    held_back: np.ndarray
    unchanged: Evaluated


class _User(NamedTuple):
    """What is alike for all settings.

    Attributes:
      learned: The rows to train on.
      folds: By which the gate decides: neighbouring messages, each held back once.
      later: The text to test on.
      before: What the global model says of it.
    """

    learned: np.ndarray
    folds: list[_Fold]
    later: Text
    before: metrics.Scores


def _user(learner: Learner, scorer: scoring.Scorer, text: Text, cut: int) -> _User:
    learner.reset()
    ends = np.linspace(0, cut, min(_FOLDS, cut) + 1).astype(int)
    parts = [text.part(*of).training for of in itertools.pairwise(ends)]
    folds = [
        _Fold(np.concatenate(parts[:i] + parts[i + 1 :]), part, learner.evaluate(part))
        for i, part in enumerate(parts)
    ]
    later = text.part(cut, len(text.words))
    return _User(np.concatenate(parts), folds, later, scorer.score(later))


def _phone(learner: Learner, scorer: scoring.Scorer, user: _User, settings: Settings) -> Phone:
    learner.reset()
    began = time.perf_counter()
    with memory.Growth() as growth:
        learner.fit(user.learned, settings.training, settings.layers)
    seconds = time.perf_counter() - began
    personal = _compare(learner, scorer, user)

    changed = []
    for fold in user.folds:
        learner.reset()
        learner.fit(fold.learned, settings.training, settings.layers)
        changed.append(learner.evaluate(fold.held_back))
    kept = _better(user.folds, changed)
    counts = metrics.count(user.later, user.before)
    return Phone(
        personal,
        personal if kept else Compared(counts, counts, 0, 0),
        kept,
        seconds,
        growth.megabytes,
    )


def _better(folds: Sequence[_Fold], changed: Sequence[Evaluated]) -> bool:
    """Whether the gate keeps weights, by what those of the folds say of what was held back."""

    def of_all(said: Iterable[Evaluated]) -> tuple[int, float]:
        said = list(said)
        targets = (np.count_nonzero(fold.held_back[:, 1:] != PAD) for fold in folds)
        loss = sum(of.loss * count for of, count in zip(said, targets, strict=True))
        # As many hits are decided by the loss.
        return sum(of.top1_hits for of in said), -loss

    # Weights that are no numbers may hit by chance.
    finite = all(math.isfinite(of.loss) for of in changed)
    return finite and of_all(changed) > of_all(fold.unchanged for fold in folds)


def _compare(learner: Learner, scorer: scoring.Scorer, user: _User) -> Compared:
    # A phone throws away what has diverged.
    finite = all(np.all(np.isfinite(weight)) for weight in learner.weights())
    after = scorer.score(user.later) if finite else user.before
    return personalization.compare(user.later, user.before, after)


def report(phones: Sequence[Phone]) -> dict[str, Any]:
    """Sums up.

    Returns:
      The keys of `fedkeyboard.evaluation.personalization.gains`, of the personal models; `gate`,
      the same of the gated ones, with `kept`, the share of users whose personal weights were kept;
      and `cost` of training: `seconds`, over the users as `metrics.distribution` has them, and
      `max`; and `megabytes`, how far memory rose at most as any of them trained.
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
