"""Scores users' sentences with a model, user by user.

A model is anything that scores rows of sentences: the weights, traced into TensorFlow here, or an
exported file in LiteRT.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from fedkeyboard import batches, metrics, model
from fedkeyboard.tokenizer import SPECIAL

# Sentences scored at once; bounds memory to about 100 MB of logits.
_ROWS = 128


class Scorer(Protocol):
    """A model that can be evaluated."""

    def score(self, rows: np.ndarray) -> metrics.Scores:
        """Scores int32 `[n, T + 1]` sentences, as `Tokenizer.rows` makes them."""


class WeightsScorer:
    """Scores with a model's weights, in TensorFlow."""

    def __init__(self, weights: model.Weights):
        self._weights = model.Weights(*map(tf.constant, weights))

    def score(self, rows: np.ndarray) -> metrics.Scores:
        """Scores int32 `[n, T + 1]` sentences, n at least 1."""
        traced = _traced_score(model.Weights(*(w.shape for w in self._weights)), rows.shape[1])
        parts = [
            [part.numpy() for part in traced(self._weights, tf.constant(rows[i : i + _ROWS]))]
            for i in range(0, len(rows), _ROWS)
        ]
        return metrics.Scores(*map(np.concatenate, zip(*parts, strict=True)))


@functools.cache
def _traced_score(
    shapes: model.Weights, row_length: int
) -> Callable[[model.Weights, tf.Tensor], metrics.Scores]:
    """Returns `_score`, traced once for all weights and numbers of rows of these shapes."""
    signature = [
        model.Weights(*map(tf.TensorSpec, shapes)),
        tf.TensorSpec([None, row_length], tf.int32),
    ]
    return tf.function(_score, input_signature=signature, autograph=False)


def _score(weights: model.Weights, rows: tf.Tensor) -> metrics.Scores:
    batch = batches.pack(rows)
    logits = model.forward(weights, batch)
    words = tf.math.top_k(logits[:, len(SPECIAL) :], metrics.SUGGESTIONS).indices + len(SPECIAL)

    def place(values: tf.Tensor) -> tf.Tensor:
        return batches.unpack(batch, values, rows)

    return metrics.Scores(
        suggested=tf.stack([place(column) for column in tf.unstack(words, axis=1)], axis=2),
        likeliest=place(tf.argmax(logits, axis=1, output_type=tf.int32)),
        cross_entropy=place(model.cross_entropy(logits, batch.targets)),
    )


def evaluate(
    scorer: Scorer,
    users: Iterable[np.ndarray],
    *,
    on_user: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Evaluates a model on users, with the unigram baseline beside it.

    Args:
      scorer: The model.
      users: Each user's int32 `[n, T + 1]` sentences; a user without any counts as a user only.
      on_user: Called after each user.

    Returns:
      `metrics.report`, without the name of the split.
    """
    counts, unigram = [], []
    for rows in users:
        if len(rows):
            counts.append(metrics.count(rows, scorer.score(rows)))
            unigram.append(metrics.count(rows, metrics.unigram_scores(rows)))
        else:
            counts.append(metrics.Counts())
            unigram.append(metrics.Counts())
        on_user()
    return metrics.report(counts, {"unigram": unigram})
