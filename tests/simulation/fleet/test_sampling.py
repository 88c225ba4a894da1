"""Who is asked, by each way of sampling."""

import collections

import numpy as np
import pytest
from fleets import HABITS, REAL, make, run


def bias(sampling, **more):
    of = make(20, 3000, **REAL | {"sampling": sampling, "reuse_hours": 0.0} | more)
    return run(of, 600)[-1]


@pytest.mark.heavy
def test_who_is_often_awake_takes_part_more_often_unless_turned_away():
    first, fair = bias("check_in"), bias("uniform")
    assert first.availability_bias > 1.08
    assert abs(fair.availability_bias - 1) < 0.4 * (first.availability_bias - 1)
    assert fair.gini < first.gini


def test_poisson_is_a_coin_for_each_phone():
    of = make(50, 1000, sampling="poisson")
    rounds = run(of, 3000)
    sizes = np.array([len(r.reported) for r in rounds])
    assert sizes.mean() == pytest.approx(50, abs=5 * (50 * 0.95 / 3000) ** 0.5)
    assert sizes.var() == pytest.approx(50 * 0.95, rel=0.15)
    # Independently: two phones are together in a round as often as chance has it.
    together = np.mean([{3, 4} <= set(r.reported.tolist()) for r in rounds])
    assert together == pytest.approx(0.05**2, abs=5 * (0.0025 / 3000) ** 0.5)


def test_a_poisson_round_may_be_empty_and_is_not_drawn_again():
    """With 100 phones and a coin of 0.01, (1 - 0.01)^100 = 0.366 of the rounds have nobody."""
    rounds = run(make(1, 100, sampling="poisson", dropout=0.0), 4000)
    sizes = np.array([len(r.reported) for r in rounds])
    assert np.mean(sizes == 0) == pytest.approx(0.99**100, abs=5 * (0.25 / 4000) ** 0.5)
    # So a phone takes part as often as its coin says.
    assert sizes.mean() / 100 == pytest.approx(0.01, abs=5 * (0.0099 / 100 / 4000) ** 0.5)
    assert all(r.abandoned == 0 for r in rounds)
    empty = next(r for r in rounds if not len(r.reported))
    assert (empty.selected, empty.bytes_down, empty.bytes_up) == (0, 0, 0)


@pytest.mark.parametrize("habits", [None, HABITS], ids=["ideal", "real"])
def test_cyclic_rounds_of_a_phone_are_a_cycle_apart(habits):
    of = make(20, 4000, sampling="cyclic", cycle=8, habits=habits, minimum_reports=20)
    last = {}
    for number, each in enumerate(run(of, 60)):
        for phone in each.reported.tolist():
            assert number - last.get(phone, -1000) >= 8
            last[phone] = number
    assert len(last) > 500


@pytest.mark.parametrize("habits", [None, HABITS], ids=["ideal", "real"])
def test_random_check_in_is_once_a_window(habits):
    of = make(20, 1000, sampling="random_check_in", cycle=10, habits=habits)
    for _ in range(4):
        window = [each.reported.tolist() for each in run(of, 10)]
        drawn = [phone for cohort in window for phone in cohort]
        assert len(set(drawn)) == len(drawn)
        # Each phone drew one of the ten rounds.
        assert of._selection._drawn == 1000
        assert np.all(of._selection._drew == of._attempts // 10)


def test_random_check_in_finds_the_last_phones_of_a_large_fleet():
    selection = make(100, 200_000, sampling="random_check_in", cycle=40)._selection
    for slot in range(40):
        assert len(selection.select(np.random.default_rng(slot), 0.0, slot, slot).phones) == 100
    assert selection._drawn == 200_000 and np.all(selection._drew == 1)


def test_random_check_in_draws_each_round_as_often():
    slots = collections.Counter()
    for seed in range(300):
        selection = make(1, 30, sampling="random_check_in", cycle=5, seed=seed)._selection
        for slot in range(5):
            before = selection._drew[7]
            selection.select(np.random.default_rng([seed, slot]), 0.0, slot, slot)
            if selection._drew[7] != before:
                slots[slot] += 1
    assert sum(slots.values()) == 300
    assert max(abs(n - 60) for n in slots.values()) < 5 * (300 * 0.2 * 0.8) ** 0.5


def test_the_pace_of_poisson_costs_nobody():
    of = make(100, 20_000, sampling="poisson", pace_minutes=600.0, habits=HABITS)
    rounds = run(of, 20)
    assert sum(r.dropped for r in rounds) < 0.05 * sum(r.selected for r in rounds)
