"""The average of the server's weights: against the recursion, over the weights of each round."""

import numpy as np
import pytest
import tensorflow_federated as tff

from fedkeyboard.algorithms import averaging, fed_avg, fed_sgd, mime_lite, server_optimizers
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.algorithms.templates import phone_data
from fedkeyboard.model import Weights

ALGORITHMS = {"fed_avg": fed_avg, "fed_sgd": fed_sgd, "mime_lite": mime_lite}


@pytest.fixture(scope="module")
def states(in_tff, initial, sizes, phones):
    """Returns a function that runs rounds: the states after each, of NumPy arrays."""

    def run(share, rounds, algorithm="fed_avg", begin=None):
        process = ALGORITHMS[algorithm].learning_process(
            initial,
            length=sizes.length,
            training=LocalTraining(0.5, batch_size=4),
            weighting="sentences",
            optimizer=server_optimizers.build("adam", 0.02, warmup_rounds=2),
            averaging=share,
        )
        data = [phone_data(rows) for rows in phones]

        async def all_rounds():
            state = process.initialize() if begin is None else begin
            found = []
            for _ in range(rounds):
                state = process.next(state, data).state
                found.append(await tff.program.materialize_value(state))
            return found

        return in_tff(all_rounds)

    return run


@pytest.mark.parametrize(
    "algorithm", ["fed_avg", *(pytest.param(a, marks=pytest.mark.heavy) for a in ALGORITHMS)]
)
def test_it_is_the_papers_and_only_watches(states, algorithm):
    """w_t counts (eta + 1) / (t + eta), with the eta that a share of 0.4 means."""
    eta = 1 / 0.4 - 1
    plain, averaged = states(None, 4, algorithm), states(0.4, 4, algorithm)
    mean = None
    for t, (one, other) in enumerate(zip(plain, averaged, strict=True), start=1):
        weights = [w.astype(np.float64) for w in one.global_model_weights.trainable]
        part = (eta + 1) / (t + eta)
        mean = (
            weights
            if t == 1
            else [(1 - part) * m + part * w for m, w in zip(mean, weights, strict=True)]
        )
        for w, same in zip(weights, other.global_model_weights.trainable, strict=True):
            np.testing.assert_allclose(same, w, atol=1e-6)
        for m, ours in zip(mean, averaging.model_of(other), strict=True):
            np.testing.assert_allclose(ours, m, atol=2e-6)
    moved = max(np.abs(m - w).max() for m, w in zip(mean, weights, strict=True))
    assert moved > 1e-3


def test_a_share_of_1_is_the_mean_of_all_rounds(states):
    rounds = states(1.0, 3)
    of_rounds = [state.global_model_weights.trainable for state in rounds]
    for field, ours in averaging.model_of(rounds[-1])._asdict().items():
        expected = np.mean([getattr(weights, field) for weights in of_rounds], axis=0)
        np.testing.assert_allclose(ours, expected, atol=1e-6, err_msg=field)


def test_without_an_average_the_weights_are_the_model(states):
    (state,) = states(None, 1)
    assert averaging.model_of(state) is state.global_model_weights.trainable


@pytest.mark.parametrize("share", [None, 0.2])
def test_a_state_that_is_moved_goes_on_from_there(states, initial, share):
    """With what the optimizer knows; what it averaged before is forgotten."""
    *_, before = states(share, 2)
    there = Weights(*(w + np.float32(0.01) for w in before.global_model_weights.trainable))
    moved = averaging.moved_to(before, there)
    (after,) = states(share, 1, begin=moved)
    weights = after.global_model_weights.trainable
    for ours, model_of_it, began in zip(weights, averaging.model_of(after), there, strict=True):
        np.testing.assert_array_equal(ours, model_of_it)
        assert 0 < np.abs(ours - began).max() < 0.1
    # Adam's step by the momentum of three rounds, not of one.
    (fresh,) = states(share, 1)
    first = zip(fresh.global_model_weights.trainable, initial, weights, there, strict=True)
    assert any(np.abs((a - b) - (c - d)).max() > 1e-4 for a, b, c, d in first)
