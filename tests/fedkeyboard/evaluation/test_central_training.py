import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import batches, model, packed, streams
from fedkeyboard.evaluation import central_training
from fedkeyboard.evaluation.central_training import CentralTraining
from fedkeyboard.streams import Stream

SETTINGS = CentralTraining(learning_rate=0.01, batch_size=5, epochs=2, clipping_norm=0.3)
DECAYING = dataclasses.replace(SETTINGS, weight_decay=0.5)


@pytest.fixture(scope="module")
def rows(tiny_tokenizer, tiny_texts):
    return tiny_tokenizer.rows(tiny_texts[0][:23], 6)[:23]


@pytest.fixture(scope="module")
def weights(tiny_tokenizer):
    return model.initial_weights(model.Sizes(len(tiny_tokenizer), 4, 5, 6), 3)


def by_hand(weights, rows, settings, seed):
    """Algorithm 1 of Kingma and Ba 2015, on gradients by automatic differentiation.

    With the decay of Loshchilov and Hutter 2019, algorithm 2, line 12.
    """
    weights = [np.array(w, np.float64) for w in weights]
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    per_epoch = -(-len(rows) // settings.batch_size)
    total = settings.epochs * per_epoch
    warm_up = max(1, int(0.05 * total))
    for t in range(total):
        order = streams.generator(seed, Stream.CENTRAL, t // per_epoch).permutation(len(rows))
        first = t % per_epoch * settings.batch_size
        batch = batches.pack(tf.constant(rows[order][first : first + settings.batch_size]))
        variables = model.Weights(*(tf.constant(w, tf.float32) for w in weights))
        with tf.GradientTape() as tape:
            tape.watch(variables)
            loss = tf.reduce_mean(
                model.cross_entropy(packed.forward(variables, batch), batch.targets)
            )
        gradients = [
            np.asarray(tf.convert_to_tensor(g), np.float64) for g in tape.gradient(loss, variables)
        ]
        norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
        rate = settings.learning_rate * (
            (t + 1) / warm_up
            if t < warm_up
            else 0.5 * (1 + np.cos(np.pi * (t - warm_up) / (total - warm_up)))
        )
        for i, g in enumerate(gradients):
            g = g * min(1, settings.clipping_norm / norm)
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            # As the end of section 2 has it, with epsilon beside the uncorrected root.
            step = rate * np.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
            decay = rate * settings.weight_decay * weights[i]
            weights[i] = weights[i] - step * m[i] / (np.sqrt(v[i]) + 1e-8) - decay
    return weights


@pytest.mark.parametrize("settings", [SETTINGS, DECAYING])
def test_is_adam_on_the_models_gradients(weights, rows, settings):
    *_, last = central_training.train(central_training.start(weights), rows, settings, seed=4)
    assert last.epoch == 2
    expected = by_hand(weights, rows, settings, seed=4)
    for ours, theirs, before in zip(last.weights, expected, weights, strict=True):
        moved = np.max(np.abs(theirs - before))
        np.testing.assert_allclose(ours, theirs, atol=2e-3 * moved)


def test_goes_on_where_it_stopped_and_learns(weights, rows):
    begin = central_training.start(weights)
    settings = CentralTraining(learning_rate=0.03, batch_size=4, epochs=6, dropout=0.2)
    epochs = list(central_training.train(begin, rows, settings, seed=1))
    assert epochs[-1].loss < 0.95 * epochs[0].loss
    *_, resumed = central_training.train(epochs[2], rows, settings, seed=1)
    for ours, theirs in zip(resumed.weights, epochs[-1].weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    *_, other = central_training.train(begin, rows, settings, seed=2)
    assert not np.allclose(other.weights.embedding, epochs[-1].weights.embedding)
