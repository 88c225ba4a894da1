"""Mime-lite as a TFF learning process: the server's optimizer takes its steps on the phones.

MimeLite (Karimireddy et al. 2020, arXiv 2008.03606, algorithm 1 with the options of MimeLite): a
phone trains with a base optimizer, SGD or with momentum or adaptive, whose state the server sends
and no local step changes. Phones send their weights' differences, of which the server takes the
mean as it is, and the gradient of their mean loss at the server's weights, whose mean advances the
optimizer's state. With SGD, which has no state, it is FedAvg with a server rate of 1.

TFF's own (`tff.learning.algorithms.build_weighted_mime_lite`) weights the batches of that gradient
by their sentences, and its client work is for a Keras-like model and `tf.data`.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.aggregators import mean
from fedkeyboard.algorithms import local_training, templates
from fedkeyboard.algorithms.fed_sgd import phone_gradient
from fedkeyboard.algorithms.local_training import LocalTraining, Weighting


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
      training: What a phone does; it has no use for the learning rate. The gradients are clipped
        before the optimizer gets them, a batch's and the whole phone's.
      weighting: How a phone's difference and gradient count.
      optimizer: The base optimizer, with the rate of a local step. Its schedule counts rounds.
      aggregator: Of the differences, and of the gradients; default, `aggregators.mean`.
      averaging: As of `templates.compose`.
    """
    if aggregator is None:
        aggregator = mean.factory()
    return templates.compose(
        initial,
        lambda weights_type: _client_work(
            weights_type, length, training, weighting, optimizer, aggregator
        ),
        tff.learning.optimizers.build_sgdm(1.0),
        aggregator,
        averaging,
    )


def _client_work(
    weights_type: tff.Type,
    length: int,
    training: LocalTraining,
    weighting: Weighting,
    optimizer: tff.learning.optimizers.Optimizer,
    aggregator: tff.aggregators.WeightedAggregationFactory,
) -> tff.learning.templates.ClientWorkProcess:
    """Returns the client work; its state is the optimizer's and the gradients' aggregator's."""
    data_type = templates.data_type(length)
    gradients = aggregator.create(weights_type.trainable, tff.TensorType(np.float32))

    @tff.tensorflow.computation
    def initialize():
        shapes = tff.types.type_to_tf_tensor_specs(weights_type.trainable)
        return optimizer.initialize(shapes)

    optimizer_type = initialize.type_signature.result

    @tff.tensorflow.computation(weights_type, data_type, optimizer_type)
    @tf.function(autograph=False)
    def client_update(weights, data, state):
        rows = data.get_single_element()
        gradient, tally = phone_gradient(weights.trainable, rows, training)
        aligned = _align(state)

        def step(
            weights: model.Weights, gradients: model.Weights, clip: tf.Tensor
        ) -> model.Weights:
            clipped = model.Weights(*(clip * g for g in gradients))
            return optimizer.next(aligned, weights, clipped)[1]

        trained = local_training.train(weights.trainable, rows, training, step)
        finite = tf.logical_and(tally.finite, trained.tally.finite)
        result, sums = templates.report(
            tf.nest.map_structure(tf.subtract, weights.trainable, trained.weights),
            trained.tally._replace(finite=finite),
            rows,
            weighting,
        )
        return result, templates.nan_unless(finite, gradient), sums

    @tff.tensorflow.computation(optimizer_type, weights_type.trainable)
    @tf.function(autograph=False)
    def advance(state, gradient):
        # Where its step leads to is of no interest, and so is where it begins.
        return optimizer.next(state, tf.nest.map_structure(tf.zeros_like, gradient), gradient)[0]

    @tff.federated_computation
    def init_fn():
        return tff.federated_zip(
            (tff.federated_eval(initialize, tff.SERVER), gradients.initialize())
        )

    @tff.federated_computation(
        init_fn.type_signature.result,
        tff.FederatedType(weights_type, tff.CLIENTS),
        tff.FederatedType(data_type, tff.CLIENTS),
    )
    def next_fn(state, weights, data):
        optimizer_state, aggregator_state = state
        result, of_phones, sums = tff.federated_map(
            client_update, (weights, data, tff.federated_broadcast(optimizer_state))
        )
        gradient = gradients.next(aggregator_state, of_phones, result.update_weight)
        optimizer_state = tff.federated_map(advance, (optimizer_state, gradient.result))
        return tff.templates.MeasuredProcessOutput(
            tff.federated_zip((optimizer_state, gradient.state)), result, tff.federated_sum(sums)
        )

    return tff.learning.templates.ClientWorkProcess(init_fn, next_fn)


def _align(state: Any) -> Any:
    """Widens what an optimizer's state has of the weights' shapes, as `model.align` does these.

    What is added is 0; so is its gradient, and no optimizer moves it.
    """
    if isinstance(state, model.Weights):
        return model.align(state)
    if isinstance(state, dict):
        return type(state)((name, _align(value)) for name, value in state.items())
    return state
