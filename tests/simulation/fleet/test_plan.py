import pytest

from fedkeyboard.simulation import config
from fedkeyboard.simulation.fleet.plan import Plan


def plan(goal, phones=1000, **of):
    return Plan.of(config.Fleet(**of), goal, phones)


@pytest.mark.parametrize(
    ("goal", "over_selection", "wanted"),
    [
        (20, 1.0, 20),
        (20, 1.3, 26),
        (21, 1.3, 28),  # 27.3
        (10, 1.1, 11),  # Which is 11.000000000000002 in floating point, and no twelfth phone.
        (1, 1.5, 2),
    ],
)
def test_so_many_more_are_asked_as_over_selection_says(goal, over_selection, wanted):
    assert plan(goal, over_selection=over_selection).wanted == wanted


@pytest.mark.parametrize(
    ("sampling", "minimum", "least"),
    [
        ("check_in", None, 20),
        ("check_in", 7, 7),
        ("uniform", None, 20),
        ("cyclic", 7, 7),
        ("random_check_in", None, 1),  # How many come is by chance.
        ("random_check_in", 7, 7),
        ("poisson", None, 0),
    ],
)
def test_below_how_many_reports_an_attempt_is_abandoned(sampling, minimum, least):
    assert plan(20, sampling=sampling, minimum_reports=minimum).least == least


def test_who_takes_turns():
    turns = {"cyclic": True, "random_check_in": True}
    for sampling in ("check_in", "uniform", "poisson", "cyclic", "random_check_in"):
        assert plan(20, sampling=sampling).takes_turns == turns.get(sampling, False)


def test_the_coin():
    assert plan(20, 1000, sampling="poisson").coin == pytest.approx(0.02)
    assert plan(20, 1000, sampling="poisson", over_selection=1.5).coin == pytest.approx(0.03)
    assert plan(20, 15, sampling="poisson").coin == 1
