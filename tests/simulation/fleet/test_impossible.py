"""Settings with which no round could succeed."""

import pytest
from fleets import HABITS, make, run

from fedkeyboard.errors import UserError


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
