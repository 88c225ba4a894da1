"""Our learning process against TFF's textbook ones: the same rounds, the same weights."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from benchmarks import textbook
from fedkeyboard import model
from fedkeyboard.algorithms import fed_avg, local_training, schedules, server_optimizers
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.algorithms.templates import phone_data

BATCH = 4


@pytest.fixture(scope="module")
def process(initial, sizes):
    def build(optimizer, weighting="sentences", schedule=None, **training):
        settings = {"learning_rate": 0.5, "batch_size": BATCH, "clipping_norm": 1e9} | training
        return fed_avg.learning_process(
            initial,
            length=sizes.length,
            training=LocalTraining(**settings),
            weighting=weighting,
            optimizer=optimizer,
            schedule=schedule,
        )

    return build


@pytest.fixture(scope="module")
def averaging(process):
    """Returns the process of a weighting whose server only adds; composed once."""
    sgd = server_optimizers.build("sgd", 1.0)
    return functools.cache(lambda weighting: process(sgd, weighting))


@pytest.mark.parametrize("name", ["adam", pytest.param("sgd", marks=pytest.mark.heavy)])
def test_equals_tffs_weighted_fed_avg(
    run_rounds, process, assert_same_movement, initial, sizes, phones, name
):
    rate = {"sgd": 1.0, "momentum": 0.5, "adam": 0.01}[name]
    optimizer = server_optimizers.build(name, rate, epsilon=1e-4)
    ours, metrics = run_rounds(process(optimizer), [phone_data(p) for p in phones], 2)
    theirs, _ = run_rounds(
        textbook.learning_process(initial, sizes.length, 0.5, optimizer),
        [textbook.phone_data(p, BATCH) for p in phones],
        2,
    )
    # Adam divides by the root of tiny averages, which makes much of the last digits.
    assert_same_movement(ours, theirs, 2e-3 if name == "adam" else 2e-5)
    sums = metrics[0]["client_work"]
    assert sums["sentences"] == sum(map(len, phones))
    assert sums["targets"] == sum(np.count_nonzero(p[:, 1:]) for p in phones)
    assert sums["steps"] == sum(-(-len(p) // BATCH) for p in phones)
    assert metrics[1]["client_work"]["loss_sum"] < sums["loss_sum"]


@pytest.mark.heavy
def test_fed_prox_is_tffs_with_the_papers_sign(
    run_rounds, process, assert_same_movement, initial, sizes, phones
):
    """TFF 0.87 adds mu (w_0 - w) to the gradient, which drives the weights away from w_0.

    In two batches from w_0 the term counts once, in the second step: federated averaging is then
    half way between theirs and ours, with mu (w - w_0). That ours is the paper's is tested in
    `test_local_training`.
    """
    sgd, data = server_optimizers.build("sgd", 1.0), [p[: 2 * BATCH] for p in phones]
    ours, _ = run_rounds(process(sgd, proximal_strength=0.8), [phone_data(p) for p in data], 1)
    without, _ = run_rounds(process(sgd), [phone_data(p) for p in data], 1)
    theirs, _ = run_rounds(
        tff.learning.algorithms.build_weighted_fed_prox(
            textbook.functional_model(initial, sizes.length),
            proximal_strength=0.8,
            client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.5),
        ),
        [textbook.phone_data(p, BATCH) for p in data],
        1,
    )
    assert_same_movement([(a + b) / 2 for a, b in zip(ours, theirs, strict=True)], without, 1e-5)
    for field, mine, plain, first in zip(
        model.Weights._fields, ours, without, initial, strict=True
    ):
        assert np.abs(mine - plain).max() > 0.1 * np.abs(plain - first).max(), field


@pytest.mark.heavy
@pytest.mark.parametrize("cohort", [1, 33])
def test_the_phones_rate_follows_its_schedule(
    run_rounds, process, assert_same_movement, initial, phones, cohort
):
    """Rounds of phones that are all alike are rounds of one; 33 of them are two subrounds."""
    schedule = schedules.schedule(0.5, warmup_rounds=2, decay_rounds=4)
    scheduled = process(server_optimizers.build("sgd", 1.0), schedule=schedule)
    ours, _ = run_rounds(scheduled, [phone_data(phones[0])] * cohort, 4)
    weights = model.Weights(*map(tf.constant, initial))
    for rate in (0.25, 0.5, 0.5, 0.25):
        settings = LocalTraining(rate, batch_size=BATCH, clipping_norm=1e9)
        weights = local_training.train(weights, tf.constant(phones[0]), settings).weights
    assert_same_movement(ours, weights, 1e-5)


def test_weighting(run_rounds, averaging, phones):
    """A phone twice as long counts twice, or as much as any other."""
    alone = [run_rounds(averaging("sentences"), [phone_data(p)], 1)[0] for p in phones]
    for weighting in ("sentences", "uniform"):
        weights, _ = run_rounds(averaging(weighting), [phone_data(p) for p in phones], 1)
        counts = [len(p) if weighting == "sentences" else 1 for p in phones]
        for i, field in enumerate(model.Weights._fields):
            expected = np.average([w[i] for w in alone], axis=0, weights=counts)
            np.testing.assert_allclose(weights[i], expected, atol=1e-6, err_msg=field)


def test_phones_without_sentences_change_nothing(run_rounds, averaging, initial, phones):
    empty, data = phone_data(phones[0][:0]), phone_data(phones[1])
    nobody, _ = run_rounds(averaging("sentences"), [empty, empty], 1)
    with_empty, _ = run_rounds(averaging("uniform"), [empty, data], 1)
    without, _ = run_rounds(averaging("uniform"), [data], 1)
    for ours, first in zip(nobody, initial, strict=True):
        np.testing.assert_array_equal(ours, first)
    for ours, theirs in zip(with_empty, without, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_update_that_is_not_finite_is_left_out(run_rounds, process, phones):
    """With an absurd rate one phone's weights overflow; the round is that of the others."""
    sgd = server_optimizers.build("sgd", 1.0)
    explosive = process(sgd, learning_rate=1e38, batch_size=len(phones[0]))
    weights, metrics = run_rounds(explosive, [phone_data(p) for p in phones], 1)
    assert metrics[0]["aggregator"]["rejected"] >= 1
    assert all(np.all(np.isfinite(w)) for w in weights)
