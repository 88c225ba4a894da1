"""Federated evaluation as a TFF computation: phones score their own text and send sums.

What a server can know of a model in the field (Wang et al. 2019, arXiv 1910.10252, section 3;
Hard et al. 2018, arXiv 1811.03604, section 5): each phone of a cohort counts hits and
cross-entropy over its own sentences, and only the sums over the cohort arrive.
"""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import batches, evaluation, metrics, model
from fedkeyboard.tokenizer import END, SPECIAL, UNKNOWN

# Sentences that a phone scores at once; bounds its memory to about 50 MB.
_ROWS = 64


def computation(sizes: model.Sizes) -> tff.Computation:
    """Returns the computation for models of these sizes.

    Returns:
      It takes weights at the server and a list of `federated_learning.phone_data`, and returns
      the sums over the phones at the server: `metrics.Counts`' `words`, `unknown`, `top1`, `top3`,
      `top5`, `likeliest`, `predicted` and `cross_entropy` by name.
    """
    weights_type = tff.types.to_type(
        model.Weights(*(tff.TensorType(np.float32, s) for s in model.weight_shapes(sizes)))
    )
    data_type = tff.SequenceType(tff.TensorType(np.int32, [None, sizes.length + 1]))

    @tff.tensorflow.computation(weights_type, data_type)
    @tf.function(autograph=False)
    def evaluate(weights, data):
        return count(model.Weights(*weights), data.get_single_element())

    @tff.federated_computation(
        tff.FederatedType(weights_type, tff.SERVER), tff.FederatedType(data_type, tff.CLIENTS)
    )
    def evaluate_cohort(weights, data):
        return tff.federated_sum(
            tff.federated_map(evaluate, (tff.federated_broadcast(weights), data))
        )

    return evaluate_cohort


def count(weights: model.Weights, rows: tf.Tensor) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns a phone's sums over int32 `[n, T + 1]` sentences; n may be 0.

    They are those of `metrics.count`, in TensorFlow operations.
    """

    def add(first: tf.Tensor, sums: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        batch = batches.pack(rows[first : first + _ROWS])
        counted = _count_batch(model.forward(weights, batch), batch.targets)
        return first + _ROWS, [a + b for a, b in zip(sums, counted.values(), strict=True)]

    names = [name for name in metrics.Counts.__dataclass_fields__ if not name.startswith("keys")]
    floats = {"cross_entropy": tf.float32}
    zeros = [tf.zeros([], floats.get(name, tf.int64)) for name in names]
    _, sums = tf.while_loop(
        lambda first, _: first < tf.shape(rows)[0], add, (tf.constant(0), zeros)
    )
    return collections.OrderedDict(zip(names, sums, strict=True))


def _count_batch(logits: tf.Tensor, targets: tf.Tensor) -> dict[str, tf.Tensor]:
    words = tf.range(len(SPECIAL), tf.shape(logits)[1])
    judged = evaluation.judge(logits, targets, words)
    rank = tf.reduce_sum(tf.cast(judged.better, tf.int32), axis=1)
    known = targets >= len(SPECIAL)

    def number(chosen: tf.Tensor) -> tf.Tensor:
        return tf.math.count_nonzero(chosen)

    return {
        "words": number(tf.not_equal(targets, END)),
        "unknown": number(tf.equal(targets, UNKNOWN)),
        **{f"top{k}": number(known & (rank < k)) for k in (1, 3, 5)},
        "likeliest": number(known & judged.likeliest),
        "predicted": tf.size(targets, tf.int64),
        "cross_entropy": tf.reduce_sum(judged.cross_entropy),
    }
