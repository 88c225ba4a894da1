"""Federated averaging as a TFF learning process.

FedAvg (McMahan et al. 2017, arXiv 1602.05629) in the general form of FedOpt (Reddi et al. 2020,
arXiv 2003.00295, algorithm 1): phones train on their own text and send the difference of their
weights; the server aggregates the differences, by default to their mean, and takes a step of its
own optimizer along it. With `LocalTraining.proximal_strength` it is FedProx (Li et al. 2020, arXiv
1812.06127), which TFF 0.87 has with the wrong sign: its proximal term drives phones away from the
server's weights.
"""

import dataclasses

import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.algorithms import local_training, templates
from fedkeyboard.algorithms.local_training import LocalTraining, Tally, Weighting
from fedkeyboard.algorithms.schedules import Schedule


def learning_process(
    initial: model.Weights,
    *,
    length: int,
    training: LocalTraining,
    weighting: Weighting,
    optimizer: tff.learning.optimizers.Optimizer,
    schedule: Schedule | None = None,
    aggregator: tff.aggregators.WeightedAggregationFactory | None = None,
    averaging: float | None = None,
) -> tff.learning.templates.LearningProcess:
    """Composes the process (`templates.compose`).

    Args:
      initial: The weights of the first round, NumPy arrays.
      length: T, the words of a sentence.
      training: What a phone does.
      weighting: How an update counts.
      optimizer: The server's, which takes the aggregated update for a gradient.
      schedule: The phones' learning rate by the round, instead of `training`'s.
      aggregator: Of the updates; default, `aggregators.mean`.
      averaging: As of `templates.compose`.
    """

    def work(
        weights: model.Weights, rows: tf.Tensor, rate: tf.Tensor | None = None
    ) -> tuple[model.Weights, Tally]:
        settings = training if rate is None else dataclasses.replace(training, learning_rate=rate)
        trained = local_training.train(weights, rows, settings)
        return tf.nest.map_structure(tf.subtract, weights, trained.weights), trained.tally

    return templates.compose(
        initial,
        lambda weights_type: templates.client_work(weights_type, length, weighting, work, schedule),
        optimizer,
        aggregator,
        averaging,
    )
