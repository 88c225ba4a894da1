"""Scores users' sentences with a model, user by user.

A model is anything that gives each target's rank and probability: the weights, traced into
TensorFlow here, or whatever says the log-probabilities of all words, such as an exported file in
LiteRT or an n-gram model.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from fedkeyboard import batches, keystrokes, metrics, model
from fedkeyboard.tokenizer import PAD, SPECIAL, Text

# Sentences scored at once; bounds memory to a few hundred MB of logits and what follows from them.
_ROWS = 128


class Scorer(Protocol):
    """A model that can be evaluated."""

    def score(self, rows: np.ndarray) -> metrics.Scores:
        """Scores int32 `[n, T + 1]` sentences, n at least 1, as `Tokenizer.rows` makes them."""


class WeightsScorer:
    """Scores with a model's weights, in TensorFlow."""

    def __init__(self, weights: model.Weights, prefixes: keystrokes.Prefixes):
        self._weights = model.Weights(*map(tf.constant, weights))
        self._prefixes = prefixes

    def score(self, rows: np.ndarray) -> metrics.Scores:
        """Scores int32 `[n, T + 1]` sentences, n at least 1."""
        traced = _traced_score(model.Weights(*(w.shape for w in self._weights)), rows.shape[1])
        return _in_parts(lambda part: traced(self._weights, self._prefixes, part), rows)


class LogProbabilitiesScorer:
    """Scores with a function that says the log-probability of every entry at every target."""

    def __init__(
        self,
        log_probabilities: Callable[[np.ndarray], np.ndarray],
        prefixes: keystrokes.Prefixes,
    ):
        """Takes the function.

        Args:
          log_probabilities: Of int32 `[n, T + 1]` sentences it returns float32 `[N, V]`, of their
            targets in the order of the rows.
          prefixes: The vocabulary's.
        """
        self._log_probabilities = log_probabilities
        self._prefixes = prefixes

    def score(self, rows: np.ndarray) -> metrics.Scores:
        """Scores int32 `[n, T + 1]` sentences, n at least 1."""

        def score_part(rows: np.ndarray) -> metrics.Scores:
            targets = rows[:, 1:][rows[:, 1:] != PAD]
            return _traced_judge()(self._log_probabilities(rows), targets, self._prefixes)

        return _in_parts(score_part, rows)


class UnigramScorer:
    """Always suggests the most frequent training words; it has no cross-entropy: NaN.

    The vocabulary is in the order of frequency among training users.
    """

    def __init__(self, prefixes: keystrokes.Prefixes):
        words = len(prefixes.order)
        # By its id, after how many letters each word shows.
        self._letters = np.zeros(words + len(SPECIAL), np.int32)
        order = prefixes.order.numpy()
        for first in range(0, words, 1024):
            ids = np.arange(first, min(first + 1024, words), dtype=np.int32) + len(SPECIAL)
            better = order[np.newaxis, :] < ids[:, np.newaxis]
            self._letters[ids] = keystrokes.letters_typed(better, ids, prefixes).numpy()

    def score(self, rows: np.ndarray) -> metrics.Scores:
        """Scores int32 `[n, T + 1]` sentences."""
        targets = rows[:, 1:][rows[:, 1:] != PAD]
        rank = targets - len(SPECIAL)
        return metrics.Scores(
            rank, rank == 0, np.full(targets.shape, np.nan, np.float32), self._letters[targets]
        )


class Judged(NamedTuple):
    """`metrics.Scores` as tensors, but for the letters."""

    rank: tf.Tensor
    likeliest: tf.Tensor
    cross_entropy: tf.Tensor


def judge(logits: tf.Tensor, targets: tf.Tensor) -> Judged:
    """Returns what logits `[N, V]` say of targets `[N]`.

    By the logits, as the exported file suggests: the softmax may round two of them to one number.
    """
    words = tf.range(len(SPECIAL), tf.shape(logits)[1])
    better = _better(logits[:, len(SPECIAL) :], words, logits, targets)
    return Judged(
        rank=tf.math.count_nonzero(better, axis=1, dtype=tf.int32),
        likeliest=tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), targets),
        cross_entropy=model.cross_entropy(logits, targets),
    )


def _better(
    of_words: tf.Tensor, words: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
    """Returns which words are suggested before the target, of equal ones the first: `[N, W]`.

    Args:
      of_words: The logits `[N, W]` of `words` `[W]`.
      words: Ids.
      logits: All of them, `[N, V]`.
      targets: int32 `[N]`.
    """
    of_target = tf.gather(logits, targets, batch_dims=1)[:, tf.newaxis]
    first = tf.logical_and(
        tf.equal(of_words, of_target), words[tf.newaxis, :] < targets[:, tf.newaxis]
    )
    return tf.logical_or(of_words > of_target, first)


def _score(logits: tf.Tensor, targets: tf.Tensor, prefixes: keystrokes.Prefixes) -> metrics.Scores:
    better = _better(tf.gather(logits, prefixes.order, axis=1), prefixes.order, logits, targets)
    letters = keystrokes.letters_typed(better, targets, prefixes)
    return metrics.Scores(*judge(logits, targets), letters)


def _prefixes_spec() -> keystrokes.Prefixes:
    table = tf.TensorSpec([None, None], tf.int32)
    return keystrokes.Prefixes(tf.TensorSpec([None], tf.int32), table, table)


@functools.cache
def _traced_judge() -> Callable[..., metrics.Scores]:
    signature = [tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32), _prefixes_spec()]
    return tf.function(_score, input_signature=signature, autograph=False)


@functools.cache
def _traced_score(shapes: model.Weights, row_length: int) -> Callable[..., metrics.Scores]:
    """Returns the scoring by weights, traced once for all weights and numbers of rows."""

    def score(
        weights: model.Weights, prefixes: keystrokes.Prefixes, rows: tf.Tensor
    ) -> metrics.Scores:
        batch = batches.pack(rows)
        scores = _score(model.forward(weights, batch), batch.targets, prefixes)
        real = tf.not_equal(rows[:, 1:], PAD)
        return metrics.Scores(
            *(tf.boolean_mask(batches.unpack(batch, values, rows), real) for values in scores)
        )

    signature = [
        model.Weights(*map(tf.TensorSpec, shapes)),
        _prefixes_spec(),
        tf.TensorSpec([None, row_length], tf.int32),
    ]
    return tf.function(score, input_signature=signature, autograph=False)


def _in_parts(score: Callable[[np.ndarray], metrics.Scores], rows: np.ndarray) -> metrics.Scores:
    parts = [
        [np.asarray(values) for values in score(rows[i : i + _ROWS])]
        for i in range(0, len(rows), _ROWS)
    ]
    return metrics.Scores(*map(np.concatenate, zip(*parts, strict=True)))


def count_users(
    scorers: Mapping[str, Scorer], users: Iterable[Text]
) -> dict[str, list[metrics.User]]:
    """Returns each model's counts on each user; on one without any sentence, nothing."""
    counted: dict[str, list[metrics.User]] = {name: [] for name in scorers}
    for text in users:
        for name, scorer in scorers.items():
            some = len(text.rows) > 0
            counted[name].append(
                metrics.count_user(text, scorer.score(text.rows)) if some else metrics.User()
            )
    return counted
