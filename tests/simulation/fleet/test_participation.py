import numpy as np
import pytest

from fedkeyboard.simulation.fleet.participation import Participation


def counted(rounds, phones=6):
    made = Participation(phones)
    for of in rounds:
        made.count(*map(np.array, zip(*of, strict=True)))
    return made


# Phone, its sentences, the share of the time for which it may train.
ROUNDS = [[(0, 10, 0.1), (3, 30, 0.5)], [(3, 20, 0.5)], [(5, 40, 0.125), (3, 5, 0.5), (1, 1, 0.4)]]


def test_availability_is_weighted_by_sentences():
    """Each sentence that was trained on, one after the other, without the sums."""
    rates = [rate for of in ROUNDS for _, sentences, rate in of for _ in range(sentences)]
    assert counted(ROUNDS).availability_bias(0.2) == pytest.approx(np.mean(rates) / 0.2)
    # By phones it would be another.
    phones = [rate for of in ROUNDS for _, _, rate in of]
    assert abs(np.mean(phones) - np.mean(rates)) > 0.01


def test_a_fleet_of_which_nobody_trained_has_no_bias():
    made = counted([])
    assert made.availability_bias(0.2) == 1 and made.seen == 0 and made.gini == 0
    made.count(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert made.availability_bias(0.2) == 1 and made.seen == 0 and made.gini == 0


def test_how_often_each_took_part():
    made = counted(ROUNDS)
    assert made.seen == 4
    times = np.array([1, 1, 0, 3, 0, 1])
    pairs = np.abs(times[:, None] - times[None, :]).sum()
    assert made.gini == pytest.approx(pairs / (2 * 6 * times.sum()))
