"""Federated evaluation as a TFF computation: phones score their own text and send sums.

What a server can know of a model in the field (Wang et al. 2019, arXiv 1910.10252, section 3;
Hard et al. 2018, arXiv 1811.03604, section 5): each phone of a cohort counts hits and
cross-entropy over its own sentences, and only the sums over the cohort arrive.
"""

import collections
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.evaluation import scoring
from fedkeyboard.text.tokenizer import END, PAD, SPECIAL

Rank = Callable[[model.Weights, tf.Tensor], scoring.Ranked]

# Targets that a phone scores at once, unless one message has more; about 50 MB.
_TARGETS = 1280

# What is counted, of `metrics.Counts`.
_SUMS = {
    **dict.fromkeys(("words", "unknown", "top1", "top3", "top5", "predicted"), tf.int64),
    "cross_entropy": tf.float32,
}


def rank_words(weights: model.Weights, rows: tf.Tensor) -> scoring.Ranked:
    """Returns what a model of words says of int32 `[n, L + 1]` messages."""
    words = tf.range(len(SPECIAL), weights.embedding.shape[0])
    judged = scoring.judge_rows(weights, words, rows)
    targets = tf.boolean_mask(rows[:, 1:], tf.not_equal(rows[:, 1:], PAD))
    return scoring.Ranked(
        word=tf.not_equal(targets, END),
        known=targets >= len(SPECIAL),
        rank=tf.reduce_sum(tf.cast(judged.better, tf.int32), axis=1),
        cross_entropy=judged.cross_entropy,
    )


def computation(sizes: model.Sizes, rank: Rank = rank_words) -> tff.Computation:
    """Returns the computation for models of these sizes.

    Args:
      sizes: The model's sizes.
      rank: Says what a model says of messages.

    Returns:
      It takes weights at the server and a list of `templates.phone_data`, and returns
      the sums over the phones at the server: `metrics.Counts`' `words`, `unknown`, `top1`, `top3`,
      `top5`, `predicted` and `cross_entropy` by name.
    """
    weights_type = tff.types.to_type(
        model.Weights(*(tff.TensorType(np.float32, s) for s in model.weight_shapes(sizes)))
    )
    data_type = tff.SequenceType(tff.TensorType(np.int32, [None, None]))

    @tff.tensorflow.computation(weights_type, data_type)
    @tf.function(autograph=False)
    def evaluate(weights, data):
        return count(model.Weights(*weights), data.get_single_element(), rank)

    @tff.federated_computation(
        tff.FederatedType(weights_type, tff.SERVER), tff.FederatedType(data_type, tff.CLIENTS)
    )
    def evaluate_cohort(weights, data):
        return tff.federated_sum(
            tff.federated_map(evaluate, (tff.federated_broadcast(weights), data))
        )

    return evaluate_cohort


def count(
    weights: model.Weights, rows: tf.Tensor, rank: Rank
) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns a phone's sums over int32 `[n, L + 1]` messages; n may be 0.

    They are those of `metrics.count`, in TensorFlow operations.
    """
    lengths = tf.math.count_nonzero(tf.not_equal(rows[:, 1:], PAD), axis=1, dtype=tf.int32)
    ends = tf.cumsum(lengths)

    def add(first: tf.Tensor, sums: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        before = ends[first] - lengths[first]
        fit = tf.searchsorted(ends, [before + _TARGETS], side="right")[0]
        last = tf.maximum(first + 1, fit)
        longest = tf.reduce_max(lengths[first:last])
        counted = _count(rank(weights, rows[first:last, : longest + 1]))
        return last, [a + counted[name] for a, name in zip(sums, _SUMS, strict=True)]

    zeros = [tf.zeros([], dtype) for dtype in _SUMS.values()]
    _, sums = tf.while_loop(
        lambda first, _: first < tf.shape(rows)[0], add, (tf.constant(0), zeros)
    )
    return collections.OrderedDict(zip(_SUMS, sums, strict=True))


def _count(ranked: scoring.Ranked) -> dict[str, tf.Tensor]:
    word, known, rank, cross_entropy = ranked
    numbers = {
        "words": word,
        "unknown": word & ~known,
        **{f"top{k}": known & (rank < k) for k in (1, 3, 5)},
        "predicted": tf.ones_like(word),
    }
    return {
        **{name: tf.math.count_nonzero(chosen) for name, chosen in numbers.items()},
        "cross_entropy": tf.reduce_sum(cross_entropy),
    }
