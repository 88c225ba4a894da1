"""Scores users' sentences with a model, user by user.

A model is anything that gives each target's rank and probability: the weights of a model of words,
traced into TensorFlow here; whatever says the log-probabilities of all words, such as an exported
file in LiteRT or an n-gram model; or a model of sub-words (`fedkeyboard.subword_evaluation`).
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from fedkeyboard import batches, keystrokes, metrics, model
from fedkeyboard.tokenizer import PAD, SPECIAL, Text

# Sentences scored at once; bounds memory to a few hundred MB of logits and what follows from them.
_ROWS = 128


class Scorer(Protocol):
    """A model that can be evaluated."""

    def score(self, text: Text) -> metrics.Scores:
        """Scores sentences, one at least."""


class WeightsScorer:
    """Scores with a model's weights, in TensorFlow."""

    def __init__(self, weights: model.Weights, prefixes: keystrokes.Prefixes):
        self._weights = model.Weights(*map(tf.constant, weights))
        self._prefixes = prefixes
        self._order = tf.constant(prefixes.order)

    def score(self, text: Text) -> metrics.Scores:
        """Scores sentences, one at least."""
        shapes = model.Weights(*(w.shape for w in self._weights))
        traced = _traced_forward(shapes, text.words.shape[1])

        def score_part(rows: np.ndarray) -> metrics.Scores:
            order, *judged = traced(self._weights, self._order, tf.constant(rows))
            packed = rows[:, 1:][rows[:, 1:] != PAD][np.argsort(order)]
            scores = _scores(judged, packed, self._prefixes)
            return metrics.Scores(*(values[order] for values in scores))

        return _in_parts(score_part, text.words)


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
        self._order = tf.constant(prefixes.order)

    def score(self, text: Text) -> metrics.Scores:
        """Scores sentences, one at least."""

        def score_part(rows: np.ndarray) -> metrics.Scores:
            targets = rows[:, 1:][rows[:, 1:] != PAD]
            judged = _traced_judge()(self._log_probabilities(rows), targets, self._order)
            return _scores(judged, targets, self._prefixes)

        return _in_parts(score_part, text.words)


class UnigramScorer:
    """Always suggests the most frequent training words; it has no cross-entropy: NaN.

    The vocabulary is in the order of frequency among training users.
    """

    def __init__(self, prefixes: keystrokes.Prefixes):
        words = len(prefixes.order)
        # By its id, after how many letters each word shows.
        self._letters = np.zeros(words + len(SPECIAL), np.int32)
        for first in range(0, words, 1024):
            ids = np.arange(first, min(first + 1024, words), dtype=np.int32) + len(SPECIAL)
            better = prefixes.order[np.newaxis, :] < ids[:, np.newaxis]
            self._letters[ids] = keystrokes.letters_typed(better, ids, prefixes)

    def score(self, text: Text) -> metrics.Scores:
        """Scores sentences."""
        targets = text.words[:, 1:][text.words[:, 1:] != PAD]
        rank = targets - len(SPECIAL)
        return metrics.Scores(
            known=rank >= 0,
            rank=rank,
            likeliest=rank == 0,
            cross_entropy=np.full(targets.shape, np.nan, np.float32),
            letters=self._letters[targets],
        )


class Judged(NamedTuple):
    """What is said of N targets: `metrics.Scores` as tensors, but for the letters.

    Attributes:
      better: bool `[N, W]`, which of some words are suggested before the target: likelier ones, and
        of equally likely ones those before it in the vocabulary.
      likeliest: bool `[N]`, whether the target is the likeliest of all entries.
      cross_entropy: float32 `[N]`, in nats.
    """

    better: tf.Tensor
    likeliest: tf.Tensor
    cross_entropy: tf.Tensor


class Ranked(NamedTuple):
    """What sums over users need of N targets, as tensors.

    Attributes:
      word: bool `[N]`, whether the target is a word, and not the end of a sentence.
      known: bool `[N]`, as of `metrics.Scores`; so are the others.
      rank: int32 `[N]`.
      cross_entropy: float32 `[N]`.
    """

    word: tf.Tensor
    known: tf.Tensor
    rank: tf.Tensor
    cross_entropy: tf.Tensor


def judge(logits: tf.Tensor, targets: tf.Tensor, words: tf.Tensor) -> Judged:
    """Returns what logits `[N, V]` say of targets `[N]`, by comparison with `words` `[W]`.

    By the logits, as the exported file suggests: the softmax may round two of them to one number.
    Nothing is suggested for a target whose logit is no number.
    """
    of_target = tf.gather(logits, targets, batch_dims=1)
    # Columns are picked as rows of the transposed array: whole ones, and not number by number.
    of_words = tf.gather(tf.transpose(logits), words)
    after = tf.logical_and(tf.equal(of_words, of_target), words[:, tf.newaxis] >= targets)
    return Judged(
        # What is not worse: of NaN neither holds.
        better=tf.transpose(tf.logical_not(tf.logical_or(of_words < of_target, after))),
        likeliest=tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), targets),
        # TensorFlow's fused cross-entropy takes three times as long.
        cross_entropy=tf.reduce_logsumexp(logits, axis=1) - of_target,
    )


def _scores(
    judged: Sequence[tf.Tensor], targets: np.ndarray, prefixes: keystrokes.Prefixes
) -> metrics.Scores:
    better, likeliest, cross_entropy = (values.numpy() for values in judged)
    return metrics.Scores(
        known=targets >= len(SPECIAL),
        rank=np.sum(better, axis=1, dtype=np.int32),
        likeliest=likeliest,
        cross_entropy=cross_entropy,
        letters=keystrokes.letters_typed(better, targets, prefixes),
    )


@functools.cache
def _traced_judge() -> Callable[..., Judged]:
    integers = tf.TensorSpec([None], tf.int32)
    signature = [tf.TensorSpec([None, None]), integers, integers]
    return tf.function(judge, input_signature=signature, autograph=False)


@functools.cache
def _traced_forward(shapes: model.Weights, row_length: int) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Returns the model and its judge, traced once for all weights and numbers of rows.

    They give the targets as a packed batch has them, and first where in it each target is, in the
    order of the rows.
    """

    def forward(weights: model.Weights, words: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
        batch = batches.pack(rows)
        numbers = batches.unpack(batch, tf.range(tf.shape(batch.targets)[0]), rows)
        order = tf.boolean_mask(numbers, tf.not_equal(rows[:, 1:], PAD))
        return order, *judge(model.forward(weights, batch), batch.targets, words)

    signature = [
        model.Weights(*map(tf.TensorSpec, shapes)),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, row_length], tf.int32),
    ]
    return tf.function(forward, input_signature=signature, autograph=False)


def _in_parts(score: Callable[[np.ndarray], metrics.Scores], rows: np.ndarray) -> metrics.Scores:
    parts = [score(rows[i : i + _ROWS]) for i in range(0, len(rows), _ROWS)]
    return metrics.Scores(*map(np.concatenate, zip(*parts, strict=True)))


def count_users(
    scorers: Mapping[str, Scorer], users: Iterable[Text]
) -> dict[str, list[metrics.User]]:
    """Returns each model's counts on each user; on one without any sentence, nothing."""
    counted: dict[str, list[metrics.User]] = {name: [] for name in scorers}
    for text in users:
        for name, scorer in scorers.items():
            some = len(text.words) > 0
            counted[name].append(
                metrics.count_user(text, scorer.score(text)) if some else metrics.User()
            )
    return counted
