"""The loss and its gradients in operations that a phone's runtime has.

The equations of `packed.loss_and_gradients` over padded rows: LiteRT cannot split an array at
places that only the data tells, so the recurrence goes over all T positions of each row. The output
layer, which is most of the work, still is over the targets that count only.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fedkeyboard import cuts, model
from fedkeyboard.model import State, Weights

# Of a sum over all words.
_PARTS = 8


class _Run(NamedTuple):
    """A forward pass over the B T positions of padded rows, by time and then by row.

    Attributes:
      inputs: int32 `[B T]`, the words read.
      targets: int32 `[N + 1]`, those that count, and one that does not, since LiteRT's products
        refuse arrays without rows.
      share: float32 `[N + 1, 1]`, 1 / N for each that counts, and 0.
      places: int32 `[N + 1]`, where they are.
      embeddings: `[B T, D]`, of the words read.
      read: `[N + 1, D]`, the outputs before these targets.
      steps: By time.
    """

    inputs: tf.Tensor
    targets: tf.Tensor
    share: tf.Tensor
    places: tf.Tensor
    embeddings: tf.Tensor
    read: tf.Tensor
    steps: list[model.Step]


def _run(weights: Weights, rows: tf.Tensor, mask: tf.Tensor) -> _Run:
    inputs, targets, mask = (
        tf.reshape(tf.transpose(values), [-1]) for values in (rows[:, :-1], rows[:, 1:], mask)
    )
    places = tf.cast(tf.squeeze(tf.where(mask > 0), axis=1), tf.int32)
    count = tf.shape(places)
    share = tf.fill(count, tf.math.divide_no_nan(1.0, tf.cast(count[0], tf.float32)))
    share, places = (tf.pad(values, [[0, 1]]) for values in (share, places))
    embeddings = tf.gather(weights.embedding, inputs)
    from_words = tf.matmul(embeddings, weights.input_kernel) + weights.bias
    state = model.initial_state(weights, tf.shape(rows)[0])
    outputs, steps = [], []
    for from_input in tf.split(from_words, rows.shape[1] - 1):
        state, made = model.advance(weights, from_input, state)
        outputs.append(state.output)
        steps.append(made)
    read = tf.gather(tf.concat(outputs, axis=0), places)
    return _Run(
        inputs, tf.gather(targets, places), share[:, tf.newaxis], places, embeddings, read, steps
    )


class Forward(NamedTuple):
    """What a model says at the N targets that count, and at one that does not.

    Attributes:
      logits: `[N + 1, V]`.
      targets: int32 `[N + 1]`.
      counts: bool `[N + 1]`.
      loss: The mean cross-entropy, in nats.
    """

    logits: tf.Tensor
    targets: tf.Tensor
    counts: tf.Tensor
    loss: tf.Tensor


def forward(weights: Weights, rows: tf.Tensor, mask: tf.Tensor) -> Forward:
    """Runs the model; the arguments are those of `loss_and_gradients`."""
    run = _run(weights, rows, mask)
    logits = model.logits(weights, run.read)
    log_probability = _at(tf.nn.log_softmax(logits), run.targets)
    share = tf.squeeze(run.share, axis=1)
    return Forward(logits, run.targets, share > 0, -tf.reduce_sum(share * log_probability))


def _at(values: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Returns of each row of `[N, V]` the value at its target."""
    return tf.gather_nd(values, tf.stack([tf.range(tf.shape(targets)[0]), targets], axis=1))


def _product_over_words(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns the product of `[N, V]` and `[V, D]`, summed up in parts.

    LiteRT adds up one number after the other. Over 10,000 words that rounds off so much that the
    projection, after a step at rate 1.0, would be 1e-6 away from TensorFlow's; so it is 1e-7.
    """
    entries = other.shape[0]
    parts = cuts.lengths(cuts.slices(entries, min(_PARTS, entries)))
    by_part = zip(tf.split(one, parts, axis=1), tf.split(other, parts), strict=True)
    return tf.add_n([tf.matmul(a, b) for a, b in by_part])


def loss_and_gradients(
    weights: Weights, rows: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, Weights]:
    """Returns the mean cross-entropy over the targets that count, in nats, and its gradients.

    Without a target that counts both are 0.

    Args:
      weights: The weights.
      rows: int32 `[B, T + 1]` sentences, begin to padding; T must be known when this is traced.
      mask: float32 `[B, T]`, more than 0 where a target counts; never on padding.
    """
    run = _run(weights, rows, mask)
    probabilities = tf.nn.softmax(model.logits(weights, run.read))
    at_targets = tf.maximum(_at(probabilities, run.targets), np.finfo(np.float32).tiny)
    share = tf.squeeze(run.share, axis=1)
    loss = -tf.reduce_sum(share * tf.math.log(at_targets))

    expected = _product_over_words(probabilities, weights.embedding)
    by_read = run.share * (expected - tf.gather(weights.embedding, run.targets))
    by_outputs = tf.math.unsorted_segment_sum(by_read, run.places, tf.shape(run.inputs)[0])
    recurrent_kernel_transposed = tf.transpose(weights.recurrent_kernel)
    carried = model.initial_state(weights, tf.shape(rows)[0])
    gates, by_projected = [], []
    by_time = tf.split(by_outputs, len(run.steps))
    for by_output, made in zip(by_time[::-1], run.steps[::-1], strict=True):
        gradient = State(by_output + carried.output, carried.cell)
        by_gates, carried = model.advance_gradients(
            weights.projection, recurrent_kernel_transposed, made, gradient
        )
        gates.append(by_gates)
        by_projected.append(gradient.output)
    by_gates = tf.concat(gates[::-1], axis=0)
    previous_outputs = tf.concat([made.previous_output for made in run.steps], axis=0)
    exposed = tf.concat([made.exposed for made in run.steps], axis=0)
    entries = weights.embedding.shape[0]
    scaled = run.share * run.read
    return loss, Weights(
        embedding=tf.matmul(probabilities, scaled, transpose_a=True)
        + tf.math.unsorted_segment_sum(
            tf.concat(
                [tf.matmul(by_gates, weights.input_kernel, transpose_b=True), -scaled], axis=0
            ),
            tf.concat([run.inputs, run.targets], axis=0),
            entries,
        ),
        input_kernel=tf.matmul(run.embeddings, by_gates, transpose_a=True),
        recurrent_kernel=tf.matmul(previous_outputs, by_gates, transpose_a=True),
        bias=tf.reduce_sum(by_gates, axis=0),
        projection=tf.matmul(exposed, tf.concat(by_projected[::-1], axis=0), transpose_a=True),
        output_bias=tf.squeeze(tf.matmul(run.share, probabilities, transpose_a=True), axis=0)
        - tf.math.unsorted_segment_sum(share, run.targets, entries),
    )
