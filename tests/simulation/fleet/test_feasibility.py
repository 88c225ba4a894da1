"""Where settings begin to be hopeless: a chance of one in a thousand, by SciPy's distributions."""

import numpy as np
import pytest
import scipy.stats

from fedkeyboard.errors import UserError
from fedkeyboard.simulation import config
from fedkeyboard.simulation.fleet import feasibility
from fedkeyboard.simulation.fleet.habits import Phones
from fedkeyboard.simulation.fleet.knowledge import Knowledge
from fedkeyboard.simulation.fleet.plan import Plan
from fedkeyboard.simulation.fleet.reporting import Reporting
from fedkeyboard.simulation.fleet.selection import Selection

PHONES = 3000


class Fleet:
    """The parts that settings are checked with."""

    def __init__(self, goal=20, phones=PHONES, *, ideal=False, **of):
        settings = config.Fleet(habits=None if ideal else config.Habits(), **of)
        self.traits = None if ideal else Phones(settings.habits, 3)
        self.plan = Plan.of(settings, goal, phones)
        self.knowledge = Knowledge(self.plan, self.traits, 3)
        self.selection = Selection(self.plan, self.traits, self.knowledge)
        self.reporting = Reporting(self.plan, self.traits, 5_000_000, 2_000_000)

    def refusal(self, check):
        """What a check says, None if nothing."""
        try:
            if check == "enough":
                feasibility._check_enough(self.plan, self.selection)
            elif check == "awake":
                feasibility._check_awake(self.plan, self.traits, self.knowledge, self.selection)
            elif check == "all":
                feasibility.check(
                    *(self.plan, self.traits, self.knowledge, self.selection, self.reporting),
                    lambda phones: 1 + phones % 9,
                )
            else:
                feasibility._check_reports(
                    self.plan, self.knowledge.sample, self.reporting, lambda phones: 1 + phones % 9
                )
        except UserError as error:
            return str(error)


def test_a_fleet_has_as_many_phones_as_are_asked():
    assert Fleet(30, 30, ideal=True).refusal("enough") is None
    said = Fleet(31, 30, ideal=True).refusal("enough")
    assert said.startswith("rounds.cohort = 31 asks for 31 phones a round, and the population has ")
    assert "30 training phones" in said
    assert "fleet.over_selection = 1.5" in Fleet(21, 30, ideal=True, over_selection=1.5).refusal(
        "enough"
    )
    assert Fleet(20, 30, ideal=True, over_selection=1.5).refusal("enough") is None


@pytest.mark.parametrize("sampling", ["cyclic", "random_check_in"])
def test_each_round_of_a_cycle_has_enough(sampling):
    assert Fleet(20, 3000, ideal=True, sampling=sampling, cycle=150).refusal("enough") is None
    said = Fleet(20, 3000, ideal=True, sampling=sampling, cycle=151).refusal("enough")
    assert "fleet.cycle = 151 leaves 19 of 3,000 phones a round" in said
    assert said.endswith("use at most 150")
    assert Fleet(20, 3000, ideal=True, cycle=None).refusal("enough") is None


def test_some_phone_has_the_memory():
    """Of the shares in `habits`, none has more than 6 GB."""
    assert Fleet(minimum_memory_gb=6.0, minimum_reports=1).refusal("awake") is None
    for check in ("awake", "all"):
        assert "minimum_memory_gb = 6.5: no phone" in Fleet(minimum_memory_gb=6.5).refusal(check)
    # Of an ideal fleet, whose phones have no traits, nobody asks.
    assert Fleet(ideal=True).refusal("all") is None


def test_as_many_as_are_to_report_may_be_awake():
    fleet = Fleet(20, minimum_reports=1)
    fleet.knowledge.most_awake = 20.0
    assert fleet.refusal("awake") is None
    fleet.knowledge.most_awake = 19.9
    assert "about 20 are awake" in fleet.refusal("awake")


