"""Who may be asked, in parts and by plain loops; whole rounds are in `test_fleet`."""

import numpy as np
import pytest

from fedkeyboard.simulation import config
from fedkeyboard.simulation.fleet import selection
from fedkeyboard.simulation.fleet.habits import DAY, HOUR, Phones
from fedkeyboard.simulation.fleet.knowledge import Knowledge
from fedkeyboard.simulation.fleet.plan import Plan
from fedkeyboard.simulation.fleet.selection import Selection

PHONES = 2000


def make(goal=20, phones=PHONES, *, ideal=False, **of):
    settings = config.Fleet(habits=None if ideal else config.Habits(), **of)
    traits = None if ideal else Phones(settings.habits, 3)
    plan = Plan.of(settings, goal, phones)
    return Selection(plan, traits, Knowledge(plan, traits, 3)), traits


def test_the_first_of_each_value():
    generator = np.random.default_rng(0)
    for count in (0, 1, 2, 50):
        values = generator.integers(0, 20, count)
        expected = [value not in values[:i] for i, value in enumerate(values)]
        assert selection._first_of_each(values).tolist() == expected


@pytest.mark.parametrize(
    ("available", "seconds"),
    # So many that each comes once while the pace fills a round of 20; never within 15 minutes.
    [(20, 900), (100, 900), (150, 1350), (2000, 18_000)],
)
def test_how_often_a_phone_checks_in(available, seconds):
    of, _ = make(pace_minutes=3.0)
    assert of.interval(available) == pytest.approx(seconds)
    assert make(ideal=True, pace_minutes=3.0)[0].interval(available) == 0


def test_a_phone_may_train_if_it_is_strong_free_and_there():
    of, traits = make(reuse_hours=2.0, minimum_memory_gb=3.0)
    everybody = np.arange(PHONES)
    now = 2 * DAY + 8 * HOUR + 0.25
    asked = everybody[::3]
    of.ask(asked, now)
    for later in (0.0, 1.0, 2 * HOUR - 1, 2 * HOUR, 2 * HOUR + 1, 5 * HOUR):
        at = np.full(PHONES, now + later)
        # To the second: that in which it was asked counts whole.
        free = ~np.isin(everybody, asked) | (later > 2 * HOUR - 0.25)
        expected = free & (traits.memory_gb(everybody) >= 3)
        expected &= traits.available_until(everybody, at) > at
        np.testing.assert_array_equal(of._may_train(everybody, at), expected)
        assert 0 < expected.sum() < PHONES


def test_who_was_never_asked_is_free_from_the_beginning():
    of, traits = make(reuse_hours=2.0)
    everybody, at = np.arange(PHONES), np.full(PHONES, 60.0)
    of.ask(everybody[::3], 0.0)
    expected = (everybody % 3 > 0) & (traits.available_until(everybody, at) > at)
    np.testing.assert_array_equal(of._may_train(everybody, at), expected)
    assert expected.any()


def test_in_an_ideal_fleet_all_may_always():
    of, _ = make(ideal=True)
    of.ask(np.arange(10), 5.0)
    assert of._may_train(np.arange(20), np.full(20, 6.0)).tolist() == [True] * 20


def test_the_share_that_is_free():
    of, _ = make(reuse_hours=2.0)
    assert of._free(0.0) == 1
    asked = [(0.0, 100), (HOUR, 300), (1.5 * HOUR, 500)]
    for at, count in asked:
        of.ask(np.arange(count), at)
    for now in (1.5 * HOUR, 2 * HOUR, 2 * HOUR + 1, 3 * HOUR + 1, 4 * HOUR):
        busy = sum(count for at, count in asked if at + 2 * HOUR >= now)
        assert of._free(now) == pytest.approx(1 - busy / PHONES)
    of.ask(np.arange(PHONES), 5 * HOUR)
    of.ask(np.arange(PHONES), 5 * HOUR)
    assert of._free(5 * HOUR) == 0
    always, _ = make()
    always.ask(np.arange(100), 0.0)
    assert always._free(0.0) == 1


