"""What a phone gains by learning on: fine-tuning on each unseen user's own text.

After Wang et al. 2019 (arXiv 1910.10252): each user's sentences in time order, the first 80% to
train on, the last 20% to test on, before against after. The training is the client work's own
(`fedkeyboard.algorithms.local_training`), run here in TensorFlow.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.algorithms import local_training
from fedkeyboard.evaluation import intervals, metrics, scoring
from fedkeyboard.text.tokenizer import Text

PERSONAL = local_training.LocalTraining(
    learning_rate=0.1, batch_size=16, epochs=3, clipping_norm=1.0
)
"""How a phone learns for its user, chosen on validation users (docs/accuracy.md)."""

_SIGNIFICANT = 0.05


class Compared(NamedTuple):
    """One user's later sentences by the global and by the personal model.

    Attributes:
      before: The global model's counts.
      after: The personal model's.
      lost: Words that only the global model had as its first suggestion.
      won: Words that only the personal model had.
    """

    before: metrics.Counts
    after: metrics.Counts
    lost: int
    won: int

    def significant(self) -> bool:
        """Whether the two differ beyond noise: McNemar's exact test of their first suggestions."""
        differing = self.lost + self.won
        return differing > 0 and scipy.stats.binomtest(self.won, differing).pvalue < _SIGNIFICANT


def personalize(
    weights: model.Weights,
    users: Iterable[Text],
    settings: local_training.LocalTraining,
    scorer: Callable[[model.Weights], scoring.Scorer],
) -> list[Compared | None]:
    """Fine-tunes a model on each user's first sentences and compares on the later ones.

    Args:
      weights: The global model.
      users: Each user's text, in time order.
      settings: How a phone trains.
      scorer: Makes the scorer of some weights.

    Returns:
      Of each user the comparison; None of one with too few sentences (`metrics`).
    """
    unchanged = scorer(weights)
    compared: list[Compared | None] = []
    for text in users:
        cut = metrics.trained_sentences(len(text.words))
        if cut is None:
            compared.append(None)
            continue
        personal = scorer(train(weights, text.part(0, cut).training, settings))
        later = text.part(cut, len(text.words))
        compared.append(compare(later, unchanged.score(later), personal.score(later)))
    return compared


def compare(later: Text, before: metrics.Scores, after: metrics.Scores) -> Compared:
    """Compares what two models say of a user's later sentences."""
    hit_before, hit_after = (metrics.hits(later, scores) for scores in (before, after))
    return Compared(
        metrics.count(later, before),
        metrics.count(later, after),
        lost=int(np.sum(hit_before & ~hit_after)),
        won=int(np.sum(hit_after & ~hit_before)),
    )


def train(
    weights: model.Weights, rows: np.ndarray, settings: local_training.LocalTraining
) -> model.Weights:
    """Returns the weights after local training on int32 `[n, T + 1]` sentences.

    The same weights if it diverged: a phone throws away what is of no use.
    """
    traced = _traced(settings, model.Weights(*(w.shape for w in weights)), rows.shape[1])
    trained = traced(model.Weights(*map(tf.constant, weights)), tf.constant(rows))
    return trained.weights if trained.tally.finite else weights


@functools.cache
def _traced(
    settings: local_training.LocalTraining, shapes: model.Weights, row_length: int
) -> Callable[..., local_training.Trained]:
    """Returns local training, traced once for all numbers of sentences."""
    return tf.function(
        lambda weights, rows: local_training.train(weights, rows, settings),
        input_signature=[
            model.Weights(*map(tf.TensorSpec, shapes)),
            tf.TensorSpec([None, row_length], tf.int32),
        ],
        autograph=False,
    )


def gains(compared: Sequence[Compared | None]) -> dict[str, Any]:
    """Sums up comparisons.

    Returns:
      `{"users", "left_out", "targets", "before", "after", "relative_gain",
      "relative_gain_interval", "users_worse", "users_worse_beyond_noise", "per_user"}`; recalls as
      fractions; `relative_gain` that of top-1 recall (0.05 is 5% more), with its 95% interval over
      users; `users_worse` the share of users whose top-1 recall fell, `..._beyond_noise` of those
      in whom McNemar's exact test finds it at the 5% level; `per_user` the distribution of the
      differences of top-1 recall, after less before.
    """
    users = [user for user in compared if user is not None]
    before, after = (
        sum((getattr(user, name) for user in users), metrics.Counts())
        for name in ("before", "after")
    )
    differences = [
        (user.after.top1 - user.before.top1) / user.before.words
        for user in users
        if user.before.words
    ]
    worse = [user for user in users if user.after.top1 < user.before.top1]
    hits = np.array([(user.before.top1, user.after.top1) for user in users], np.float64)
    shown = ("top1_recall", "top3_recall", "keystroke_savings")
    return {
        "users": len(users),
        "left_out": len(compared) - len(users),
        "targets": before.words,
        "before": {name: before.summary()[name] for name in shown},
        "after": {name: after.summary()[name] for name in shown},
        "relative_gain": after.top1 / before.top1 - 1 if before.top1 else None,
        "relative_gain_interval": intervals.interval(
            hits.reshape(-1, 2), lambda sums: sums[:, 1] / sums[:, 0] - 1
        ),
        "users_worse": len(worse) / len(users) if users else None,
        "users_worse_beyond_noise": (
            sum(user.significant() for user in worse) / len(users) if users else None
        ),
        "per_user": {"top1_recall_gain": metrics.distribution(differences)},
    }
