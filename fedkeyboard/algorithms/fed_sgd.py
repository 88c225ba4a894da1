"""Federated SGD as a TFF learning process: one gradient of each phone a round.

FedSGD (McMahan et al. 2017, arXiv 1602.05629, section 2): each phone sends the gradient of its mean
loss over all its sentences at the server's weights, and the server's optimizer takes a step along
their mean. TFF's own (`tff.learning.algorithms.build_fed_sgd`) weights a phone's batches by their
sentences, which is its mean loss only if they all have as many targets.
"""

import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model, packed
from fedkeyboard.algorithms import templates
from fedkeyboard.algorithms.local_training import LocalTraining, Tally, Weighting


def phone_gradient(
    weights: model.Weights, rows: tf.Tensor, settings: LocalTraining
) -> tuple[model.Weights, Tally]:
    """Returns the gradient of the mean loss over all targets of int32 `[n, T + 1]` sentences.

    It is summed up batch by batch, so that memory does not grow with n, and clipped as a whole.
    With n = 0 it is 0.

    Args:
      weights: Where to take it.
      rows: The sentences.
      settings: Batch size, clipping norm and precision count.
    """
    batches = settings.batches_of(rows)
    aligned = model.align(weights)

    def add_batch(
        i: tf.Tensor, total: model.Weights, tally: Tally
    ) -> tuple[tf.Tensor, model.Weights, Tally]:
        batch = settings.batch(rows, i)
        loss, gradients = packed.loss_and_gradients(aligned, batch, settings.precision)
        targets = tf.cast(tf.shape(batch.targets)[0], tf.float32)
        total = model.Weights(*(t + targets * g for t, g in zip(total, gradients, strict=True)))
        return i + 1, total, tally.add(loss, targets, True)

    _, total, tally = tf.while_loop(
        lambda i, *_: i < batches,
        add_batch,
        (tf.constant(0), model.Weights(*map(tf.zeros_like, aligned)), Tally.zero()),
        # Memory for one batch.
        parallel_iterations=1,
    )
    scale = tf.math.reciprocal_no_nan(tally.targets)
    norm = scale * tf.linalg.global_norm(total)
    scale *= settings.clip(norm)
    gradient = model.trim(model.Weights(*(scale * t for t in total)), weights.projection.shape[0])
    return gradient, tally._replace(finite=tf.math.is_finite(norm))


def learning_process(
    initial: model.Weights,
    *,
    length: int,
    training: LocalTraining,
    weighting: Weighting,
    optimizer: tff.learning.optimizers.Optimizer,
    aggregator: tff.aggregators.WeightedAggregationFactory | None = None,
    averaging: float | None = None,
) -> tff.learning.templates.LearningProcess:
    """Composes the process (`templates.compose`).

    Args:
      initial: The weights of the first round, NumPy arrays.
      length: T, the words of a sentence.
      training: Of which `phone_gradient` says what counts.
      weighting: How a phone's gradient counts.
      optimizer: The server's, which takes the aggregated gradient.
      aggregator: Of the gradients; default, `aggregators.mean`.
      averaging: As of `templates.compose`.
    """
    return templates.compose(
        initial,
        lambda weights_type: templates.client_work(
            weights_type,
            length,
            weighting,
            lambda weights, rows: phone_gradient(weights, rows, training),
        ),
        optimizer,
        aggregator,
        averaging,
    )