def test_uniform_turns_those_away_that_are_often_there():
    of, traits = make(sampling="uniform")
    everybody = np.arange(PHONES)
    rates = traits.rates(everybody)
    generator = np.random.default_rng(0)
    welcome = np.mean([of._welcome(everybody, generator) for _ in range(2000)], axis=0)
    rare = np.quantile(rates, 0.05)
    expected = np.minimum(1, rare / rates)
    # Six standard deviations of a share of 2,000 draws, for each of 2,000 phones.
    assert np.all(np.abs(welcome - expected) < 6 * (0.25 / 2000) ** 0.5)
    assert np.all(welcome[rates < rare] == 1)
    everyone, _ = make()
    assert everyone._welcome(everybody, generator).all()


def test_groups_take_turns():
    of, _ = make(sampling="cyclic", cycle=7)
    assert [of._group(number) for number in (0, 1, 6, 7, 15)] == [
        (0, 7), (1, 7), (6, 7), (0, 7), (1, 7)
    ]  # fmt: skip
    assert make()[0]._group(5) == (0, 1)
    ideal, _ = make(10, 40, ideal=True, sampling="cyclic", cycle=4)
    for number in range(8):
        found = ideal.select(np.random.default_rng(number), 0.0, number, number)
        assert sorted(found.phones) == list(range(number % 4, 40, 4))


@pytest.mark.parametrize("sampling", ["cyclic", "random_check_in"])
def test_by_default_a_cycle_leaves_enough_phones(sampling):
    """Of the ideal fleet as many as are wanted; with habits twice as many, at a mean hour."""
    ideal, _ = make(ideal=True, sampling=sampling)
    assert ideal.cycle == PHONES // 20
    real, _ = make(sampling=sampling)
    mean = real._knowledge.hourly.mean()
    assert real.cycle == int(mean / 40) > 1
    assert make(phones=30, sampling=sampling)[0].cycle == 1
    assert make(sampling=sampling, cycle=9)[0].cycle == 9


def test_some_are_drawn_once_and_uniformly_of_those_allowed():
    of, _ = make(phones=60)
    generator = np.random.default_rng(0)
    counts = np.zeros(60)
    for _ in range(2000):
        drawn = of._some(generator, 10, lambda phones: phones % 2 == 0)
        assert len(set(drawn.tolist())) == len(drawn) == 10
        counts[drawn] += 1
    assert counts[1::2].sum() == 0
    assert np.all(np.abs(counts[::2] - 2000 / 3) < 5 * (2000 * 2 / 9) ** 0.5)
    assert len(of._some(generator, 0, lambda phones: phones % 2 == 0)) == 0
    for _ in range(5):
        everybody = of._some(generator, 60, lambda phones: np.ones(len(phones), bool))
        assert sorted(everybody) == list(range(60))


def test_those_who_come_first_are_asked_and_the_others_have_not_checked_in():
    of, traits = make(20, selection_minutes=10.0)
    for seed in range(5):
        found = of.select(np.random.default_rng(seed), 8 * HOUR, 0, 0)
        assert len(set(found.phones.tolist())) == len(found.phones) == found.checked_in == 20
        assert 8 * HOUR < found.at < 8 * HOUR + 600
        at = np.full(20, found.at)
        # All of them were there when they came, and few have left since.
        assert np.mean(traits.available_until(found.phones, at) > at) > 0.8


def test_a_selection_ends_when_its_time_is_over():
    of, _ = make(20, 60, selection_minutes=2.0)
    found = of.select(np.random.default_rng(0), 8 * HOUR, 0, 0)
    assert found.at == 8 * HOUR + 120 and len(found.phones) == found.checked_in < 20
    tossed, _ = make(20, sampling="poisson", pace_minutes=3.0)
    found = tossed.select(np.random.default_rng(0), 8 * HOUR, 0, 0)
    assert found.at == 8 * HOUR + 180 and len(found.phones) == found.checked_in
    ideal, _ = make(20, ideal=True, sampling="poisson", pace_minutes=3.0)
    assert ideal.select(np.random.default_rng(0), 8 * HOUR, 0, 0).at == 8 * HOUR
    many, _ = make(1000, ideal=True, sampling="poisson")
    found = many.select(np.random.default_rng(0), 8 * HOUR, 0, 0)
    assert len(set(found.phones.tolist())) == len(found.phones) > 900


