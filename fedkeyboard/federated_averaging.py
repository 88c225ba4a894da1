"""Federated averaging as a TFF learning process.

FedAvg (McMahan et al. 2017, arXiv 1602.05629) in the general form of FedOpt (Reddi et al. 2020,
arXiv 2003.00295, algorithm 1): phones train on their own text and send the difference of their
weights; the server averages the differences and takes a step of its own optimizer along them. The
process is composed from TFF's parts (`tff.learning.templates`); ours is the client work, because
TFF's own traces a Keras-like model and differentiates it automatically, batch by batch from a
`tf.data` data set.

A phone's data is a TFF sequence with one element, the int32 `[n, T + 1]` array of its sentences:
the learning templates ask for a sequence, and one element costs the least to hand over.
"""

import collections
from typing import Literal

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import local_training, model

Weighting = Literal["sentences", "uniform"]
ServerOptimizer = Literal["sgd", "momentum", "adam"]


def phone_data(rows: np.ndarray) -> list[np.ndarray]:
    """Returns int32 `[n, T + 1]` sentences as the client data that the process takes."""
    return [rows]


def server_optimizer(
    name: ServerOptimizer,
    learning_rate: float,
    *,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    decay_rounds: int | None = None,
) -> tff.learning.optimizers.Optimizer:
    """Returns TFF's optimizer.

    Args:
      name: FedAvg (`sgd`), FedAvgM (`momentum`) or FedAdam (`adam`), as Reddi et al. call them.
      learning_rate: In the first round.
      momentum: Also Adam's decay of the first moment; of no meaning for SGD.
      epsilon: Adam's.
      decay_rounds: After so many rounds the rate has fallen to 0 along half a cosine; None keeps
        it constant.
    """
    if name == "sgd":
        optimizer = tff.learning.optimizers.build_sgdm(learning_rate)
    elif name == "momentum":
        optimizer = tff.learning.optimizers.build_sgdm(learning_rate, momentum=momentum)
    else:
        optimizer = tff.learning.optimizers.build_adam(
            learning_rate, beta_1=momentum, beta_2=0.99, epsilon=epsilon
        )
    if decay_rounds is None:
        return optimizer

    def rate(round_number: tf.Tensor) -> tf.Tensor:
        done = tf.minimum(tf.cast(round_number, tf.float32) / decay_rounds, 1.0)
        return learning_rate * 0.5 * (1.0 + tf.cos(np.pi * done))

    return tff.learning.optimizers.schedule_learning_rate(optimizer, rate)


def _client_work(
    weights_type: tff.Type,
    length: int,
    settings: local_training.LocalTraining,
    weighting: Weighting,
) -> tff.learning.templates.ClientWorkProcess:
    """Returns the client work: local training, and the update's weight in the average.

    An update that is not finite gets weight 0 and becomes 0, as in TFF's own client work.
    """
    data_type = tff.SequenceType(tff.TensorType(np.int32, [None, length + 1]))

    @tff.tensorflow.computation
    def initialize():
        return ()

    @tff.tensorflow.computation(weights_type, data_type)
    @tf.function(autograph=False)
    def client_update(weights, data):
        rows = data.get_single_element()
        initial = weights.trainable
        trained = local_training.train(initial, rows, settings)
        update = tf.cond(
            trained.finite,
            lambda: tf.nest.map_structure(tf.subtract, initial, trained.weights),
            lambda: tf.nest.map_structure(tf.zeros_like, initial),
        )
        sentences = tf.shape(rows)[0]
        # A phone without sentences has nothing to say, whatever the weighting.
        examples = sentences if weighting == "sentences" else tf.sign(sentences)
        result = tff.learning.templates.ClientResult(
            update, tf.where(trained.finite, tf.cast(examples, tf.float32), 0.0)
        )
        return result, collections.OrderedDict(
            loss_sum=tf.where(trained.finite, trained.loss_sum, 0.0),
            targets=tf.where(trained.finite, trained.targets, 0.0),
            sentences=sentences,
            steps=trained.steps,
            rejected=tf.cast(tf.logical_not(trained.finite), tf.int32),
        )

    @tff.federated_computation
    def init_fn():
        return tff.federated_eval(initialize, tff.SERVER)

    @tff.federated_computation(
        init_fn.type_signature.result,
        tff.FederatedType(weights_type, tff.CLIENTS),
        tff.FederatedType(data_type, tff.CLIENTS),
    )
    def next_fn(state, weights, data):
        result, sums = tff.federated_map(client_update, (weights, data))
        return tff.templates.MeasuredProcessOutput(state, result, tff.federated_sum(sums))

    return tff.learning.templates.ClientWorkProcess(init_fn, next_fn)


def learning_process(
    initial: model.Weights,
    *,
    length: int,
    training: local_training.LocalTraining,
    weighting: Weighting,
    optimizer: tff.learning.optimizers.Optimizer,
) -> tff.learning.templates.LearningProcess:
    """Composes the process.

    Args:
      initial: The weights of the first round, NumPy arrays.
      length: T, the words of a sentence.
      training: What a phone does.
      weighting: An update counts by its phone's sentences, or each alike.
      optimizer: The server's, which takes the averaged update for a gradient.

    Returns:
      A process whose `next` takes a list of `phone_data`, and reports under
      `metrics["client_work"]` the sums over the cohort of `loss_sum`, `targets`, `sentences`,
      `steps` and `rejected` updates.
    """

    @tff.tensorflow.computation
    def initial_model_weights():
        return tff.learning.models.ModelWeights(
            trainable=model.Weights(*map(tf.constant, initial)), non_trainable=()
        )

    weights_type = initial_model_weights.type_signature.result
    client_work = _client_work(weights_type, length, training, weighting)
    result_type = client_work.next.type_signature.result.result.member
    # A cohort of empty phones has total weight 0: its mean update is 0, not NaN.
    aggregator = tff.aggregators.MeanFactory(no_nan_division=True).create(
        result_type.update, result_type.update_weight
    )
    return tff.learning.templates.compose_learning_process(
        initial_model_weights,
        tff.learning.templates.build_broadcast_process(weights_type),
        client_work,
        aggregator,
        tff.learning.templates.build_apply_optimizer_finalizer(optimizer, weights_type),
    )
