"""The upper bound: the same model trained on all text in one place, as nobody should.

Minibatch Adam (Kingma and Ba 2015, arXiv 1412.6980), with weight decay AdamW (Loshchilov and Hutter
2019, arXiv 1711.05101), over all training users' sentences, shuffled each epoch; the rate rises
linearly and then falls to 0 along half a cosine. The loss and its gradients are the client work's
(`fedkeyboard.model`), the optimizer is TFF's, and the clipping is that of a phone's batch, so that
what differs from the federated model is where the text is.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import batches, model, packed, streams
from fedkeyboard.algorithms import schedules
from fedkeyboard.streams import Stream

_WARM_UP = 0.05  # Share of all steps.


@dataclasses.dataclass(frozen=True)
class CentralTraining:
    """How the centralised model trains.

    Attributes:
      learning_rate: Adam's largest.
      batch_size: Sentences in a batch.
      epochs: Passes over all sentences.
      clipping_norm: Largest L2 norm of a batch's gradient.
      dropout: `model.Dropout`'s rate; 0 for none.
      weight_decay: AdamW's.
      bfloat16: As of `local_training.LocalTraining`.
    """

    learning_rate: float = 2e-3
    batch_size: int = 32
    epochs: int = 8
    clipping_norm: float = 1.0
    dropout: float = 0.0
    weight_decay: float = 0.0
    bfloat16: bool = False


class Epoch(NamedTuple):
    """The training after an epoch: what to go on from, and the mean loss of its batches."""

    epoch: int
    weights: model.Weights
    optimizer: Any
    loss: float


def train(begin: Epoch, rows: np.ndarray, settings: CentralTraining, seed: int) -> Iterator[Epoch]:
    """Yields the training after each epoch that is left.

    Args:
      begin: `start`, or an epoch that an earlier call yielded.
      rows: int32 `[n, T + 1]`, all training users' sentences.
      settings: How to train.
      seed: Draws the order of each epoch, and what is dropped.
    """
    steps = -(-len(rows) // settings.batch_size)
    run = _epoch(settings, model.Weights(*(w.shape for w in begin.weights)), rows.shape[1], steps)
    _, weights, optimizer, _ = begin
    for epoch in range(begin.epoch, settings.epochs):
        order = streams.generator(seed, Stream.CENTRAL, epoch).permutation(len(rows))
        weights, optimizer, loss = run(
            weights,
            optimizer,
            tf.constant(rows[order]),
            tf.constant(epoch * steps),
            tf.constant(seed % 2**31, tf.int32),
        )
        yield Epoch(epoch + 1, weights, optimizer, float(loss))


def start(weights: model.Weights) -> Epoch:
    """Returns the training before its first epoch."""
    specs = model.Weights(*(tf.TensorSpec(w.shape) for w in weights))
    optimizer = tf.nest.map_structure(tf.convert_to_tensor, _optimizer().initialize(specs))
    return Epoch(0, model.Weights(*map(tf.constant, weights)), optimizer, np.nan)


def _optimizer() -> tff.learning.optimizers.Optimizer:
    # Rate and decay are part of its state, where each step sets them.
    return tff.learning.optimizers.build_adamw(1.0, epsilon=1e-8, weight_decay=0.0)


@functools.cache
def _epoch(
    settings: CentralTraining, shapes: model.Weights, row_length: int, steps: int
) -> Callable[..., tuple[model.Weights, Any, tf.Tensor]]:
    """Returns an epoch of training, traced: of weights, optimizer, rows, steps done and seed."""
    optimizer = _optimizer()
    precision = tf.bfloat16 if settings.bfloat16 else tf.float32
    total = settings.epochs * steps
    warm_up = max(1, int(_WARM_UP * total))

    # Here it counts steps.
    rate = schedules.schedule(
        settings.learning_rate, warmup_rounds=warm_up, decay_rounds=max(total, warm_up + 1)
    )

    def epoch(
        weights: model.Weights, state: Any, rows: tf.Tensor, before: tf.Tensor, seed: tf.Tensor
    ) -> Any:
        def batch(i: tf.Tensor, weights: model.Weights, state: Any, loss_sum: tf.Tensor) -> Any:
            batch = batches.pack(rows[i * settings.batch_size : (i + 1) * settings.batch_size])
            noise = model.Dropout(settings.dropout, tf.stack([seed, before + i]))
            loss, gradients = packed.loss_and_gradients(
                weights, batch, precision, noise if settings.dropout else None
            )
            clipped, _ = tf.clip_by_global_norm(gradients, settings.clipping_norm)
            now = {"learning_rate": rate(before + i), "weight_decay": settings.weight_decay}
            state = collections.OrderedDict(state, **now)
            state, weights = optimizer.next(state, weights, model.Weights(*clipped))
            return i + 1, weights, state, loss_sum + loss

        _, weights, state, loss_sum = tf.while_loop(
            lambda i, *_: i < steps,
            batch,
            (tf.constant(0), weights, state, tf.constant(0.0)),
            parallel_iterations=1,
        )
        return weights, state, loss_sum / steps

    del shapes, row_length  # They tell traces apart.
    return tf.function(epoch, autograph=False)
