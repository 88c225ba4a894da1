"""The language model: a CIFG-LSTM with a recurrent projection and tied embeddings.

Gboard's model (Hard et al. 2018, arXiv 1811.03604, section 3; the projection is that of Sak et al.
2014, arXiv 1402.1128). With x the embedding of the current word, h and c the state of the word
before, and input and forget gates coupled:

    f, o, g = split(x W_x + h W_h + b)      c' = s(f) * c + (1 - s(f)) * tanh(g)
    h' = (s(o) * tanh(c')) P                logits = h' E^T + b_o

Everything here is a pure function of a tuple of named weights, written in TensorFlow operations,
and traced by the client work inside TFF, by evaluation and by the exported signatures: what the
simulation trains is what the phone computes.

**Packed batches** (`batches.py`). Every large product (input, output and weight gradients) is one
over real positions only, and what rows share is computed once: the first position of those that
begin alike, and the input product of a word that is read twice. The results are those of the padded
computation, to rounding.

**Backward pass by hand.** `loss_and_gradients` forms each weight's gradient as one product over all
positions, where automatic differentiation adds up one small product a time step.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fedkeyboard import streams
from fedkeyboard.batches import Batch
from fedkeyboard.streams import Stream

# Numbers of four bytes in a cache line.
_ALIGNMENT = 16


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The model's sizes; Gboard's are the defaults (1.4M weights).

    Attributes:
      vocabulary: Entries of the tokenizer, V.
      embedding: Width of the embedding and of the projected state, D.
      units: Width of the cell, H.
      length: Words that a training sentence is cut to, T.
    """

    vocabulary: int
    embedding: int = 96
    units: int = 670
    length: int = 20


class Weights(NamedTuple):
    """The model's weights, float32; also the type of its gradients and updates.

    Attributes:
      embedding: `[V, D]`, of the words read and, transposed, of the words predicted.
      input_kernel: `[D, 3H]`; the gates are forget, output and candidate, in this order.
      recurrent_kernel: `[D, 3H]`.
      bias: `[3H]`.
      projection: `[H, D]`.
      output_bias: `[V]`.
    """

    embedding: tf.Tensor
    input_kernel: tf.Tensor
    recurrent_kernel: tf.Tensor
    bias: tf.Tensor
    projection: tf.Tensor
    output_bias: tf.Tensor


class State(NamedTuple):
    """What the model remembers of the words so far: `output` `[B, D]` and `cell` `[B, H]`."""

    output: tf.Tensor
    cell: tf.Tensor


class Step(NamedTuple):
    """What one time step leaves for the backward pass, each `[n_t, ...]`."""

    previous_output: tf.Tensor
    forget: tf.Tensor
    output_gate: tf.Tensor
    candidate: tf.Tensor
    kept: tf.Tensor  # s(f) * (c - tanh(g))
    tanh_cell: tf.Tensor
    exposed: tf.Tensor  # s(o) * tanh(c'), before the projection


class Dropout(NamedTuple):
    """Noise that keeps a model from learning little text by heart.

    Components of the words read and of the outputs predicted from are set to 0 at random, and the
    others scaled up; the recurrence is left alone (Zaremba et al. 2014, arXiv 1409.2329, section
    3.1). A word is dropped alike wherever a batch reads it.

    Attributes:
      rate: The share that is set to 0.
      seed: int32 or int64 `[2]`; the same one drops the same.
    """

    rate: float
    seed: tf.Tensor

    def mask(self, shape: tf.Tensor, which: int) -> tf.Tensor:
        """Returns 0 or 1 / (1 - rate) at random, float32 of `shape`; each `which` is another."""
        uniform = tf.random.stateless_uniform(shape, self.seed * [1, 2] + [0, which])
        return tf.cast(uniform >= self.rate, tf.float32) / (1.0 - self.rate)


def weight_shapes(sizes: Sizes) -> Weights:
    """Returns the shape of each weight."""
    v, d, h = sizes.vocabulary, sizes.embedding, sizes.units
    return Weights((v, d), (d, 3 * h), (d, 3 * h), (3 * h,), (h, d), (v,))