def test_the_pace_is_that_of_the_mean_hour():
    """Of phones so few that a fraction of one counts."""
    settings = {"pace_minutes": 60.0, "selection_minutes": 3.0}
    fleet = Fleet(2, 40, sampling="uniform", **settings)
    mean = fleet.knowledge.hourly.mean()
    assert mean % 1 > 0.2
    verdicts = set()
    for come in (0.0451, 0.0457):  # Of which two or more are 0.99 and 1.01 in a thousand.
        # A phone checks in once while two of the mean hour's do within the pace.
        fleet.knowledge.most_awake = come * (3600 * mean / 2) / 180
        hopeless = scipy.stats.poisson.sf(1, come) < 1e-3
        assert (fleet.refusal("awake") is not None) == hopeless
        verdicts.add(hopeless)
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("sampling", "of"),
    [
        ("check_in", {}),
        ("check_in", {"minimum_reports": 15, "selection_minutes": 1.0}),
        ("uniform", {"minimum_reports": 5, "selection_minutes": 3.0}),
        ("cyclic", {"cycle": 4, "minimum_reports": 9, "selection_minutes": 2.0}),
        ("random_check_in", {"cycle": 6}),
        ("random_check_in", {"cycle": 6, "minimum_reports": 12}),
        ("poisson", {}),
    ],
)
def test_who_is_awake_at_the_best_hour(sampling, of):
    """From too few to enough: refused as long as a round has less than a thousandth of a chance."""
    fleet = Fleet(sampling=sampling, **of)
    plan, settings = fleet.plan, fleet.plan.settings
    mean = fleet.knowledge.hourly.mean()
    verdicts = set()
    for most_awake in np.geomspace(0.001, PHONES, 300):
        fleet.knowledge.most_awake = most_awake
        groups = {"cyclic": 4, "random_check_in": 6}.get(sampling, 1)
        awake, expected = most_awake / groups, False
        if sampling in ("check_in", "uniform", "cyclic"):
            expected = awake < 20
            # Each checks in once while a round of 20 fills at the mean hour; 15 minutes at least.
            of_mean = mean / groups
            interval = max(900, 60 * settings.pace_minutes * of_mean / 20)
            come = awake * min(1, 60 * settings.selection_minutes / interval)
        else:
            come = awake * (20 / PHONES if sampling == "poisson" else 1)
        expected |= scipy.stats.poisson.sf(max(1, plan.least) - 1, come) < 1e-3
        assert (fleet.refusal("awake") is not None) == expected, most_awake
        verdicts.add(expected)
    assert verdicts == {True, False}


@pytest.mark.parametrize("least", [None, 1, 15])
def test_who_reports(least):
    """Of so many that drop out; refused where a round has less than a thousandth of a chance."""
    verdicts = set()
    for dropout in np.linspace(0.01, 0.99, 99):
        fleet = Fleet(
            20, ideal=True, over_selection=1.5, minimum_reports=least, dropout=float(dropout)
        )
        chance = scipy.stats.binom.sf((least or 20) - 1, 30, 1 - dropout)
        said = fleet.refusal("reports")
        assert (said is not None) == (chance < 1e-3), dropout
        if said:
            assert f"of 30 phones asked about {30 * (1 - dropout):.0f} would report with" in said
        verdicts.add(said is None)
    assert verdicts == {True, False} or least == 1


def test_the_fastest_phone_may_need_all_of_the_deadline():
    fleet = Fleet()
    fastest = fleet.reporting.seconds(fleet.knowledge.sample, 1).min() / 60
    for minutes, refused in ((fastest * (1 + 1e-9), False), (fastest * (1 - 1e-9), True)):
        settings = config.Fleet(habits=config.Habits(), deadline_minutes=float(minutes))
        fleet.plan = Plan.of(settings, 20, PHONES)
        assert ("the fastest phone" in fleet.refusal("reports")) == refused


def test_who_reports_within_the_deadline():
    fleet = Fleet()
    sample = fleet.knowledge.sample
    alone = fleet.reporting.seconds(sample, 1)
    real = fleet.reporting.seconds(sample, 1 + sample % 9)
    verdicts = set()
    for minutes in np.geomspace(0.9 * alone.min() / 60, 1.1 * real.max() / 60, 60):
        settings = config.Fleet(
            habits=config.Habits(), deadline_minutes=float(minutes), minimum_reports=5
        )
        fleet.plan = Plan.of(settings, 20, PHONES)
        said = fleet.refusal("reports")
        if alone.min() > 60 * minutes:
            assert "the fastest phone" in said
            continue
        chance = scipy.stats.binom.sf(4, 20, np.mean(real <= 60 * minutes))
        assert (said is not None) == (chance < 1e-3), minutes
        verdicts.add(said is None)
    assert verdicts == {True, False}


@pytest.mark.parametrize("sampling", ["poisson", "random_check_in"])
def test_rounds_of_any_number_are_not_hopeless(sampling):
    assert Fleet(ideal=True, sampling=sampling, dropout=0.99).refusal("reports") is None
