"""Mime-lite against TFF's own, with each base optimizer and with a schedule."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from benchmarks import textbook
from fedkeyboard.algorithms import fed_avg, mime_lite, server_optimizers
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.algorithms.templates import phone_data

EPOCHS = 3

pytestmark = pytest.mark.heavy


@pytest.fixture
def process(initial, sizes):
    def build(optimizer, module=mime_lite, **training):
        settings = {"learning_rate": 0.5, "batch_size": 1000, "clipping_norm": 1e9} | training
        return module.learning_process(
            initial,
            length=sizes.length,
            training=LocalTraining(epochs=EPOCHS, **settings),
            weighting="sentences",
            optimizer=optimizer,
        )

    return build


@pytest.fixture
def their_data(phones):
    # One batch, whose mean loss is the phone's, as often as ours has epochs.
    return [textbook.phone_data(p, len(p)).repeat(EPOCHS) for p in phones]


@pytest.mark.parametrize("name", ["momentum", "yogi"])
def test_equals_tffs_weighted_mime_lite(
    run_rounds, process, assert_same_movement, initial, sizes, phones, their_data, name
):
    rate = {"momentum": 0.5, "adagrad": 0.02, "adam": 0.05, "yogi": 0.05}[name]
    optimizer = server_optimizers.build(name, rate, epsilon=1e-2)
    ours, metrics = run_rounds(process(optimizer), [phone_data(p) for p in phones], 3)
    theirs, _ = run_rounds(
        tff.learning.algorithms.build_weighted_mime_lite(
            textbook.functional_model(initial, sizes.length), base_optimizer=optimizer
        ),
        their_data,
        3,
    )
    assert_same_movement(ours, theirs, 2e-5)
    assert metrics[0]["client_work"]["steps"] == EPOCHS * len(phones)
    assert metrics[2]["client_work"]["loss_sum"] < metrics[0]["client_work"]["loss_sum"]


def test_a_schedule_counts_rounds_as_in_tffs(
    run_rounds, process, assert_same_movement, initial, sizes, phones, their_data
):
    """And a cohort of subrounds."""
    optimizer = server_optimizers.build("momentum", 0.3, warmup_rounds=2, decay_rounds=4)
    cohort = [phones[i % 3] for i in range(33)]
    ours, _ = run_rounds(process(optimizer), [phone_data(p) for p in cohort], 3)
    theirs, _ = run_rounds(
        tff.learning.algorithms.build_mime_lite_with_optimizer_schedule(
            textbook.functional_model(initial, sizes.length),
            learning_rate_fn=lambda done: tf.gather([0.15, 0.3, 0.3, 0.15], done),
            base_optimizer=tff.learning.optimizers.build_sgdm(0.3, momentum=0.9),
        ),
        their_data,
        3,
    )
    assert_same_movement(ours, theirs, 2e-5)


def test_with_sgd_it_is_fed_avg(run_rounds, process, assert_same_movement, phones):
    """Clipping and batches included."""
    data = [phone_data(p) for p in phones]
    training = {"batch_size": 4, "clipping_norm": 0.1}
    ours, _ = run_rounds(
        process(server_optimizers.build("sgd", 0.3), learning_rate=9.0, **training), data, 2
    )
    averaged = process(server_optimizers.build("sgd", 1.0), fed_avg, learning_rate=0.3, **training)
    theirs, _ = run_rounds(averaged, data, 2)
    assert_same_movement(ours, theirs, 1e-5)


def test_phones_without_sentences_change_nothing(run_rounds, process, initial, phones):
    adam = server_optimizers.build("adam", 0.01)
    weights, _ = run_rounds(process(adam), [phone_data(phones[0][:0])] * 2, 1)
    for ours, first in zip(weights, initial, strict=True):
        np.testing.assert_array_equal(ours, first)
