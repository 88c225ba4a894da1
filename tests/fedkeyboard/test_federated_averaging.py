"""Our learning process against TFF's textbook one: the same rounds, the same weights."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from benchmarks import textbook
from fedkeyboard import federated_averaging, model
from fedkeyboard.local_training import LocalTraining

SIZES = model.Sizes(vocabulary=300, embedding=6, units=9, length=8)
BATCH = 4


@pytest.fixture(scope="module")
def phones(tiny_texts, tiny_tokenizer):
    users = sorted(tiny_texts, key=len)
    return [tiny_tokenizer.rows(user, SIZES.length) for user in (users[0], users[-1], users[1])]


async def rounds(process, data, count):
    state, metrics = process.initialize(), []
    for _ in range(count):
        output = process.next(state, data)
        state = output.state
        metrics.append(await tff.program.materialize_value(output.metrics))
    weights = process.get_model_weights(await tff.program.materialize_value(state))
    return (await tff.program.materialize_value(weights)).trainable, metrics


def process(optimizer, weighting="sentences", clipping_norm=1e9):
    return federated_averaging.learning_process(
        model.initial_weights(SIZES, 1),
        length=SIZES.length,
        training=LocalTraining(0.5, batch_size=BATCH, clipping_norm=clipping_norm),
        weighting=weighting,
        optimizer=optimizer,
    )


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_equals_tffs_weighted_fed_avg(in_tff, phones, name):
    rate = {"sgd": 1.0, "momentum": 0.5, "adam": 0.01}[name]

    def optimizer():
        return federated_averaging.server_optimizer(name, rate, epsilon=1e-4)

    async def both():
        ours = await rounds(
            process(optimizer()), [federated_averaging.phone_data(p) for p in phones], 2
        )
        theirs = await rounds(
            textbook.learning_process(
                model.initial_weights(SIZES, 1), SIZES.length, 0.5, optimizer()
            ),
            [textbook.phone_data(p, BATCH) for p in phones],
            2,
        )
        return ours, theirs

    (ours, metrics), (theirs, _) = in_tff(both)
    initial = model.initial_weights(SIZES, 1)
    for field, mine, other, first in zip(model.Weights._fields, ours, theirs, initial, strict=True):
        moved = np.abs(other - first).max()
        assert moved > 1e-4, f"{field} did not train"
        # Adam divides by the root of tiny averages, which makes much of the last digits.
        share = 2e-3 if name == "adam" else 2e-5
        np.testing.assert_allclose(mine, other, atol=share * moved, err_msg=field)
    sums = metrics[0]["client_work"]
    assert sums["sentences"] == sum(map(len, phones))
    assert sums["targets"] == sum(np.count_nonzero(p[:, 1:]) for p in phones)
    assert sums["steps"] == sum(-(-len(p) // BATCH) for p in phones)
    assert metrics[1]["client_work"]["loss_sum"] < sums["loss_sum"]


def test_weighting(in_tff, phones):
    """A phone twice as long counts twice, or as much as any other."""
    sgd = federated_averaging.server_optimizer("sgd", 1.0)

    async def all_rounds():
        alone = [await rounds(process(sgd), [federated_averaging.phone_data(p)], 1) for p in phones]
        data = [federated_averaging.phone_data(p) for p in phones]
        return alone, {
            weighting: await rounds(process(sgd, weighting), data, 1)
            for weighting in ("sentences", "uniform")
        }

    alone, together = in_tff(all_rounds)
    for weighting, (weights, _) in together.items():
        counts = [len(p) if weighting == "sentences" else 1 for p in phones]
        for i, field in enumerate(model.Weights._fields):
            expected = np.average([w[i] for w, _ in alone], axis=0, weights=counts)
            np.testing.assert_allclose(weights[i], expected, atol=1e-6, err_msg=field)


def test_phones_without_sentences_change_nothing(in_tff, phones):
    sgd = federated_averaging.server_optimizer("sgd", 1.0)
    empty = federated_averaging.phone_data(phones[0][:0])

    async def all_rounds():
        data = federated_averaging.phone_data(phones[1])
        return (
            await rounds(process(sgd), [empty, empty], 1),
            await rounds(process(sgd, "uniform"), [empty, data], 1),
            await rounds(process(sgd, "uniform"), [data], 1),
        )

    (nobody, _), (with_empty, _), (without, _) = in_tff(all_rounds)
    for ours, initial in zip(nobody, model.initial_weights(SIZES, 1), strict=True):
        np.testing.assert_array_equal(ours, initial)
    for ours, theirs in zip(with_empty, without, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_update_that_is_not_finite_is_left_out(in_tff, phones):
    """With an absurd rate one phone's weights overflow; the round is that of the others."""
    explosive = federated_averaging.learning_process(
        model.initial_weights(SIZES, 1),
        length=SIZES.length,
        training=LocalTraining(1e38, batch_size=len(phones[0]), clipping_norm=1e9),
        weighting="sentences",
        optimizer=federated_averaging.server_optimizer("sgd", 1.0),
    )
    data = [federated_averaging.phone_data(p) for p in phones]

    async def run():
        return await rounds(explosive, data, 1)

    weights, metrics = in_tff(run)
    assert metrics[0]["client_work"]["rejected"] >= 1
    assert all(np.all(np.isfinite(w)) for w in weights)


def test_the_servers_rate_falls_along_a_cosine():
    decaying = federated_averaging.server_optimizer("sgd", 2.0, decay_rounds=4)
    weight, gradient = tf.constant(0.0), tf.constant(-1.0)
    state, steps = decaying.initialize(tf.TensorSpec([])), []
    for _ in range(6):
        state, moved = decaying.next(state, weight, gradient)
        steps.append(float(moved))
    expected = [1 + math.cos(math.pi * r / 4) for r in range(4)] + [0, 0]
    np.testing.assert_allclose(steps, expected, atol=1e-6)
