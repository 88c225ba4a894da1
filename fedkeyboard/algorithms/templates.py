"""What the federated algorithms share: a phone's data, its report, and the process around them.

A learning process is composed from TFF's parts (`tff.learning.templates`); ours is the client work,
because TFF's own traces a Keras-like model and differentiates it automatically, batch by batch from
a `tf.data` data set.

A phone's data is a TFF sequence with one element, the int32 `[n, T + 1]` array of its sentences:
the learning templates ask for a sequence, and one element costs the least to hand over.
"""

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.aggregators import mean
from fedkeyboard.algorithms import local_training
from fedkeyboard.algorithms.averaging import averaged
from fedkeyboard.algorithms.local_training import Weighting
from fedkeyboard.algorithms.schedules import Schedule


def phone_data(array: np.ndarray) -> list[np.ndarray]:
    """Returns an array, such as a phone's int32 `[n, T + 1]` sentences, as a process's data."""
    return [array]


def data_type(length: int) -> tff.SequenceType:
    """Returns the type of a phone's data, its sentences of `length` words."""
    return tff.SequenceType(tff.TensorType(np.int32, [None, length + 1]))


def report(
    update: model.Weights, tally: local_training.Tally, rows: tf.Tensor, weighting: Weighting
) -> tuple[tff.learning.templates.ClientResult, collections.OrderedDict[str, tf.Tensor]]:
    """Returns what a phone sends: its update with a weight, and numbers to be summed.

    Of a phone that met a number that is not finite the update is NaN throughout: the aggregator
    decides what becomes of it. Its loss and targets do not count.
    """
    sentences = tf.shape(rows)[0]
    # A phone without sentences has nothing to say, whatever the weighting.
    examples = sentences if weighting == "sentences" else tf.sign(sentences)
    result = tff.learning.templates.ClientResult(
        nan_unless(tally.finite, update), tf.cast(examples, tf.float32)
    )
    return result, collections.OrderedDict(
        loss_sum=tf.where(tally.finite, tally.loss_sum, 0.0),
        targets=tf.where(tally.finite, tally.targets, 0.0),
        sentences=sentences,
        steps=tally.steps,
    )


def nan_unless(finite: tf.Tensor, update: model.Weights) -> model.Weights:
    """Returns the update if it is finite, else NaN throughout, which no aggregator overlooks."""
    return tf.cond(
        finite,
        lambda: update,
        lambda: tf.nest.map_structure(lambda part: tf.fill(tf.shape(part), np.nan), update),
    )


def client_work(
    weights_type: tff.Type,
    length: int,
    weighting: Weighting,
    work: Callable[..., tuple[model.Weights, local_training.Tally]],
    schedule: Schedule | None = None,
) -> tff.learning.templates.ClientWorkProcess:
    """Returns the client work of an algorithm whose phones need the weights alone.

    Args:
      weights_type: The model's.
      length: T, the words of a sentence.
      weighting: How an update counts.
      work: Takes the server's weights, a phone's int32 `[n, T + 1]` sentences and, if there is a
        schedule, the round's learning rate; returns the update.
      schedule: The phones' learning rate.
    """

    def report_of(
        weights: model.Weights, rows: tf.Tensor, *rate: tf.Tensor
    ) -> tuple[tff.learning.templates.ClientResult, collections.OrderedDict[str, tf.Tensor]]:
        update, tally = work(weights, rows, *rate)
        return report(update, tally, rows, weighting)

    return reporting_work(weights_type, data_type(length), report_of, schedule)


def reporting_work(
    weights_type: tff.Type,
    phone_type: tff.SequenceType,
    report_of: Callable[..., tuple[tff.learning.templates.ClientResult, Any]],
    schedule: Schedule | None,
) -> tff.learning.templates.ClientWorkProcess:
    """Returns the client work of phones that report what `report_of` returns.

    Args:
      weights_type: The model's.
      phone_type: Of a phone's data, a sequence with one element.
      report_of: Takes the server's weights, that element and, if there is a schedule, the round's
        learning rate; returns the update with its weight, and numbers to be summed.
      schedule: The phones' learning rate. The server computes it; its state is the rounds done.
    """
    rate_type = () if schedule is None else (np.float32,)

    @tff.tensorflow.computation(tff.to_type((weights_type, phone_type, *rate_type)))
    @tf.function(autograph=False)
    def client_update(argument):
        weights, data, *rate = argument
        return report_of(weights.trainable, data.get_single_element(), *rate)

    @tff.tensorflow.computation
    def initialize():
        return () if schedule is None else tf.constant(0)

    @tff.federated_computation
    def init_fn():
        return tff.federated_eval(initialize, tff.SERVER)

    @tff.federated_computation(
        init_fn.type_signature.result,
        tff.FederatedType(weights_type, tff.CLIENTS),
        tff.FederatedType(phone_type, tff.CLIENTS),
    )
    def next_fn(state, weights, data):
        rate = []
        if schedule is not None:
            rate_of = tff.tensorflow.computation(schedule, np.int32)
            count = tff.tensorflow.computation(lambda done: done + 1, np.int32)
            rate.append(tff.federated_broadcast(tff.federated_map(rate_of, state)))
            state = tff.federated_map(count, state)
        result, sums = tff.federated_map(client_update, (weights, data, *rate))
        return tff.templates.MeasuredProcessOutput(state, result, tff.federated_sum(sums))

    return tff.learning.templates.ClientWorkProcess(init_fn, next_fn)


def compose(
    initial: model.Weights,
    client_work_of: Callable[[tff.Type], tff.learning.templates.ClientWorkProcess],
    optimizer: tff.learning.optimizers.Optimizer,
    aggregator: tff.aggregators.WeightedAggregationFactory | None = None,
    averaging: float | None = None,
) -> tff.learning.templates.LearningProcess:
    """Composes a process.

    Args:
      initial: The weights of the first round, NumPy arrays.
      client_work_of: Returns the client work for weights of a type.
      optimizer: The server's, which takes the aggregated update for a gradient.
      aggregator: Of the updates; default, `aggregators.mean`. Another is to be wrapped by
        `aggregators.rejection.RejectNonFiniteFactory`.
      averaging: The part of the rounds that the model is an average over (`averaging.averaged`).

    Returns:
      A process whose `next` takes a list of `phone_data`, and reports under
      `metrics["client_work"]` the sums over the cohort of `loss_sum`, `targets`, `sentences` and
      `steps`, and under `metrics["aggregator"]` what the aggregator measures: the default one how
      many updates were `rejected`.

    Raises:
      TypeError: If the aggregator is none for values with weights.
    """
    if aggregator is None:
        aggregator = mean.factory()
    if not isinstance(aggregator, tff.aggregators.WeightedAggregationFactory):
        raise TypeError(
            f"aggregator: {aggregator!r} is no tff.aggregators.WeightedAggregationFactory; one "
            "without weights becomes one by tff.aggregators.as_weighted_aggregator"
        )

    @tff.tensorflow.computation
    def initial_model_weights():
        return tff.learning.models.ModelWeights(
            trainable=model.Weights(*map(tf.constant, initial)), non_trainable=()
        )

    weights_type = initial_model_weights.type_signature.result
    return tff.learning.templates.compose_learning_process(
        initial_model_weights,
        tff.learning.templates.build_broadcast_process(weights_type),
        client_work_of(weights_type),
        aggregator.create(weights_type.trainable, tff.TensorType(np.float32)),
        tff.learning.templates.build_apply_optimizer_finalizer(
            averaged(optimizer, averaging), weights_type
        ),
    )
