"""The same model and algorithm as TFF's tutorials write them: the peer, and the independent check.

A `tff.learning.models.FunctionalModel` that is differentiated automatically over padded batches of
a `tf.data` data set, trained by `tff.learning.algorithms.build_weighted_fed_avg`.
"""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.text.tokenizer import PAD


def functional_model(initial: model.Weights, length: int) -> tff.learning.models.FunctionalModel:
    """Returns the model over batches `{"x": int32 [B, T], "y": int32 [B, T]}`, padded with 0."""
    spec = tf.TensorSpec([None, length], tf.int32)

    @tf.function
    def logits(weights, inputs, training):
        del training
        trainable = model.Weights(*weights[0])
        state = model.initial_state(trainable, tf.shape(inputs)[0])
        outputs = []
        for t in range(length):
            output, state = model.step(trainable, inputs[:, t], state)
            outputs.append(output)
        return tf.stack(outputs, axis=1)

    @tf.function
    def loss(output, label, sample_weight):
        del sample_weight
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(label, output)
        mask = tf.cast(tf.not_equal(label, PAD), tf.float32)
        return tf.reduce_sum(losses * mask) / tf.reduce_sum(mask)

    return tff.learning.models.FunctionalModel(
        initial_weights=(tuple(initial), ()),
        predict_on_batch_fn=logits,
        loss_fn=loss,
        input_spec=collections.OrderedDict(x=spec, y=spec),
    )


def learning_process(
    initial: model.Weights,
    length: int,
    client_learning_rate: float,
    server_optimizer: tff.learning.optimizers.Optimizer,
) -> tff.learning.templates.LearningProcess:
    """Returns TFF's own federated averaging, without clipping."""
    return tff.learning.algorithms.build_weighted_fed_avg(
        functional_model(initial, length),
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(client_learning_rate),
        server_optimizer_fn=server_optimizer,
    )


def phone_data(rows: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Returns int32 `[n, T + 1]` sentences as the data set that the process takes."""
    examples = collections.OrderedDict(x=rows[:, :-1], y=rows[:, 1:])
    return tf.data.Dataset.from_tensor_slices(examples).batch(batch_size)
