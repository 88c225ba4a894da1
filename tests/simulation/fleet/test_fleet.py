import collections

import numpy as np
import pytest
from fleets import GBOARD, HABITS, REAL, SAMPLINGS, make, run, same
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkeyboard.data.population import Population
from fedkeyboard.errors import RunFailure
from fedkeyboard.simulation import config_files
from fedkeyboard.simulation.fleet import fleet, participation
from fedkeyboard.simulation.fleet.habits import DAY, HOUR

# --- the ideal fleet ------------------------------------------------------------------------------


def test_the_ideal_cohort_is_a_uniform_sample_without_time():
    drawn = collections.Counter()
    for each in run(make(5, 40), 2000):
        assert len(set(each.reported)) == 5 == each.selected == each.checked_in
        assert each.virtual_start == each.virtual_seconds == 0
        assert each.late == each.dropped == each.abandoned == 0
        assert each.bytes_down == each.bytes_up == 25_000_000
        assert each.availability_bias == 1
        drawn.update(each.reported.tolist())
    assert set(drawn) == set(range(40))
    # Five standard deviations of a binomial count.
    assert max(abs(n - 250) for n in drawn.values()) < 5 * 250**0.5


def test_the_ideal_cohort_may_be_everybody():
    assert sorted(make(40, 40).next_round().reported) == list(range(40))


@pytest.mark.parametrize("habits", [None, HABITS], ids=["ideal", "real"])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_same_seed_gives_the_same_fleet_bit_for_bit(sampling, habits):
    few = None if sampling == "poisson" else 2
    once, again, other = (
        run(make(sampling=sampling, habits=habits, minimum_reports=few, seed=seed), 30)
        for seed in (1, 1, 2)
    )
    assert same(once, again)
    assert not same(once, other)


# --- the protocol ---------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    sampling=st.sampled_from(SAMPLINGS),
    over_selection=st.floats(1, 2),
    dropout=st.floats(0, 0.3),
    deadline=st.one_of(st.none(), st.floats(2, 20)),
    least=st.integers(1, 10),
    reuse=st.floats(0, 5),
    seed=st.integers(0, 1000),
)
def test_whatever_the_settings_the_account_is_right(
    sampling, over_selection, dropout, deadline, least, reuse, seed
):
    of = make(
        sampling=sampling,
        over_selection=over_selection,
        dropout=dropout,
        deadline_minutes=deadline,
        minimum_reports=None if sampling == "poisson" else least,
        reuse_hours=0 if sampling == "poisson" else reuse,
        habits=HABITS,
        seed=seed,
    )
    now, seen, reports = 0.0, set(), collections.Counter()
    asked = int(np.ceil(20 * over_selection - 1e-9))
    for each in run(of, 12):
        assert each.virtual_start == pytest.approx(now, rel=1e-12)
        now += each.virtual_seconds
        assert each.virtual_seconds > 0
        assert len(each.reported) == len(set(each.reported.tolist()))
        assert len(each.reported) >= least or sampling == "poisson"
        if sampling != "poisson":
            assert len(each.reported) <= 20
            assert each.selected <= asked * (1 + each.abandoned)
        if not each.abandoned:
            assert each.selected == len(each.reported) + each.late + each.dropped
        assert each.checked_in >= each.selected
        assert each.bytes_down == 5_000_000 * each.selected
        assert each.bytes_up == 5_000_000 * (each.selected - each.dropped)
        seen |= set(each.reported.tolist())
        reports.update(each.reported.tolist())
        assert each.phones_seen == len(seen)
        assert each.gini == pytest.approx(brute_force_gini([reports[i] for i in range(5000)]))
        if deadline is not None and not each.abandoned:
            longest = 60 * (of._plan.settings.selection_minutes + deadline)
            assert each.virtual_seconds <= longest + 60 * of._plan.settings.pace_minutes + 1


def brute_force_gini(values):
    """The mean difference of all pairs by twice the mean."""
    values = np.sort(np.array(values, float))
    n = len(values)
    if not values.any():  # Nobody has taken part yet.
        return 0.0
    differences = 2 * np.sum((2 * np.arange(n) - n + 1) * values)
    return differences / n**2 / (2 * values.mean())


def test_gini_of_known_inequality():
    assert participation.gini(np.array([0, 10])) == 0
    assert participation.gini(np.array([5, 5])) == pytest.approx(0.5)
    assert participation.gini(np.array([7])) == 0
    assert participation.gini(np.array([99, 0, 0, 1])) == pytest.approx(0.99)


def test_phones_are_available_when_asked_and_those_who_report_until_they_are_done():
    of = make(**REAL)
    asked = []
    work = of._reporting._work

    def spied(phones, sentences, now, generator):
        done, drops = work(phones, sentences, now, generator)
        asked.append((now, phones, done, drops))
        return done, drops

    of._reporting._work = spied
    for _ in range(40):
        each = of.next_round()
        now, phones, done, drops = asked[-1]
        at = np.full(len(phones), now)
        until = of._traits.available_until(phones, at)
        assert np.all(of._traits.memory_gb(phones) >= 2)
        # They checked in before the selection ended, and may have left by its end.
        assert np.mean(until > at) > 0.9
        kept = np.isin(phones, each.reported)
        assert np.all(until[kept] >= done[kept]) and not np.any(drops[kept])
        assert np.all(done[kept] <= now + 5 * 60)
        # The report goal goes to the first ones.
        late = ~kept & ~drops
        if late.any() and len(each.reported) == 20:
            assert done[late].min() >= done[kept].max()


