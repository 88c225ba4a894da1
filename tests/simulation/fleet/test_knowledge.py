"""What the server knows of its fleet, against counting phone by phone."""

import numpy as np
import pytest

from fedkeyboard.simulation import config
from fedkeyboard.simulation.fleet import knowledge
from fedkeyboard.simulation.fleet.habits import DAY, HOUR, Phones
from fedkeyboard.simulation.fleet.knowledge import Knowledge
from fedkeyboard.simulation.fleet.plan import Plan

SEED = 3


def known(phones, *, ideal=False, **of):
    settings = config.Fleet(habits=None if ideal else config.Habits(), **of)
    traits = None if ideal else Phones(settings.habits, SEED)
    return Knowledge(Plan.of(settings, 5, phones), traits, SEED), traits


def test_a_small_fleet_is_counted_at_each_hour_of_a_week():
    found, traits = known(300, minimum_memory_gb=3.0)
    everybody = np.arange(300)
    assert found.sample.tolist() == everybody.tolist()
    strong = [phone for phone in everybody if traits.memory_gb(np.array([phone]))[0] >= 3]
    assert 100 < len(strong) < 250
    counts = np.zeros([7, 24])
    for day in range(7):
        for hour in range(24):
            # In the middle of an hour of the week before the first round.
            at = np.full(len(strong), (day - 7) * DAY + (hour + 0.5) * HOUR)
            counts[day, hour] = np.sum(traits.available_until(np.array(strong), at) > at)
    np.testing.assert_allclose(found.hourly, counts.mean(axis=0))
    assert found.most_awake == counts.max()
    for now, hour in ((0, 0), (HOUR - 1, 0), (HOUR, 1), (3 * DAY + 23.9 * HOUR, 23)):
        assert found.available(now) == pytest.approx((counts.mean(), counts.mean(axis=0)[hour]))


def test_rates_of_the_fleet():
    found, traits = known(300)
    each = traits.rates(np.arange(300))
    np.testing.assert_array_equal(found.rates(np.arange(300)), each)
    assert found.rate == pytest.approx(each.mean())
    # One in twenty is below it.
    assert np.mean(each < found.rare) == pytest.approx(0.05, abs=0.004)


def test_an_ideal_fleet_is_always_there():
    found, _ = known(300, ideal=True)
    assert found.hourly.tolist() == [300.0] * 24 and found.most_awake == 300
    assert found.available(5 * HOUR) == (300, 300)
    assert found.rates(np.arange(7)).tolist() == [1.0] * 7
    assert found.rate == found.rare == 1


def test_a_large_fleet_is_known_by_a_sample():
    few, _ = known(4096)
    assert few.sample.tolist() == list(range(4096))
    many, _ = known(1_000_000)
    assert len(many.sample) == 4096
    assert 0 <= many.sample.min() < 10_000 and 990_000 < many.sample.max() < 1_000_000
    # It is of the whole fleet: two hundred and forty times as many phones as in the other.
    ratio = many.hourly.mean() / few.hourly.mean()
    assert ratio == pytest.approx(1_000_000 / 4096, rel=0.05)
    # Of each hour the mean of seven counts, for as many phones as there are.
    counts = many.hourly * 7 * 4096 / 1_000_000
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-6)
    drawn = [knowledge._sample(5000, seed) for seed in range(20)]
    assert (np.min(drawn), np.max(drawn)) == (0, 4999)
    other = Knowledge(Plan.of(config.Fleet(), 5, 1_000_000), None, SEED + 1)
    assert not np.array_equal(other.sample, many.sample)
    assert knowledge._sample(1_000_000, SEED).tolist() == many.sample.tolist()
