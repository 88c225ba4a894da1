"""The model over a whole batch of sentences, forward and backward.

**Packed batches** (`batches.py`). Every large product (input, output and weight gradients) is one
over real positions only, and what rows share is computed once: the first position of those that
begin alike, and the input product of a word that is read twice. The results are those of the padded
computation (`padded.py`), to rounding.

**Backward pass by hand.** `loss_and_gradients` forms each weight's gradient as one product over all
positions, where automatic differentiation adds up one small product a time step.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.batches import Batch


def _product(
    one: tf.Tensor,
    other: tf.Tensor,
    precision: tf.DType,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
) -> tf.Tensor:
    """A matrix product of float32 with both factors, and the result, rounded to `precision`."""
    product = tf.matmul(
        tf.cast(one, precision),
        tf.cast(other, precision),
        transpose_a=transpose_a,
        transpose_b=transpose_b,
    )
    return tf.cast(product, tf.float32)


class _Run(NamedTuple):
    """A forward pass over a batch's M distinct positions.

    Rows that begin with the same word, as sentences do, are alike at time 0: one stands for all.

    Attributes:
      words: int32 `[U]`, the distinct words read.
      read: int32 `[M]`, which of them at each distinct position.
      places: int32 `[N]`, the distinct position of each real one.
      rows: int32 `[T]`, how many distinct positions there are at each time.
      embeddings: `[U, D]`, of the words, after dropout.
      outputs: `[M, D]`, after dropout.
      masks: Of the embeddings and of the outputs; None without dropout.
      steps: By time.
    """

    words: tf.Tensor
    read: tf.Tensor
    places: tf.Tensor
    rows: tf.Tensor
    embeddings: tf.Tensor
    outputs: tf.Tensor
    masks: tuple[tf.Tensor, tf.Tensor] | None
    steps: list[model.Step]


def _run(
    weights: model.Weights,
    batch: Batch,
    precision: tf.DType = tf.float32,
    dropout: model.Dropout | None = None,
) -> _Run:
    """Runs the recurrence."""
    begun = batch.running[0]
    firsts, places = tf.unique(batch.inputs[:begun])
    rows = tf.concat([tf.shape(firsts), batch.running[1:-1]], axis=0)
    words, read = tf.unique(tf.concat([firsts, batch.inputs[begun:]], axis=0))
    embeddings = tf.gather(weights.embedding, words)
    masks = None
    if dropout is not None:
        positions = [tf.shape(read)[0], tf.shape(embeddings)[1]]
        masks = (dropout.mask(tf.shape(embeddings), 0), dropout.mask(positions, 1))
        embeddings *= masks[0]
    from_words = tf.nn.bias_add(_product(embeddings, weights.input_kernel, precision), weights.bias)
    state = model.initial_state(weights, rows[0])
    outputs, steps = [], []
    for t, from_input in enumerate(tf.split(tf.gather(from_words, read), rows, num=rows.shape[0])):
        if t == 1:
            state = model.State(*(tf.gather(values, places) for values in state))
        state = model.State(*(values[: rows[t]] for values in state))
        state, made = model.advance(weights, from_input, state)
        outputs.append(state.output)
        steps.append(made)
    later = tf.range(rows[0], tf.shape(read)[0])
    places = tf.concat([places, later], axis=0)
    outputs = tf.concat(outputs, axis=0)
    if masks is not None:
        outputs *= masks[1]
    return _Run(words, read, places, rows, embeddings, outputs, masks, steps)


def forward(weights: model.Weights, batch: Batch) -> tf.Tensor:
    """Returns the logits of the word after each real position, `[N, V]`."""
    run = _run(weights, batch)
    return model.logits(weights, tf.gather(run.outputs, run.places))


def loss_and_gradients(
    weights: model.Weights,
    batch: Batch,
    precision: tf.DType = tf.float32,
    dropout: model.Dropout | None = None,
) -> tuple[tf.Tensor, model.Weights]:
    """Returns the mean cross-entropy over the batch's N real targets, in nats, and its gradients.

    Targets are words, the unknown word and the end of the sentence, as in the papers' training
    losses. A target's loss is taken from its probability, at least the smallest normal float32,
    and so is at most 87.3. A batch without a real position has loss 0 and gradients 0.

    Args:
      weights: The weights.
      batch: The sentences.
      precision: That of the products over all positions; with `tf.bfloat16` their factors and
        results keep 8 bits. The recurrence, the softmax and all sums beyond the products are
        float32.
      dropout: Noise, without which both are those of the model as it is used.
    """
    run = _run(weights, batch, precision, dropout)
    targets = tf.shape(batch.targets)[0]
    scale = tf.math.reciprocal_no_nan(tf.cast(targets, tf.float32))
    # TensorFlow's fused cross-entropy takes six times as long as its softmax.
    probabilities = tf.nn.softmax(model.logits(weights, run.outputs, precision))
    at_targets = tf.gather_nd(probabilities, tf.stack([run.places, batch.targets], axis=1))
    loss = -scale * tf.reduce_sum(tf.math.log(tf.maximum(at_targets, np.finfo(np.float32).tiny)))

    # The gradient by the logits, `[M, V]`, is over N: each row's probabilities, as often as there
    # are targets, less these as one-hot rows. The products below take the probabilities as they
    # are; what the ones contribute is a few rows.
    positions = tf.shape(run.read)[0]
    often = (
        scale * tf.math.bincount(run.places, minlength=positions, dtype=tf.float32)[:, tf.newaxis]
    )
    by_outputs = often * _product(probabilities, weights.embedding, precision)
    by_outputs -= scale * tf.math.unsorted_segment_sum(
        tf.gather(weights.embedding, batch.targets), run.places, positions
    )
    if run.masks is not None:
        by_outputs *= run.masks[1]
    by_outputs = tf.split(by_outputs, run.rows, num=len(run.steps))

    # oneDNN takes twice as long for 16 rows by a factor that it must transpose itself. ensure_shape
    # keeps TensorFlow from making one of it again.
    recurrent_kernel_transposed = tf.ensure_shape(
        tf.transpose(weights.recurrent_kernel), weights.recurrent_kernel.shape[::-1]
    )
    carried = model.initial_state(weights, 0)
    gates, by_projected = [], []
    for t in reversed(range(len(run.steps))):
        if t == 0:
            begun = run.places[: tf.shape(carried.output)[0]]
            carried = model.State(
                *(tf.math.unsorted_segment_sum(values, begun, run.rows[0]) for values in carried)
            )
        # Rows that end at t have no later step that could have sent a gradient back.
        ended = [[0, run.rows[t] - tf.shape(carried.output)[0]], [0, 0]]
        gradient = model.State(
            by_outputs[t] + tf.pad(carried.output, ended), tf.pad(carried.cell, ended)
        )
        by_gates, carried = model.advance_gradients(
            weights.projection, recurrent_kernel_transposed, run.steps[t], gradient
        )
        gates.append(by_gates)
        by_projected.append(gradient.output)
    by_gates = tf.concat(gates[::-1], axis=0)
    previous_outputs = tf.concat([made.previous_output for made in run.steps], axis=0)
    exposed = tf.concat([made.exposed for made in run.steps], axis=0)
    by_words = tf.math.unsorted_segment_sum(by_gates, run.read, tf.shape(run.words)[0])
    by_embeddings = _product(by_words, weights.input_kernel, precision, transpose_b=True)
    if run.masks is not None:
        by_embeddings *= run.masks[0]
    return loss, model.Weights(
        embedding=tf.tensor_scatter_nd_add(
            _product(probabilities, often * run.outputs, precision, transpose_a=True),
            tf.concat([run.words, batch.targets], axis=0)[:, tf.newaxis],
            tf.concat([by_embeddings, -scale * tf.gather(run.outputs, run.places)], axis=0),
        ),
        input_kernel=_product(run.embeddings, by_words, precision, transpose_a=True),
        recurrent_kernel=_product(previous_outputs, by_gates, precision, transpose_a=True),
        bias=tf.reduce_sum(by_words, axis=0),
        projection=_product(
            exposed, tf.concat(by_projected[::-1], axis=0), precision, transpose_a=True
        ),
        output_bias=tf.tensor_scatter_nd_add(
            tf.squeeze(tf.matmul(often, probabilities, transpose_a=True), axis=0),
            batch.targets[:, tf.newaxis],
            tf.fill([targets], -scale),
        ),
    )
