"""A learning process whose phones have trained already: they bring their updates.

The server's half of federated averaging for real phones (`fedkeyboard.updates.update_file`):
aggregator, server optimizer and state are those of `fed_avg`, so a round of either goes
on from a round of the other.
"""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.algorithms import templates
from fedkeyboard.algorithms.schedules import Schedule
from fedkeyboard.updates.update_file import Update


def vector(update: Update) -> np.ndarray:
    """Returns an update as the array that is its phone's data: float32, flat, the weight last."""
    flat = [array.ravel() for array in update.difference]
    return np.concatenate([*flat, [update.metadata.weight]]).astype(np.float32)


def learning_process(
    initial: model.Weights,
    *,
    optimizer: tff.learning.optimizers.Optimizer,
    schedule: Schedule | None = None,
    aggregator: tff.aggregators.WeightedAggregationFactory | None = None,
    averaging: float | None = None,
) -> tff.learning.templates.LearningProcess:
    """Composes the process.

    Args:
      initial: The weights of the first round, NumPy arrays.
      optimizer: The server's, which takes the aggregated update for a gradient.
      schedule: The phones' learning rate, as `fed_avg` had it. It is of no use here,
        but counts its rounds in the state.
      aggregator: Of the updates; default, `aggregators.mean`.
      averaging: As of `templates.compose`.

    Returns:
      A process whose `next` takes a list of `templates.phone_data`, of `vector`s.
    """
    sizes = [weight.size for weight in initial]
    phone_type = tff.SequenceType(tff.TensorType(np.float32, [sum(sizes) + 1]))

    def report_of(
        weights: model.Weights, brought: tf.Tensor, *rate: tf.Tensor
    ) -> tuple[tff.learning.templates.ClientResult, collections.OrderedDict[str, tf.Tensor]]:
        del rate
        *parts, weight = tf.split(brought, [*sizes, 1])
        update = model.Weights(
            # What the server takes for a gradient points away from where the phone went.
            *(-tf.reshape(part, w.shape) for part, w in zip(parts, weights, strict=True))
        )
        result = tff.learning.templates.ClientResult(update, tf.squeeze(weight))
        return result, collections.OrderedDict(weight=tf.squeeze(weight))

    return templates.compose(
        initial,
        lambda weights_type: templates.reporting_work(
            weights_type, phone_type, report_of, schedule
        ),
        optimizer,
        aggregator,
        averaging,
    )
