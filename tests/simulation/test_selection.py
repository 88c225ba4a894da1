"""Which round's model is kept, and when training ends."""

import types

import numpy as np
import pytest

from fedkeyboard import model
from fedkeyboard.simulation import config, selection
from fedkeyboard.simulation.selection import State

BEST = {"keep": "best", "validate_every": 10}


def settings(**changed):
    return config.Rounds(**{"count": 100, "cohort": 5} | changed)


def weights(number):
    return model.Weights(*[np.full(3, number, np.float32)] * len(model.Weights._fields))


# As much as is asked of a learning process's state.
PROCESS = types.SimpleNamespace(global_model_weights=types.SimpleNamespace(trainable=weights(0)))


def looked(*recalls, every=10):
    state = selection.begin(PROCESS, settings(**BEST))
    for i, recall in enumerate(recalls, start=1):
        state = state.looked(weights(i * every), i * every, recall)
    return state


@pytest.mark.parametrize(
    ("recalls", "best"),
    [
        ((), 0),
        ((0.1, 0.3, 0.2), 20),
        # The first of two that are as good: the other learned nothing.
        ((0.1, 0.2, 0.2), 20),
        ((0.0,), 10),
        # No words to judge by.
        ((0.1, None), 20),
    ],
)
def test_the_best_is_kept(recalls, best):
    state = looked(*recalls)
    assert state.best_round == best
    np.testing.assert_array_equal(state.best.weights.bias, np.full(3, best))


def test_of_a_run_that_keeps_the_last_nothing_is():
    state = selection.begin(PROCESS, settings())
    assert state == State(PROCESS, ())
    assert state.looked(weights(1), 1, 0.5) is state
    assert state.replaced(weights(1), 1) is state
    assert state.best_round == 0


def test_what_replaces_the_best_is_followed_by_whatever_is_looked_at():
    state = looked(0.5).replaced(weights(11), 11)
    assert state.best_round == 11
    assert state.looked(weights(20), 20, 0.0).best_round == 20


@pytest.mark.parametrize(
    ("number", "seconds", "said"),
    [
        (99, 0.0, None),
        (100, 0.0, "all 100 rounds are done"),
        (5, 89.9, None),
        (5, 90.0, "1.5 minutes are over"),
    ],
)
def test_time_ends_training(number, seconds, said):
    assert selection.out_of_time(settings(minutes=1.5), number, seconds) == said


def test_without_minutes_there_is_time():
    assert selection.out_of_time(settings(), 99, 1e9) is None


@pytest.mark.parametrize(
    ("recalls", "number", "over"),
    [
        ((), 90, False),
        ((0.1, 0.3, 0.2), 30, False),
        ((0.1, 0.3, 0.2, 0.2), 40, True),
        # What is between two looks does not count.
        ((0.1, 0.3, 0.2), 39, False),
        ((0.1, 0.3, 0.2, 0.4), 40, False),
    ],
)
def test_patience_ends_training(recalls, number, over):
    said = selection.out_of_patience(settings(**BEST, patience=2), looked(*recalls), number)
    assert said == ("no better on validation users since round 20" if over else None)


def test_without_patience_nothing_does():
    assert selection.out_of_patience(settings(**BEST), looked(0.5, 0.1), 1000) is None


def test_patience_is_for_what_keeps_the_best():
    with pytest.raises(ValueError, match='patience is of use to keep = "best" only'):
        settings(patience=3)
