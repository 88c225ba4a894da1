"""Whose reports count, against a server that looks at one phone after the other."""

import numpy as np
import pytest

from fedkeyboard.simulation import config
from fedkeyboard.simulation.fleet.habits import HOUR, Phones
from fedkeyboard.simulation.fleet.plan import Plan
from fedkeyboard.simulation.fleet.reporting import Reporting

ASKED = np.arange(300, 330)
SENTENCES = 1 + ASKED % 40
DOWN, UP = 5_000_000, 2_000_000
NOW = 8 * HOUR  # At night, in the United States.


def reporting(goal, *, ideal=False, **of):
    settings = config.Fleet(habits=None if ideal else config.Habits(), **of)
    traits = None if ideal else Phones(settings.habits, 3)
    return Reporting(Plan.of(settings, goal, 1000), traits, DOWN, UP), traits


def one_by_one(traits, goal, deadline, poisson, dropout=0.0):
    """Who counts in which order, who is late, who drops out, and when the round closes."""
    done, dropped = {}, 0
    by_chance = np.random.default_rng(0).random(len(ASKED)) < dropout
    for i, (phone, sentences) in enumerate(zip(ASKED, SENTENCES, strict=True)):
        one = np.array([phone])
        down, up = traits.bytes_per_second(one)
        seconds = DOWN / down[0] + UP / up[0]
        seconds += sentences * traits.seconds_per_sentence(one)[0]
        if by_chance[i] or traits.available_until(one, np.array([NOW]))[0] < NOW + seconds:
            dropped += 1
        else:
            done[i] = NOW + seconds
    counted = []
    for i in sorted(done, key=done.get):
        if (poisson or len(counted) < goal) and (deadline is None or done[i] <= NOW + deadline):
            counted.append(i)
    full = len(counted) == (len(ASKED) if poisson else min(goal, len(ASKED)))
    closes = done[counted[-1]] if counted else NOW
    if not full and deadline is not None:
        closes = NOW + deadline
    return counted, len(done) - len(counted), dropped, closes


@pytest.mark.parametrize("sampling", ["check_in", "poisson"])
@pytest.mark.parametrize("goal", [5, 30])
@pytest.mark.parametrize("deadline", [None, 0.05, 0.5, 60.0])
def test_as_one_phone_after_the_other(sampling, goal, deadline):
    of, traits = reporting(goal, sampling=sampling, deadline_minutes=deadline)
    found = of.report(ASKED, SENTENCES, NOW, np.random.default_rng(0))
    counted, late, dropped, closes = one_by_one(
        traits, goal, None if deadline is None else 60 * deadline, sampling == "poisson"
    )
    assert found.counted.tolist() == counted
    assert (found.late, found.dropped) == (late, dropped)
    assert found.at == pytest.approx(closes, abs=1e-6)
    assert dropped > 0


def test_chance_drops_phones_that_may_be_picked_up_as_well():
    of, traits = reporting(30, dropout=0.5)
    found = of.report(ASKED, SENTENCES, NOW, np.random.default_rng(0))
    counted, late, dropped, _ = one_by_one(traits, 30, None, False, dropout=0.5)
    assert (found.counted.tolist(), found.late, found.dropped) == (counted, late, dropped)
    # Some for both reasons.
    alone, _, picked_up, _ = one_by_one(traits, 30, None, False)
    assert picked_up + np.sum(np.random.default_rng(0).random(30) < 0.5) > dropped


def test_chance_drops_as_many_as_it_says_out():
    of, _ = reporting(10_000, ideal=True, dropout=0.3)
    many = np.arange(10_000)
    found = of.report(many, 1 + many, NOW, np.random.default_rng(0))
    # Five standard deviations of a binomial count.
    assert abs(found.dropped - 3000) < 5 * (10_000 * 0.3 * 0.7) ** 0.5
    assert len(found.counted) == 10_000 - found.dropped and found.late == 0
    assert found.at == NOW


def test_nobody_is_asked_or_nobody_reports():
    of, _ = reporting(5, ideal=True)
    found = of.report(np.arange(0), np.arange(0), NOW, np.random.default_rng(0))
    assert (found.counted.tolist(), found.late, found.dropped, found.at) == ([], 0, 0, NOW)
    of, _ = reporting(5, deadline_minutes=0.001)
    found = of.report(ASKED, SENTENCES, NOW, np.random.default_rng(0))
    assert len(found.counted) == 0 and found.at == pytest.approx(NOW + 0.06, abs=1e-6)
