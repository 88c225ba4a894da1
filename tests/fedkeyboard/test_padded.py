"""The padded form against the packed one, and where it can more against autodiff."""

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import batches, model, packed, padded
from fedkeyboard.text.tokenizer import BEGIN, PAD

SIZES = model.Sizes(vocabulary=30, embedding=5, units=7, length=6)


@pytest.fixture(scope="module")
def weights():
    generator = np.random.default_rng(5)
    shapes = model.weight_shapes(SIZES)
    return model.Weights(*(tf.constant(generator.normal(0, 0.5, s), tf.float32) for s in shapes))


def some_rows(lengths):
    generator = np.random.default_rng(len(lengths))
    rows = np.full((len(lengths), SIZES.length + 1), PAD, np.int32)
    for row, length in zip(rows, lengths, strict=True):
        row[: length + 1] = [BEGIN, *generator.integers(2, SIZES.vocabulary, length)]
    return rows


def mask_of(rows):
    return (rows[:, 1:] != PAD).astype(np.float32)


@pytest.mark.parametrize("lengths", [[1], [6], [3, 6, 1, 1, 4], [2] * 9, [0, 3, 0]])
def test_is_the_packed_computation(weights, lengths):
    rows = some_rows(lengths)
    loss, gradients = padded.loss_and_gradients(weights, tf.constant(rows), mask_of(rows))
    expected_loss, expected = packed.loss_and_gradients(weights, batches.pack(tf.constant(rows)))
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
    for name, ours, theirs in zip(model.Weights._fields, gradients, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=name)


def test_targets_that_do_not_count(weights):
    rows = some_rows([6, 4, 2, 5])
    mask = mask_of(rows) * np.random.default_rng(0).integers(0, 2, (4, SIZES.length))
    assert 0 < np.sum(mask) < np.sum(mask_of(rows))
    with tf.GradientTape() as tape:
        tape.watch(weights)
        state, losses = model.initial_state(weights, len(rows)), []
        for t in range(SIZES.length):
            logits, state = model.step(weights, rows[:, t], state)
            losses.append(model.cross_entropy(logits, rows[:, t + 1]))
        expected_loss = tf.reduce_sum(tf.stack(losses, axis=1) * mask) / np.sum(mask)
    expected = tape.gradient(expected_loss, weights)
    loss, gradients = padded.loss_and_gradients(weights, tf.constant(rows), mask)
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
    for name, ours, theirs in zip(model.Weights._fields, gradients, expected, strict=True):
        np.testing.assert_allclose(ours, tf.convert_to_tensor(theirs), atol=1e-6, err_msg=name)


def test_nothing_counts_nothing_moves(weights):
    rows = some_rows([3, 2])
    loss, gradients = padded.loss_and_gradients(weights, tf.constant(rows), 0 * mask_of(rows))
    assert float(loss) == 0 and not any(np.any(g) for g in gradients)
