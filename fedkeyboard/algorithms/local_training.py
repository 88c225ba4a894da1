"""What a phone does in a round: a few epochs of SGD over its own sentences.

ClientUpdate of McMahan et al. 2017 (arXiv 1602.05629, algorithm 1), with each batch's gradient
clipped to a norm; with a proximal term, that of FedProx (Li et al. 2020, arXiv 1812.06127,
algorithm 2). Written in TensorFlow operations, to be traced into TFF's client work.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import tensorflow as tf

from fedkeyboard import batches, model, packed
from fedkeyboard.errors import UserError

# Of rates and norms: what float32 tells from 0 and has, as also
# `fedkeyboard.tflite_export.manifest` says.
LEAST, MOST = 1e-30, tf.float32.max.item()
# What a phone learned counts by its sentences, or as much as anybody's.
Weighting = Literal["sentences", "uniform"]

# TensorFlow counts sentences in int32.
_LARGEST_BATCH = 1_000_000
_MOST_EPOCHS = 1000  # As in an experiment and a manifest; no phone trains for longer.


@dataclasses.dataclass(frozen=True)
class LocalTraining:
    """How a phone trains.

    Attributes:
      learning_rate: Of SGD; a number, or where it follows a schedule a scalar tensor.
      batch_size: Sentences in a batch; the last of an epoch may have fewer.
      epochs: Passes over the phone's sentences, in the order that they are given.
      clipping_norm: Largest L2 norm of a batch's gradient, over all weights together.
      proximal_strength: The mu of FedProx, which adds mu / 2 |w - w_0|^2 to a batch's loss, w_0 the
        weights that the phone began with. Clipping is for what the text asks for, which may
        explode, and leaves this part of the gradient as it is.
      dropout: The rate of `model.Dropout`; what is dropped follows from the sentences and their
        order.
      bfloat16: Whether the large products keep 8 bits of their factors: faster on processors that
        have such products (AVX-512 BF16, AMX), at some cost in accuracy.
    """

    learning_rate: float | tf.Tensor
    batch_size: int = 16
    epochs: int = 1
    clipping_norm: float = 5.0
    proximal_strength: float = 0.0
    dropout: float = 0.0
    bfloat16: bool = False

    def __post_init__(self):
        for name in ("learning_rate", "batch_size", "epochs", "clipping_norm"):
            value = getattr(self, name)
            if not tf.is_symbolic_tensor(value) and not LEAST <= value <= MOST:
                raise UserError(
                    f"{name}: {value} given, must be at least {LEAST:g} and finite in float32"
                )
        for name, most in (("batch_size", _LARGEST_BATCH), ("epochs", _MOST_EPOCHS)):
            if getattr(self, name) > most:
                raise UserError(f"{name}: {getattr(self, name)} given, must be at most {most}")
        if not self.proximal_strength >= 0:
            raise UserError(
                f"proximal_strength: {self.proximal_strength} given, must be at least 0"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout: {self.dropout} given, must be at least 0 and below 1")

    @property
    def precision(self) -> tf.DType:
        """Of the large products."""
        return tf.bfloat16 if self.bfloat16 else tf.float32

    def batches_of(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns how many batches `[n, T + 1]` sentences make."""
        return (tf.shape(rows)[0] + self.batch_size - 1) // self.batch_size

    def batch(self, rows: tf.Tensor, number: tf.Tensor) -> batches.Batch:
        """Returns the sentences' batch of this number, from 0."""
        first = number * self.batch_size
        return batches.pack(rows[first : first + self.batch_size])

    def noise(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns what the seeds of some sentences' dropout begin with, int64."""
        # A phone has no other source: its sentences come drawn and in an order of the round's own.
        numbers = tf.cast(tf.reshape(rows, [-1]), tf.int64)
        places = tf.range(1, tf.size(rows, tf.int64) + 1)
        return tf.reduce_sum(numbers * places * 2_654_435_761)

    def clip(self, norm: tf.Tensor) -> tf.Tensor:
        """Returns the factor that clips a gradient of this norm."""
        return self.clipping_norm / tf.maximum(norm, self.clipping_norm)


class Tally(NamedTuple):
    """What was computed of the batches so far.

    Attributes:
      loss_sum: Cross-entropy summed over the targets, in nats; of a batch, before its own step.
      targets: float32, how many targets that sum is over.
      steps: int32, how many batches.
      finite: bool, whether all gradients had a finite norm; if not, what they led to is of no use.
    """

    loss_sum: tf.Tensor
    targets: tf.Tensor
    steps: tf.Tensor
    finite: tf.Tensor

    @classmethod
    def zero(cls) -> "Tally":
        """Returns that of no batch."""
        return cls(tf.constant(0.0), tf.constant(0.0), tf.constant(0), tf.constant(True))

    def add(self, loss: tf.Tensor, targets: tf.Tensor, finite: tf.Tensor | bool) -> "Tally":
        """Returns that with one batch more, of this mean loss."""
        return Tally(
            loss_sum=self.loss_sum + loss * targets,
            targets=self.targets + targets,
            steps=self.steps + 1,
            finite=tf.logical_and(self.finite, finite),
        )


class Trained(NamedTuple):
    """What local training gives: the weights after the last batch, and what led to them."""

    weights: model.Weights
    tally: Tally


# Takes weights, a batch's gradients and the factor that clips them; returns the next weights.
Step = Callable[[model.Weights, model.Weights, tf.Tensor], model.Weights]


def train(
    initial: model.Weights, rows: tf.Tensor, settings: LocalTraining, step: Step | None = None
) -> Trained:
    """Trains `initial` on int32 `[n, T + 1]` sentences, as `Tokenizer.rows` makes them.

    With n = 0 there is nothing to do and the weights stay as they are.

    Args:
      initial: The weights to begin with.
      rows: The sentences.
      settings: How to train.
      step: Another optimizer than SGD, which does without learning rate and proximal term; it
        gets weights as `model.align` makes them.
    """
    per_epoch = settings.batches_of(rows)
    steps = per_epoch * settings.epochs
    begin = model.align(initial)
    noise = settings.noise(rows)

    def sgd(weights: model.Weights, gradients: model.Weights, clip: tf.Tensor) -> model.Weights:
        rate, strength = settings.learning_rate, settings.proximal_strength
        moved = [w - rate * clip * g for w, g in zip(weights, gradients, strict=True)]
        if strength:
            moved = [
                m - rate * strength * (w - w_0)
                for m, w, w_0 in zip(moved, weights, begin, strict=True)
            ]
        return model.Weights(*moved)

    def train_batch(i: tf.Tensor, trained: Trained) -> tuple[tf.Tensor, Trained]:
        batch = settings.batch(rows, i % per_epoch)
        dropout = None
        if settings.dropout:
            seed = tf.stack([noise, tf.cast(i, tf.int64)])
            dropout = model.Dropout(settings.dropout, seed)
        loss, gradients = packed.loss_and_gradients(
            trained.weights, batch, settings.precision, dropout
        )
        norm = tf.linalg.global_norm(gradients)
        targets = tf.cast(tf.shape(batch.targets)[0], tf.float32)
        return i + 1, Trained(
            weights=(step or sgd)(trained.weights, gradients, settings.clip(norm)),
            tally=trained.tally.add(loss, targets, tf.math.is_finite(norm)),
        )

    _, trained = tf.while_loop(
        lambda i, _: i < steps,
        train_batch,
        (tf.constant(0), Trained(begin, Tally.zero())),
        # One batch after another, as SGD is defined.
        parallel_iterations=1,
    )
    return trained._replace(weights=model.trim(trained.weights, initial.projection.shape[0]))
