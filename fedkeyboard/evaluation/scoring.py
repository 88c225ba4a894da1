"""Scores users' sentences with a model, user by user.

A model is anything that gives each target's rank and probability: the weights of a model of words,
traced into TensorFlow here; whatever says the log-probabilities of all words, such as an exported
file in LiteRT or an n-gram model; or a model of sub-words
(`fedkeyboard.evaluation.subword_scoring`).
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.evaluation import keystrokes, metrics
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text.tokenizer import PAD, SPECIAL, Text

# Targets scored at once, of messages about as long as each other; bounds memory to a few hundred MB
# of logits and what follows from them.
_TARGETS = 2560


class Scorer(Protocol):
    """A model that can be evaluated."""

    def score(self, text: Text) -> metrics.Scores:
        """Scores sentences, one at least."""


class WeightsScorer:
    """Scores with a model's weights, in TensorFlow; if there are n-grams, with these."""

    def __init__(
        self,
        weights: model.Weights,
        prefixes: keystrokes.Prefixes,
        ngrams: NGrams | None = None,
    ):
        self._weights = model.Weights(*map(tf.constant, weights))
        self._prefixes = prefixes
        self._order = tf.constant(prefixes.order)
        self._ngrams = ngrams

    def score(self, text: Text) -> metrics.Scores:
        """Scores sentences, one at least."""
        shapes = model.Weights(*(w.shape for w in self._weights))
        ngrams = self._ngrams
        traced = _traced_judged_rows(shapes) if ngrams is None else _traced_mixed_rows(shapes)

        def score_part(chosen: np.ndarray) -> metrics.Scores:
            rows = trimmed(text.words[chosen])
            more = () if ngrams is None else (Mixture.of(ngrams, rows),)
            judged = traced(self._weights, self._order, tf.constant(rows), *more)
            return _scores(judged, rows[:, 1:][rows[:, 1:] != PAD], self._prefixes)

        return in_parts(score_part, text.words, _TARGETS)


class LogProbabilitiesScorer:
    """Scores with a function that says the log-probability of every entry at every target."""

    def __init__(
        self,
        log_probabilities: Callable[[np.ndarray], np.ndarray],
        prefixes: keystrokes.Prefixes,
    ):
        """Takes the function.

        Args:
          log_probabilities: Of int32 `[n, L + 1]` messages it returns float32 `[N, V]`, of their
            targets in the order of the rows.
          prefixes: The vocabulary's.
        """
        self._log_probabilities = log_probabilities
        self._prefixes = prefixes
        self._order = tf.constant(prefixes.order)

    def score(self, text: Text) -> metrics.Scores:
        """Scores sentences, one at least."""

        def score_part(chosen: np.ndarray) -> metrics.Scores:
            rows = trimmed(text.words[chosen])
            targets = rows[:, 1:][rows[:, 1:] != PAD]
            judged = _traced_judge()(self._log_probabilities(rows), targets, self._order)
            return _scores(judged, targets, self._prefixes)

        return in_parts(score_part, text.words, _TARGETS)


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


