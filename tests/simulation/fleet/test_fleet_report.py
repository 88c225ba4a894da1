import json

import numpy as np
import pytest

from fedkeyboard.simulation.fleet import fleet_report
from fedkeyboard.simulation.fleet.fleet_round import FleetRound
from fedkeyboard.simulation.fleet.habits import DAY, HOUR


def a_round(start, seconds, **of):
    values = dict.fromkeys(FleetRound._fields, 0) | {
        "reported": np.arange(8),
        "virtual_start": start,
        "virtual_seconds": seconds,
        "selected": 10,
        "gini": 0.5,
        "availability_bias": 1.0,
    }
    return FleetRound(**values | of)


@pytest.fixture
def rounds():
    """Three days: a round an hour, and two an hour from 6 to 12 o'clock, in which more drop out."""
    made, now = [], 0.0
    while now < 3 * DAY:
        busy = 6 <= now / HOUR % 24 < 12
        made.append(a_round(now, HOUR / (2 if busy else 1), dropped=2 if busy else 1, late=1))
        now += made[-1].virtual_seconds
    return made


def test_figures(rounds):
    figures = fleet_report.figures(rounds)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["rounds"] == 3 * 30 and figures["virtual_seconds"] == 3 * DAY
    assert figures["selected"] == 900 and figures["reported"] == 720
    assert figures["dropped"] == 3 * (12 * 2 + 18) and figures["late"] == 90
    assert figures["dropout_rate"] == pytest.approx(126 / 900)
    assert figures["rounds_per_hour"]["mean"] == pytest.approx(30 / 24)
    assert (figures["rounds_per_hour"]["best_hour"], figures["rounds_per_hour"]["worst_hour"]) == (
        2.0,
        pytest.approx(2 / 3),  # The hour at midnight, which no round of the first day ends in.
    )
    assert figures["seconds_per_round"]["p50"] == HOUR


def test_throughput_by_hour(rounds):
    hours, ended = fleet_report._per_hour(rounds)
    assert hours.tolist() == list(range(24))
    # A round that begins at 12 ends at 13.
    assert ended[7:12].tolist() == [2] * 5 and ended[14:].tolist() == [1] * 10
    _, asked = fleet_report._per_hour(rounds, values=[r.selected for r in rounds])
    np.testing.assert_allclose(asked, 10 * ended)


def test_table_and_plot(rounds):
    table = dict(fleet_report.rows(fleet_report.figures(rounds)))
    assert table["virtual time"] == "3.0 days"
    assert table["dropped out"] == "126 (14.0% of those asked)"
    assert fleet_report.draw(rounds, "three days").startswith(b"\x89PNG")


def test_an_ideal_fleet_takes_no_time():
    ideal = [a_round(0, 0)] * 5
    table = dict(fleet_report.rows(fleet_report.figures(ideal)))
    assert table["virtual time"] == "none: ideal" and "minutes a round" not in table
    assert fleet_report.draw(ideal, "ideal").startswith(b"\x89PNG")


def test_rounds_are_read_as_they_were_written(rounds, tmp_path):
    fleet_report.write_rounds(tmp_path / "fleet.csv", rounds)
    read = fleet_report.read_rounds(tmp_path / "fleet.csv")
    assert fleet_report.figures(read) == fleet_report.figures(rounds)