def initial_weights(sizes: Sizes, seed: int) -> Weights:
    """Draws weights as NumPy arrays: uniform (Glorot) kernels, forget gates that remember.

    The embedding is drawn narrow (standard deviation 0.05), so that the first predictions are
    nearly uniform although it also is the output layer.
    """
    generator = streams.generator(seed, Stream.INITIAL_WEIGHTS)

    def glorot(shape: tuple[int, int], outputs: int) -> np.ndarray:
        limit = np.sqrt(6.0 / (shape[0] + outputs))
        return generator.uniform(-limit, limit, shape).astype(np.float32)

    shapes = weight_shapes(sizes)
    bias = np.zeros(shapes.bias, np.float32)
    bias[: sizes.units] = 1.0
    return Weights(
        embedding=generator.normal(0.0, 0.05, shapes.embedding).astype(np.float32),
        input_kernel=glorot(shapes.input_kernel, sizes.units),
        recurrent_kernel=glorot(shapes.recurrent_kernel, sizes.units),
        bias=bias,
        projection=glorot(shapes.projection, sizes.embedding),
        output_bias=np.zeros(shapes.output_bias, np.float32),
    )


def align(weights: Weights) -> Weights:
    """Returns the same model with its cell widened to a multiple of 16 units.

    The units added have weights 0, always output 0, and have gradients 0. A row of a whole number
    of cache lines is what lets TensorFlow split an array by rows without copying it.
    """
    units, more = weights.projection.shape[0], -weights.projection.shape[0] % _ALIGNMENT

    def widen(gates: tf.Tensor) -> tf.Tensor:
        by_gate = tf.reshape(gates, [-1, 3, units])
        wide = tf.pad(by_gate, [[0, 0], [0, 0], [0, more]])
        return tf.reshape(wide, [*gates.shape[:-1], 3 * (units + more)])

    return weights._replace(
        input_kernel=widen(weights.input_kernel),
        recurrent_kernel=widen(weights.recurrent_kernel),
        bias=widen(weights.bias),
        projection=tf.pad(weights.projection, [[0, more], [0, 0]]),
    )


def trim(weights: Weights, units: int) -> Weights:
    """Returns the model that `align` widened, with its first `units` units only."""
    wide = weights.projection.shape[0]

    def narrow(gates: tf.Tensor) -> tf.Tensor:
        by_gate = tf.reshape(gates, [-1, 3, wide])[:, :, :units]
        return tf.reshape(by_gate, [*gates.shape[:-1], 3 * units])

    return weights._replace(
        input_kernel=narrow(weights.input_kernel),
        recurrent_kernel=narrow(weights.recurrent_kernel),
        bias=narrow(weights.bias),
        projection=weights.projection[:units],
    )


def initial_state(weights: Weights, rows: int | tf.Tensor) -> State:
    """Returns the state before the first word of `rows` sentences: zeros."""
    units, embedding = weights.projection.shape
    return State(tf.zeros([rows, embedding]), tf.zeros([rows, units]))


def advance(weights: Weights, from_input: tf.Tensor, previous: State) -> tuple[State, Step]:
    """Takes one time step, from the state before it; `from_input` is `x W_x + b`, `[n, 3H]`."""
    gates = from_input + tf.matmul(previous.output, weights.recurrent_kernel)
    forget, output_gate, candidate = tf.split(gates, 3, axis=1)
    forget, output_gate, candidate = (
        tf.sigmoid(forget),
        tf.sigmoid(output_gate),
        tf.tanh(candidate),
    )
    kept = forget * (previous.cell - candidate)
    cell = kept + candidate
    tanh_cell = tf.tanh(cell)
    exposed = output_gate * tanh_cell
    state = State(tf.matmul(exposed, weights.projection), cell)
    return state, Step(previous.output, forget, output_gate, candidate, kept, tanh_cell, exposed)


def advance_gradients(
    projection: tf.Tensor, recurrent_kernel_transposed: tf.Tensor, step: Step, gradient: State
) -> tuple[tf.Tensor, State]:
    """The backward pass of `advance`.

    Args:
      projection: The weights of that name, `[H, D]`.
      recurrent_kernel_transposed: `[3H, D]`.
      step: What the forward pass left.
      gradient: The loss's gradient by the state after the step.

    Returns:
      The gradient by the gates before their nonlinearities `[n, 3H]`, and by the state before the
      step.
    """
    by_exposed = tf.matmul(gradient.output, projection, transpose_b=True)
    by_cell = gradient.cell + tf.raw_ops.TanhGrad(
        y=step.tanh_cell, dy=by_exposed * step.output_gate
    )
    by_previous_cell = by_cell * step.forget
    by_candidate = by_cell - by_previous_cell
    by_gates = tf.concat(
        [
            by_candidate * step.kept,
            tf.raw_ops.SigmoidGrad(y=step.output_gate, dy=by_exposed * step.tanh_cell),
            tf.raw_ops.TanhGrad(y=step.candidate, dy=by_candidate),
        ],
        axis=1,
    )
    return by_gates, State(tf.matmul(by_gates, recurrent_kernel_transposed), by_previous_cell)