def test_a_phone_that_was_asked_is_left_alone():
    of = make(**REAL)
    last = {}
    ask = of._selection.ask

    def spied(phones, now):
        for phone in phones.tolist():
            # Asked at the selection's end; it checked in at most a selection earlier.
            assert now - last.get(phone, -1e9) >= 2 * HOUR - 1
            last[phone] = now
        ask(phones, now)

    of._selection.ask = spied
    run(of, 150)
    assert len(last) > 1000


def test_pace_steering_fills_a_round_in_the_time_it_means_to():
    of = make(
        40, 200_000, pace_minutes=3.0, deadline_minutes=5.0, minimum_reports=20, habits=HABITS
    )
    seconds = []
    ask = of._selection.ask

    def spied(phones, now):
        # In an hour with more phones than the mean it takes less.
        at_mean_hour, at_this = of._knowledge.available(now)
        seconds.append((now - began) * at_this / at_mean_hour)
        ask(phones, now)

    of._selection.ask = spied
    for _ in range(300):
        began = of._now
        of.next_round()
    assert np.mean(seconds) == pytest.approx(3 * 60, rel=0.1)


def test_a_small_fleet_waits_for_its_phones():
    """Nobody checks in more often than every 15 minutes."""
    of = make(20, 400, minimum_reports=1, habits=HABITS, selection_minutes=10.0)
    busy = run(of, 30)
    assert np.mean([r.virtual_seconds for r in busy]) > 2 * 60


def test_more_dropouts_more_loss():
    rates = []
    for dropout in (0.0, 0.1, 0.3):
        rounds = run(make(**REAL | {"dropout": dropout, "minimum_reports": 5}), 60)
        rates.append(sum(r.dropped for r in rounds) / sum(r.selected for r in rounds))
    # What is not by chance: phones that were picked up.
    assert 0 < rates[0] < 0.08
    assert rates[1] == pytest.approx(rates[0] + 0.1 * (1 - rates[0]), abs=0.03)
    assert rates[2] == pytest.approx(rates[0] + 0.3 * (1 - rates[0]), abs=0.04)


def test_a_day_has_a_wave():
    """More phones at night, so a round fills faster (Bonawitz et al. 2019, section 9)."""
    of = make(60, 100_000, minimum_reports=10, deadline_minutes=5.0, habits=HABITS)
    rounds = run(of, 800)
    hours = np.array([r.virtual_start / HOUR % 24 for r in rounds])
    seconds = np.array([r.virtual_seconds for r in rounds])
    night, day = seconds[(hours >= 6) & (hours < 12)], seconds[(hours >= 18) & (hours < 24)]
    assert np.mean(day) > 1.5 * np.mean(night)


def test_a_round_that_has_all_its_reports_does_not_wait_for_the_deadline():
    of = make(100, 300, minimum_reports=5, deadline_minutes=600.0, habits=HABITS)
    for each in run(of, 20):
        if not each.dropped and not each.abandoned:
            assert each.virtual_seconds < 2 * HOUR


def test_a_fleet_that_stalls_says_so(monkeypatch):
    monkeypatch.setattr(fleet, "_GIVE_UP", 20)
    monkeypatch.setattr(fleet, "_GIVE_UP_DAYS", 0)
    of = make(20, habits=HABITS, minimum_reports=20, deadline_minutes=30.0)
    of._reporting._work = lambda phones, sentences, now, generator: (
        np.full(len(phones), now),
        np.ones(len(phones), bool),
    )
    with pytest.raises(RunFailure, match="20 attempts at a round in a row were abandoned"):
        of.next_round()


def test_a_fleet_is_waited_for_over_a_night(monkeypatch):
    """What is away now may come back; it counts from when the round began."""
    monkeypatch.setattr(fleet, "_GIVE_UP", 2)
    monkeypatch.setattr(fleet, "_GIVE_UP_DAYS", 1)
    of = make(20, habits=HABITS, minimum_reports=20, deadline_minutes=30.0)
    while of._now < 1.2 * DAY:
        of.next_round()
    of._reporting._work = lambda phones, sentences, now, generator: (
        np.full(len(phones), now),
        np.ones(len(phones), bool),
    )
    began = of._now
    with pytest.raises(RunFailure, match="attempts at a round in a row were abandoned"):
        of.next_round()
    assert DAY <= of._now - began < DAY + 2 * HOUR


def test_the_published_settings_on_a_real_population(tiny_population):
    """The seam to a run: sentences from the file, bytes from the model."""
    overrides = ["rounds.cohort=5", "fleet.minimum_reports=3", "client.maximum_sentences=7"]
    loaded = config_files.load(GBOARD, overrides)
    with Population.open(tiny_population) as population:
        of = fleet.of(loaded, population)
        phones = np.arange(len(population.phones("train")))
        expected = [
            min(7, len(population.sentences(phone))) for phone in population.phones("train")
        ]
        np.testing.assert_array_equal(of._sentences(phones), expected)
        # Gboard's model, 10,000 entries: 4 * (960,000 + 2 * 96 * 2010 + 2010 + 64,320 + 10,000).
        assert of._bytes_down == of._bytes_up == 5_689_000
        # Adam's two moments go down, a gradient comes up.
        mime = ["client.algorithm=mime_lite", "server.optimizer=adam"]
        of = fleet.of(config_files.load(GBOARD, [*overrides, *mime]), population)
        assert of._bytes_down == 3 * 5_689_000 and of._bytes_up == 2 * 5_689_000