def test_where_all_are_left_alone_nobody_comes():
    of, _ = make(20, reuse_hours=4.0, selection_minutes=2.0)
    of.ask(np.arange(PHONES), 8 * HOUR)
    found = of.select(np.random.default_rng(0), 8 * HOUR + 1, 0, 0)
    assert len(found.phones) == found.checked_in == 0 and found.at == 8 * HOUR + 121


@pytest.mark.parametrize("of", [{}, {"sampling": "random_check_in", "cycle": 2}], ids=str)
def test_a_round_may_be_of_one_phone(of):
    made, _ = make(1, **of)
    found = made.select(np.random.default_rng(0), 8 * HOUR, 0, 0)
    assert len(found.phones) == found.checked_in == 1 and found.at > 8 * HOUR


def test_those_who_drew_the_round_come_evenly_while_it_selects():
    of, traits = make(20, 20_000, sampling="random_check_in", cycle=10, selection_minutes=10.0)
    at = np.full(20_000, 8 * HOUR)
    here = np.mean(traits.available_until(np.arange(20_000), at) > at)
    seconds = [
        of.select(np.random.default_rng(window), 8 * HOUR, 0, 10 * window).at - 8 * HOUR
        for window in range(20)
    ]
    # The twentieth of those of two thousand who are there; five deviations of twenty such times.
    assert np.mean(seconds) == pytest.approx(600 * 20 / (2000 * here), rel=5 / 20)


def test_a_round_fills_as_fast_when_half_of_the_phones_are_left_alone():
    """The others are told to come twice as often: as many come in three minutes."""
    of, _ = make(40, 40_000, pace_minutes=3.0, reuse_hours=4.0, selection_minutes=60.0)
    now = 8 * HOUR
    of.ask(np.arange(0, 40_000, 2), now - HOUR)
    at_mean_hour, here = of._knowledge.available(now)
    seconds = [of.select(np.random.default_rng(i), now, 0, 0).at - now for i in range(40)]
    expected = 180 * at_mean_hour / here
    # Of forty check-ins each: a relative deviation of 1 / sqrt(40), and of forty such times.
    assert np.mean(seconds) == pytest.approx(expected, rel=5 / 40 + 0.05)


@pytest.mark.parametrize("of", [{}, {"sampling": "cyclic", "cycle": 4}], ids=str)
def test_how_many_are_drawn_at_once_does_not_matter(of, monkeypatch):
    """The next ones come after those before them, and only as many as are still wanted."""
    monkeypatch.setattr(selection, "_MOST_CANDIDATES", 4)
    made, _ = make(20, 80_000, pace_minutes=3.0, selection_minutes=60.0, **of)
    now = 8 * HOUR
    at_mean_hour, here = made._knowledge.available(now)
    seconds = []
    for seed in range(40):
        found = made.select(np.random.default_rng(seed), now, 0, 0)
        assert len(found.phones) == found.checked_in == len(set(found.phones.tolist())) == 20
        seconds.append(found.at - now)
    # Five standard deviations: of twenty check-ins each, and of forty such times.
    assert np.mean(seconds) == pytest.approx(180 * at_mean_hour / here, rel=5 / (20 * 40) ** 0.5)


def test_those_of_a_round_come_while_it_selects():
    of, _ = make(20, 20_000, sampling="random_check_in", cycle=10, selection_minutes=10.0)
    now = 8 * HOUR
    found = of.select(np.random.default_rng(0), now, 0, 0)
    assert len(found.phones) == found.checked_in == 20 and now < found.at < now + 600
    few, _ = make(20, 100, sampling="random_check_in", cycle=10, selection_minutes=10.0)
    found = few.select(np.random.default_rng(0), now, 0, 0)
    assert len(found.phones) == found.checked_in < 20 and found.at == now + 600
    ideal, _ = make(20, ideal=True, sampling="random_check_in", cycle=10)
    for slot in range(10):
        found = ideal.select(np.random.default_rng(slot), now, slot, slot)
        assert len(found.phones) == 20 and found.at == now