def step(weights: Weights, words: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
    """Reads one word of each sentence: int32 `[B]`; returns the next word's logits `[B, V]`."""
    state = read(weights, words, state)
    return logits(weights, state.output), state


def states(weights: Weights, inputs: tf.Tensor) -> State:
    """Reads whole rows, of any length: int32 `[n, P]`.

    Returns:
      The states after each of their words: `[n, P, D]` and `[n, P, H]`.
    """
    by_time = tf.scan(
        lambda state, words: read(weights, words, state),
        tf.transpose(inputs),
        initial_state(weights, tf.shape(inputs)[0]),
    )
    return State(*(tf.transpose(values, [1, 0, 2]) for values in by_time))


def read(weights: Weights, words: tf.Tensor, state: State) -> State:
    """Reads one word of each sentence: int32 `[B]`."""
    x = tf.gather(weights.embedding, words)
    state, _ = advance(weights, tf.matmul(x, weights.input_kernel) + weights.bias, state)
    return state


def logits(weights: Weights, outputs: tf.Tensor, precision: tf.DType = tf.float32) -> tf.Tensor:
    """Returns the next word's logits `[n, V]` of outputs `[n, D]`."""
    outputs, embedding, bias = (
        tf.cast(values, precision) for values in (outputs, weights.embedding, weights.output_bias)
    )
    # bias_add, unlike +, is fused into the product.
    values = tf.nn.bias_add(tf.matmul(outputs, embedding, transpose_b=True), bias)
    return tf.cast(values, tf.float32)


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
    steps: list[Step]


def _run(
    weights: Weights,
    batch: Batch,
    precision: tf.DType = tf.float32,
    dropout: Dropout | None = None,
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
    state = initial_state(weights, rows[0])
    outputs, steps = [], []
    for t, from_input in enumerate(tf.split(tf.gather(from_words, read), rows, num=rows.shape[0])):
        if t == 1:
            state = State(*(tf.gather(values, places) for values in state))
        state = State(*(values[: rows[t]] for values in state))
        state, made = advance(weights, from_input, state)
        outputs.append(state.output)
        steps.append(made)
    later = tf.range(rows[0], tf.shape(read)[0])
    places = tf.concat([places, later], axis=0)
    outputs = tf.concat(outputs, axis=0)
    if masks is not None:
        outputs *= masks[1]
    return _Run(words, read, places, rows, embeddings, outputs, masks, steps)


def forward(weights: Weights, batch: Batch) -> tf.Tensor:
    """Returns the logits of the word after each real position, `[N, V]`."""
    run = _run(weights, batch)
    return logits(weights, tf.gather(run.outputs, run.places))


def cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Returns the loss at each position, in nats: `[N]` of logits `[N, V]`."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)


def loss_and_gradients(
    weights: Weights,
    batch: Batch,
    precision: tf.DType = tf.float32,
    dropout: Dropout | None = None,
) -> tuple[tf.Tensor, Weights]:
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
    probabilities = tf.nn.softmax(logits(weights, run.outputs, precision))
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
    carried = initial_state(weights, 0)
    gates, by_projected = [], []
    for t in reversed(range(len(run.steps))):
        if t == 0:
            begun = run.places[: tf.shape(carried.output)[0]]
            carried = State(
                *(tf.math.unsorted_segment_sum(values, begun, run.rows[0]) for values in carried)
            )
        # Rows that end at t have no later step that could have sent a gradient back.
        ended = [[0, run.rows[t] - tf.shape(carried.output)[0]], [0, 0]]
        gradient = State(by_outputs[t] + tf.pad(carried.output, ended), tf.pad(carried.cell, ended))
        by_gates, carried = advance_gradients(
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
    return loss, Weights(
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
