"""FedSGD against TFF's own, and a phone's gradient against automatic differentiation."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from benchmarks import textbook
from fedkeyboard import model
from fedkeyboard.algorithms import fed_sgd, server_optimizers
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.algorithms.templates import phone_data


@pytest.mark.heavy
def test_equals_tffs_fed_sgd(run_rounds, assert_same_movement, initial, sizes, phones):
    """TFF's takes each phone's sentences as one batch, so that both are of its mean loss."""
    optimizer = server_optimizers.build("adam", 0.01, epsilon=1e-3)
    process = fed_sgd.learning_process(
        initial,
        length=sizes.length,
        training=LocalTraining(0.5, batch_size=4, clipping_norm=1e9),
        weighting="sentences",
        optimizer=optimizer,
    )
    ours, metrics = run_rounds(process, [phone_data(p) for p in phones], 2)
    theirs, _ = run_rounds(
        tff.learning.algorithms.build_fed_sgd(
            textbook.functional_model(initial, sizes.length), server_optimizer_fn=optimizer
        ),
        [textbook.phone_data(p, len(p)) for p in phones],
        2,
    )
    assert_same_movement(ours, theirs, 2e-4)
    sums = metrics[0]["client_work"]
    assert sums["targets"] == sum(np.count_nonzero(p[:, 1:]) for p in phones)
    assert metrics[1]["client_work"]["loss_sum"] < sums["loss_sum"]
    # A cohort of subrounds.
    alike, _ = run_rounds(process, [phone_data(phones[0])] * 33, 1)
    alone, _ = run_rounds(process, [phone_data(phones[0])], 1)
    assert_same_movement(alike, alone, 1e-4)


@pytest.mark.parametrize("clipping_norm", [1e9, 0.05])
def test_a_phones_gradient_is_that_of_its_mean_loss(initial, sizes, phones, clipping_norm):
    rows, weights = phones[1], model.Weights(*map(tf.constant, initial))
    settings = LocalTraining(0.5, batch_size=4, clipping_norm=clipping_norm)
    gradient, tally = tf.function(
        lambda: fed_sgd.phone_gradient(weights, tf.constant(rows), settings), autograph=False
    )()
    textbooks = textbook.functional_model(initial, sizes.length)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        logits = textbooks.predict_on_batch(model_weights=(tuple(weights), ()), x=rows[:, :-1])
        loss = textbooks.loss(output=logits, label=rows[:, 1:])
    expected, norm = tf.clip_by_global_norm(tape.gradient(loss, list(weights)), clipping_norm)
    assert clipping_norm > norm or norm > 2 * clipping_norm
    for field, ours, theirs in zip(model.Weights._fields, gradient, expected, strict=True):
        theirs = tf.convert_to_tensor(theirs)
        np.testing.assert_allclose(ours, theirs, atol=1e-7, rtol=1e-4, err_msg=field)
    assert float(tally.loss_sum / tally.targets) == pytest.approx(float(loss), rel=1e-5)
    assert bool(tally.finite)


def test_the_gradient_of_no_sentences_is_0_and_a_broken_one_is_told(initial, phones):
    weights, settings = model.Weights(*map(tf.constant, initial)), LocalTraining(0.5)
    gradient, tally = fed_sgd.phone_gradient(weights, tf.constant(phones[0][:0]), settings)
    assert not any(np.any(g) for g in gradient)
    assert bool(tally.finite)
    broken = weights._replace(projection=tf.fill(weights.projection.shape, np.float32("inf")))
    _, tally = fed_sgd.phone_gradient(broken, tf.constant(phones[0]), settings)
    assert not bool(tally.finite)
