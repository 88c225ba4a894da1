"""TFF's own factories in the place of the mean, for every algorithm, also in subrounds."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.aggregators.rejection import RejectNonFiniteFactory
from fedkeyboard.algorithms import fed_avg, fed_sgd, mime_lite, server_optimizers
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.algorithms.templates import phone_data
from fedkeyboard.updates import update_round

NORM = 1.0
PHONES = 40


def clipped_mean(norm=NORM):
    mean = tff.aggregators.MeanFactory(no_nan_division=True)
    return RejectNonFiniteFactory(tff.aggregators.clipping_factory(norm, mean))


def without_weights():
    """TFF's private mean without noise: clipped as well, and each phone counts alike."""
    query = tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(0.0, PHONES, NORM)
    return RejectNonFiniteFactory(tff.aggregators.as_weighted_aggregator(query))


FACTORIES = {"clipped mean": clipped_mean, "unweighted": without_weights}


@pytest.fixture
def brought(initial):
    """What phones brought, so many that they run in subrounds; one is not finite, one large."""
    generator = np.random.default_rng(3)
    differences = [
        model.Weights(*(generator.normal(0, 0.01, w.shape).astype(np.float32) for w in initial))
        for _ in range(PHONES)
    ]
    differences[5].bias[1] = np.nan
    differences[7] = model.Weights(*(50 * part for part in differences[7]))
    return differences, generator.integers(1, 9, PHONES).astype(np.float32)


def expected(differences, weights):
    total, count = [0.0] * len(differences[0]), 0.0
    for difference, weight in zip(differences, weights, strict=True):
        if all(np.all(np.isfinite(part)) for part in difference):
            scale = min(1.0, NORM / np.sqrt(sum(np.sum(part**2.0) for part in difference)))
            total = [t + weight * scale * part for t, part in zip(total, difference, strict=True)]
            count += weight
    return [t / count for t in total]


@pytest.mark.parametrize("name", FACTORIES)
def test_phones_updates_are_aggregated_by_any_factory(name, initial, brought, run_rounds):
    differences, weights = brought
    process = update_round.learning_process(
        initial,
        optimizer=server_optimizers.build("sgd", 1.0),
        aggregator=FACTORIES[name](),
    )
    data = [
        phone_data(np.concatenate([*map(np.ravel, difference), [weight]]).astype(np.float32))
        for difference, weight in zip(differences, weights, strict=True)
    ]
    after, (measured,) = run_rounds(process, data, 1)
    assert measured["aggregator"]["rejected"] == 1
    if name == "unweighted":  # By the number of phones, of which one has brought nothing.
        weights = np.ones_like(weights)
        share = (PHONES - 1) / PHONES
    else:
        share = 1.0
    for mine, first, moved in zip(after, initial, expected(differences, weights), strict=True):
        np.testing.assert_allclose(mine, first + share * moved, rtol=0, atol=2e-6)


@pytest.mark.heavy
@pytest.mark.parametrize("algorithm", [fed_avg, fed_sgd, mime_lite])
def test_every_algorithm_takes_it(algorithm, initial, sizes, phones, run_rounds):
    """A bound that no update reaches changes nothing; one that all reach bounds the movement."""

    def weights_after(norm, cohort):
        process = algorithm.learning_process(
            initial,
            length=sizes.length,
            training=LocalTraining(0.5, batch_size=4),
            weighting="sentences",
            optimizer=server_optimizers.build("sgd", 1.0),
            aggregator=None if norm is None else clipped_mean(norm),
        )
        return run_rounds(process, [phone_data(rows) for rows in cohort], 1)[0]

    def moved(weights):
        parts = zip(weights, initial, strict=True)
        return float(tf.linalg.global_norm([mine - first for mine, first in parts]))

    plain, wide, narrow = (weights_after(norm, phones) for norm in (None, 1e6, 1e-3))
    for one, other in zip(plain, wide, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert moved(narrow) <= 1e-3 * (1 + 1e-5) < moved(plain)
    # As many phones as run in subrounds.
    assert moved(weights_after(1e-3, phones * 12)) == pytest.approx(moved(narrow), rel=1e-3)