class Mixture(NamedTuple):
    """What n-grams make of N targets (`fedkeyboard.ngrams.model.Additions`), as tensors.

    Attributes:
      kept: float32 `[N]`.
      places: int64 `[M, 2]`, target and word.
      probabilities: float32 `[M]`.
    """

    kept: tf.Tensor
    places: tf.Tensor
    probabilities: tf.Tensor

    @classmethod
    def of(cls, ngrams: NGrams, rows: np.ndarray) -> "Mixture":
        """Returns what n-grams make of the targets of int32 `[n, L + 1]` rows."""
        said = ngrams.additions(rows)
        return cls(
            tf.constant(said.kept, tf.float32),
            tf.constant(np.stack([said.targets, said.words.astype(np.int64)], axis=1)),
            tf.constant(said.probabilities, tf.float32),
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


def judge_rows(weights: model.Weights, words: tf.Tensor, rows: tf.Tensor) -> Judged:
    """Returns what a model says of the targets of int32 `[n, L + 1]` rows, in their order.

    The state goes from word to word through the whole row, as it does on a phone.
    """
    real = tf.not_equal(rows[:, 1:], PAD)
    outputs = tf.boolean_mask(model.states(weights, rows[:, :-1]).output, real)
    return judge(model.logits(weights, outputs), tf.boolean_mask(rows[:, 1:], real), words)


def judge_mixed_rows(
    weights: model.Weights, words: tf.Tensor, rows: tf.Tensor, mixture: Mixture
) -> Judged:
    """Returns what `judge_rows` does, of a model and n-grams.

    By the probabilities, as a phone suggests that mixes them.
    """
    real = tf.not_equal(rows[:, 1:], PAD)
    outputs = tf.boolean_mask(model.states(weights, rows[:, :-1]).output, real)
    said = tf.nn.softmax(model.logits(weights, outputs)) * mixture.kept[:, tf.newaxis]
    mixed = tf.tensor_scatter_nd_add(said, mixture.places, mixture.probabilities)
    targets = tf.boolean_mask(rows[:, 1:], real)
    of_target = tf.gather(mixed, targets, batch_dims=1)
    # What float32 has no number for has still not an infinite one.
    cross_entropy = -tf.math.log(tf.maximum(of_target, np.finfo(np.float32).tiny))
    return judge(mixed, targets, words)._replace(cross_entropy=cross_entropy)


def log_likelihoods(weights: model.Weights, rows: np.ndarray) -> np.ndarray:
    """Returns the log-probability of each of the N targets of int32 `[n, L + 1]` messages, in nats.

    float32 `[N]`, in the order of the rows; quicker than all that a scorer says.
    """
    traced = _traced_log_likelihoods(model.Weights(*(w.shape for w in weights)))
    said = [np.empty(0, np.float32)]
    at_once = max(1, _TARGETS // max(rows.shape[1] - 1, 1))
    for first in range(0, len(rows), at_once):
        said.append(traced(weights, tf.constant(rows[first : first + at_once])).numpy())
    return np.concatenate(said)


@functools.cache
def _traced_log_likelihoods(shapes: model.Weights) -> Callable[..., tf.Tensor]:
    def of_rows(weights: model.Weights, rows: tf.Tensor) -> tf.Tensor:
        real = tf.not_equal(rows[:, 1:], PAD)
        outputs = tf.boolean_mask(model.states(weights, rows[:, :-1]).output, real)
        logits, targets = model.logits(weights, outputs), tf.boolean_mask(rows[:, 1:], real)
        return tf.gather(logits, targets, batch_dims=1) - tf.reduce_logsumexp(logits, axis=1)

    signature = [
        model.Weights(*map(tf.TensorSpec, shapes)),
        tf.TensorSpec([None, None], tf.int32),
    ]
    return tf.function(of_rows, input_signature=signature, autograph=False)


@functools.cache
def _traced_mixed_rows(shapes: model.Weights) -> Callable[..., Judged]:
    """Returns `judge_mixed_rows`, traced once for all weights and rows."""
    signature = [
        model.Weights(*map(tf.TensorSpec, shapes)),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, None], tf.int32),
        Mixture(tf.TensorSpec([None]), tf.TensorSpec([None, 2], tf.int64), tf.TensorSpec([None])),
    ]
    return tf.function(judge_mixed_rows, input_signature=signature, autograph=False)


@functools.cache
def _traced_judged_rows(shapes: model.Weights) -> Callable[..., Judged]:
    """Returns `judge_rows`, traced once for all weights, numbers of rows and their lengths."""
    signature = [
        model.Weights(*map(tf.TensorSpec, shapes)),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, None], tf.int32),
    ]
    return tf.function(judge_rows, input_signature=signature, autograph=False)


def trimmed(rows: np.ndarray) -> np.ndarray:
    """Returns rows without the columns in which all have padding."""
    return rows[:, : 1 + np.max(np.count_nonzero(rows[:, 1:] != PAD, axis=1))]


def in_parts(
    score: Callable[[np.ndarray], metrics.Scores], rows: np.ndarray, at_most: int
) -> metrics.Scores:
    """Scores rows, those of about the same length together.

    Args:
      score: Takes the numbers of some rows; returns the scores of their targets, in their order.
      rows: int32 `[n, L + 1]`, one row at least.
      at_most: How many targets are scored at once, unless one row has more.

    Returns:
      The scores of all targets, in the order of the rows.
    """
    lengths = np.count_nonzero(rows[:, 1:] != PAD, axis=1)
    ends = np.cumsum(lengths)
    order = np.argsort(lengths, kind="stable")
    scored, places, first = [], [], 0
    while first < len(order):
        # The longest comes last: so many of its length fit.
        fits = np.arange(1, len(order) - first + 1) * lengths[order[first:]] <= at_most
        last = first + max(1, int(np.count_nonzero(fits)))
        chosen = order[first:last]
        scored.append(score(chosen))
        places += [np.arange(ends[i] - lengths[i], ends[i]) for i in chosen]
        first = last
    to = np.argsort(np.concatenate(places))
    return metrics.Scores(
        *(
            None if parts[0] is None else np.concatenate(parts)[to]
            for parts in zip(*scored, strict=True)
        )
    )


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
