"""What a phone gains by learning on: fine-tuning on each unseen user's own text.

After Wang et al. 2019 (arXiv 1910.10252): each user's sentences in time order, the first 80% to
train on, the last 20% to test on, before against after. The training is the client work's own
(`fedkeyboard.local_training`), run here in TensorFlow.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedkeyboard import evaluation, local_training, metrics, model

TRAINED_SHARE = 0.8
MINIMUM_SENTENCES = 10  # so that at least two are left to test on


def personalize(
    weights: model.Weights,
    users: Iterable[np.ndarray],
    settings: local_training.LocalTraining,
    *,
    on_user: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Fine-tunes a model on each user, and compares.

    Args:
      weights: The global model.
      users: Each user's int32 `[n, T + 1]` sentences in time order; a user with fewer than
        `MINIMUM_SENTENCES` is left out.
      settings: How a phone trains.
      on_user: Called after each user.

    Returns:
      `{"users", "left_out", "targets", "before", "after", "relative_gain", "users_worse",
      "per_user"}`; recalls as fractions, `relative_gain` that of
      top-1 recall (0.05 is 5% more), `users_worse` the share of users whose top-1 recall fell,
      `per_user` the distribution of the differences of top-1 recall, after less before.
    """
    train = _traced(settings)
    unchanged = evaluation.WeightsScorer(weights)
    before, after, left_out = [], [], 0
    for rows in users:
        if len(rows) < MINIMUM_SENTENCES:
            left_out += 1
        else:
            cut = int(len(rows) * TRAINED_SHARE)
            personal = evaluation.WeightsScorer(train(weights, rows[:cut]).weights)
            before.append(metrics.count(rows[cut:], unchanged.score(rows[cut:])))
            after.append(metrics.count(rows[cut:], personal.score(rows[cut:])))
        on_user()
    return {"left_out": left_out, **_compare(before, after)}


def _traced(settings: local_training.LocalTraining) -> Callable[..., local_training.Trained]:
    """Returns local training, traced once for all numbers of sentences."""
    traced: dict[int, Callable[..., local_training.Trained]] = {}

    def train(weights: model.Weights, rows: np.ndarray) -> local_training.Trained:
        if rows.shape[1] not in traced:
            traced[rows.shape[1]] = tf.function(
                lambda weights, rows: local_training.train(weights, rows, settings),
                input_signature=[
                    model.Weights(*(tf.TensorSpec(w.shape) for w in weights)),
                    tf.TensorSpec([None, rows.shape[1]], tf.int32),
                ],
                autograph=False,
            )
        return traced[rows.shape[1]](model.Weights(*map(tf.constant, weights)), tf.constant(rows))

    return train


def _compare(before: Sequence[metrics.Counts], after: Sequence[metrics.Counts]) -> dict[str, Any]:
    without, with_ = (sum(counts, metrics.Counts()).summary() for counts in (before, after))
    gains = [(a.top1 - b.top1) / b.words for a, b in zip(after, before, strict=True) if b.words]
    recalls = ("top1_recall", "top3_recall")
    return {
        "users": len(before),
        "targets": without["targets"],
        "before": {name: without[name] for name in recalls},
        "after": {name: with_[name] for name in recalls},
        "relative_gain": with_["top1_recall"] / without["top1_recall"] - 1
        if without["top1_recall"]
        else None,
        "users_worse": sum(gain < 0 for gain in gains) / len(gains) if gains else None,
        "per_user": {"top1_recall_gain": metrics.distribution(gains)},
    }
