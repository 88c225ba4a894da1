"""What a phone does in a round: a few epochs of SGD over its own sentences.

ClientUpdate of McMahan et al. 2017 (arXiv 1602.05629, algorithm 1), with each batch's gradient
clipped to a norm. Written in TensorFlow operations, to be traced into TFF's client work.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from fedkeyboard import batches, model
from fedkeyboard.errors import UserError


@dataclasses.dataclass(frozen=True)
class LocalTraining:
    """How a phone trains.

    Attributes:
      learning_rate: Of SGD.
      batch_size: Sentences in a batch; the last of an epoch may have fewer.
      epochs: Passes over the phone's sentences, in the order that they are given.
      clipping_norm: Largest L2 norm of a batch's gradient, over all weights together.
      bfloat16: Whether the large products keep 8 bits of their factors: faster on processors that
        have such products (AVX-512 BF16, AMX), at some cost in accuracy.
    """

    learning_rate: float
    batch_size: int = 16
    epochs: int = 1
    clipping_norm: float = 5.0
    bfloat16: bool = False

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if name != "bfloat16" and not value > 0:
                raise UserError(f"{name}: {value} given, must be more than 0")


class Trained(NamedTuple):
    """What local training gives.

    Attributes:
      weights: The weights after the last batch.
      loss_sum: Cross-entropy summed over the targets as they were trained on, in nats; of a batch,
        before its own step.
      targets: float32, how many targets that sum is over.
      steps: int32, how many batches.
      finite: bool, whether all gradients had a finite norm; if not, the weights are of no use.
    """

    weights: model.Weights
    loss_sum: tf.Tensor
    targets: tf.Tensor
    steps: tf.Tensor
    finite: tf.Tensor


def train(initial: model.Weights, rows: tf.Tensor, settings: LocalTraining) -> Trained:
    """Trains `initial` on int32 `[n, T + 1]` sentences, as `Tokenizer.rows` makes them.

    With n = 0 there is nothing to do and the weights stay as they are.
    """
    sentences = tf.shape(rows)[0]
    per_epoch = (sentences + settings.batch_size - 1) // settings.batch_size
    steps = per_epoch * settings.epochs
    precision = tf.bfloat16 if settings.bfloat16 else tf.float32

    def train_batch(i: tf.Tensor, trained: Trained) -> tuple[tf.Tensor, Trained]:
        first = (i % per_epoch) * settings.batch_size
        batch = batches.pack(rows[first : first + settings.batch_size])
        loss, gradients = model.loss_and_gradients(trained.weights, batch, precision)
        norm = tf.linalg.global_norm(gradients)
        clipped = settings.clipping_norm / tf.maximum(norm, settings.clipping_norm)
        targets = tf.cast(tf.shape(batch.targets)[0], tf.float32)
        return i + 1, Trained(
            weights=model.Weights(
                *(
                    w - settings.learning_rate * clipped * g
                    for w, g in zip(trained.weights, gradients, strict=True)
                )
            ),
            loss_sum=trained.loss_sum + loss * targets,
            targets=trained.targets + targets,
            steps=trained.steps + 1,
            finite=tf.logical_and(trained.finite, tf.math.is_finite(norm)),
        )

    begin = Trained(
        weights=model.align(initial),
        loss_sum=tf.constant(0.0),
        targets=tf.constant(0.0),
        steps=tf.constant(0),
        finite=tf.constant(True),
    )
    _, trained = tf.while_loop(
        lambda i, _: i < steps,
        train_batch,
        (tf.constant(0), begin),
        # One batch after another, as SGD is defined.
        parallel_iterations=1,
    )
    return trained._replace(weights=model.trim(trained.weights, initial.projection.shape[0]))
