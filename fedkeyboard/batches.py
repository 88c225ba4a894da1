"""Batches without their padding.

About half of a padded batch of chat text is padding. `pack` sorts a batch's rows by length and puts
the real positions in one list, ordered by time and then by row, so that at time t the rows that
still run are the first `running[t]`, and every large product is one over real positions only.
"""

from typing import NamedTuple

import tensorflow as tf

from fedkeyboard.text.tokenizer import PAD


class Batch(NamedTuple):
    """Sentences without their padding; N real positions, by time and then by row.

    Attributes:
      inputs: int32 `[N]`, the words read.
      targets: int32 `[N]`, the words to predict.
      running: int32 `[T + 1]`, how many rows have a word at time t; the last is 0.
      order: int32 `[B]`, the rows' numbers before they were sorted, longest first.
    """

    inputs: tf.Tensor
    targets: tf.Tensor
    running: tf.Tensor
    order: tf.Tensor


def pack(rows: tf.Tensor) -> Batch:
    """Packs int32 `[B, T + 1]` sentences, begin to padding, as `Tokenizer.rows` makes them.

    T must be known when the graph is traced.
    """
    inputs, targets = rows[:, :-1], rows[:, 1:]
    lengths = tf.math.count_nonzero(tf.not_equal(targets, PAD), axis=1, dtype=tf.int32)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    real = tf.transpose(tf.not_equal(tf.gather(targets, order), PAD))
    running = tf.concat([tf.math.count_nonzero(real, axis=1, dtype=tf.int32), [0]], axis=0)
    return Batch(
        inputs=tf.boolean_mask(tf.transpose(tf.gather(inputs, order)), real),
        targets=tf.boolean_mask(tf.transpose(tf.gather(targets, order)), real),
        running=running,
        order=order,
    )


def unpack(batch: Batch, values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns `values` `[N]` at the places of their targets, `[B, T]`; zero on padding.

    Args:
      batch: `pack(rows)`.
      values: One for each real position.
      rows: The sentences that were packed.
    """
    real = tf.transpose(tf.not_equal(tf.gather(rows[:, 1:], batch.order), PAD))
    sorted_rows = tf.transpose(
        tf.scatter_nd(tf.where(real), values, tf.shape(real, out_type=tf.int64))
    )
    return tf.gather(sorted_rows, tf.math.invert_permutation(batch.order))
