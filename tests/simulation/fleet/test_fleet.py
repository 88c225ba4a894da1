import collections
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkeyboard.data.population import Population
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.simulation import config, config_files
from fedkeyboard.simulation.fleet import fleet, participation
from fedkeyboard.simulation.fleet.habits import DAY, HOUR

GBOARD = pathlib.Path(config.__file__).parent / "configs/gboard.toml"
HABITS = config.Habits()


def lengths(phones):
    return 10 + phones % 91


def make(report_goal=20, phones=5000, *, seed=1, sentences=lengths, **of):
    return fleet.Fleet(
        config.Fleet(**of),
        report_goal,
        phones=phones,
        sentences=sentences,
        bytes_down=5_000_000,
        bytes_up=5_000_000,
        seed=seed,
    )


def run(of, rounds):
    return [of.next_round() for _ in range(rounds)]


def same(one, other):
    return all(
        np.array_equal(a, b)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


REAL = {
    "over_selection": 1.3,
    "minimum_reports": 12,
    "deadline_minutes": 5.0,
    "dropout": 0.06,
    "reuse_hours": 2.0,
    "minimum_memory_gb": 2.0,
    "habits": HABITS,
}
SAMPLINGS = ["check_in", "uniform", "poisson", "cyclic", "random_check_in"]


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


@settings(deadline=None, max_examples=20)
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


# --- sampling ------------------------------------------------------------------------------------


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


# --- impossible settings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "parts"),
    [
        ({"report_goal": 5001}, ["rounds.cohort = 5001", "5,000"]),
        ({"report_goal": 4000, "over_selection": 1.3}, ["over_selection = 1.3", "5,200"]),
        ({"sampling": "cyclic", "cycle": 300}, ["fleet.cycle = 300", "at most 250"]),
        ({"sampling": "random_check_in", "cycle": 300}, ["fleet.cycle = 300"]),
        ({"report_goal": 3500, "habits": HABITS}, ["3,500", "best hour", "rounds.cohort"]),
        ({"minimum_memory_gb": 64.0, "habits": HABITS}, ["minimum_memory_gb = 64"]),
        (
            {"deadline_minutes": 0.001, "habits": HABITS},
            ["deadline_minutes = 0.001", "fastest phone"],
        ),
        (
            {"deadline_minutes": 0.1, "habits": HABITS},
            ["deadline_minutes = 0.1", "fleet.minimum_reports"],
        ),
        ({"dropout": 0.5}, ["about 10 would report", "fleet.dropout = 0.5", "over_selection"]),
    ],
)
def test_impossible_settings_are_named_before_the_first_round(of, parts):
    with pytest.raises(UserError) as caught:
        make(**of)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    "of",
    [
        {"report_goal": 800, "phones": 2000, "minimum_reports": 100},
        {"report_goal": 100, "phones": 2000, "sampling": "random_check_in", "cycle": 20},
        pytest.param(
            {"phones": 20_000, "selection_minutes": 0.1, "minimum_reports": 5},
            marks=pytest.mark.heavy,
        ),
        {"report_goal": 1, "phones": 3},
        {"report_goal": 20, "phones": 30_000, "sampling": "random_check_in", "cycle": 1},
    ],
)
def test_what_is_hard_but_possible_is_not_refused(of):
    assert len(run(make(habits=HABITS, **of), 5)) == 5


def test_a_round_that_has_all_its_reports_does_not_wait_for_the_deadline():
    of = make(100, 300, minimum_reports=5, deadline_minutes=600.0, habits=HABITS)
    for each in run(of, 20):
        if not each.dropped and not each.abandoned:
            assert each.virtual_seconds < 2 * HOUR


def test_the_pace_of_poisson_costs_nobody():
    of = make(100, 20_000, sampling="poisson", pace_minutes=600.0, habits=HABITS)
    rounds = run(of, 20)
    assert sum(r.dropped for r in rounds) < 0.05 * sum(r.selected for r in rounds)


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
