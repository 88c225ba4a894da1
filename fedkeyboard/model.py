"""The language model: a CIFG-LSTM with a recurrent projection and tied embeddings.

Gboard's model (Hard et al. 2018, arXiv 1811.03604, section 3; the projection is that of Sak et al.
2014, arXiv 1402.1128). With x the embedding of the current word, h and c the state of the word
before, and input and forget gates coupled:

    f, o, g = split(x W_x + h W_h + b)      c' = s(f) * c + (1 - s(f)) * tanh(g)
    h' = (s(o) * tanh(c')) P                logits = h' E^T + b_o

Everything here is a pure function of a tuple of named weights, written in TensorFlow operations,
and traced by the client work inside TFF, by evaluation and by the exported signatures: what the
simulation trains is what the phone computes.

What trains it is the same equations over packed batches (`packed.py`), and, on a phone, over padded
ones (`padded.py`).
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fedkeyboard import streams
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


def cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Returns the loss at each position, in nats: `[N]` of logits `[N, V]`."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
