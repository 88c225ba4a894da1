"""What rounds of a fleet come to: figures, a table in CSV, and a plot over the virtual week."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # No window: there may be no screen.
import matplotlib.pyplot as plt  # noqa: E402

from fedkeyboard import files
from fedkeyboard.simulation.fleet.fleet_round import FleetRound
from fedkeyboard.simulation.fleet.habits import DAY, HOUR
from fedkeyboard.simulation.rounds import lines, readable

_WEEK = 7 * DAY


def figures(rounds: Sequence[FleetRound]) -> dict[str, Any]:
    """Returns what the rounds come to, in the types of JSON; fractions, seconds, bytes."""
    last = rounds[-1]
    virtual = last.virtual_start + last.virtual_seconds
    seconds = np.array([r.virtual_seconds for r in rounds])
    by_hour = _per_hour(rounds)[1]
    selected = sum(r.selected for r in rounds)
    return {
        "rounds": len(rounds),
        "virtual_seconds": virtual,
        "seconds_per_round": {
            "mean": float(seconds.mean()),
            **{f"p{p}": float(np.percentile(seconds, p)) for p in (10, 50, 90)},
        },
        "rounds_per_hour": {
            "mean": len(rounds) / (virtual / HOUR) if virtual else None,
            "best_hour": float(by_hour.max()) if len(by_hour) else None,
            "worst_hour": float(by_hour.min()) if len(by_hour) else None,
        },
        "checked_in": sum(r.checked_in for r in rounds),
        "selected": selected,
        "reported": sum(len(r.reported) for r in rounds),
        "late": sum(r.late for r in rounds),
        "dropped": sum(r.dropped for r in rounds),
        "dropout_rate": sum(r.dropped for r in rounds) / max(1, selected),
        "abandoned": sum(r.abandoned for r in rounds),
        "bytes_down": sum(r.bytes_down for r in rounds),
        "bytes_up": sum(r.bytes_up for r in rounds),
        "phones_seen": last.phones_seen,
        "gini": last.gini,
        "availability_bias": last.availability_bias,
    }


def rows(of: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns `figures` as rows of a table."""
    each, hourly = of["seconds_per_round"], of["rounds_per_hour"]
    timed = of["virtual_seconds"] > 0

    def share(name: str) -> str:
        return f"{of[name]:,} ({of[name] / max(1, of['selected']):.1%} of those asked)"

    return [
        ("rounds", f"{of['rounds']:,}"),
        ("virtual time", f"{of['virtual_seconds'] / DAY:.1f} days" if timed else "none: ideal"),
        *(
            [
                (
                    "minutes a round",
                    f"{each['mean'] / 60:.1f} (10%: {each['p10'] / 60:.1f}, "
                    f"median {each['p50'] / 60:.1f}, 90%: {each['p90'] / 60:.1f})",
                ),
                (
                    "rounds an hour",
                    f"{hourly['mean']:.1f}"
                    + (
                        f" (best hour of the day {hourly['best_hour']:.1f}, "
                        f"worst {hourly['worst_hour']:.1f})"
                        if hourly["best_hour"] is not None
                        else ""
                    ),
                ),
            ]
            if timed
            else []
        ),
        ("checked in", f"{of['checked_in']:,}"),
        ("asked", f"{of['selected']:,}"),
        ("reported", share("reported")),
        ("late", share("late")),
        ("dropped out", share("dropped")),
        ("attempts abandoned", f"{of['abandoned']:,}"),
        ("down", f"{of['bytes_down'] / 1e9:,.1f} GB"),
        ("up", f"{of['bytes_up'] / 1e9:,.1f} GB"),
        ("phones seen", f"{of['phones_seen']:,}"),
        ("Gini of participation", f"{of['gini']:.3f}"),
        ("bias to available phones", f"{of['availability_bias']:.2f}"),
    ]


def write_rounds(path: files.PathLike, rounds: Sequence[FleetRound]) -> None:
    """Writes a row a round; of `reported` the number."""
    lines = [
        [number, *of_fleet._replace(reported=len(of_fleet.reported))]
        for number, of_fleet in enumerate(rounds, 1)
    ]
    files.write_csv(path, [["round", *FleetRound._fields], *lines])


def read_rounds(path: files.PathLike) -> list[FleetRound]:
    """Reads rounds.csv of a run, or fleet.csv; who reported is not in them, only how many."""
    kinds = FleetRound.__annotations__
    with readable(path):
        return [
            FleetRound(
                reported=np.zeros(int(line["reported"]), np.int64),
                **{name: kinds[name](line[name]) for name in FleetRound.columns()},
            )
            for line in lines(path)
        ]


def draw(rounds: Sequence[FleetRound], title: str) -> bytes:
    """Draws length, losses and throughput of the rounds over the virtual week, as PNG.

    What lasts longer than a week is laid over it, from Monday.
    """
    starts = np.array([r.virtual_start for r in rounds])
    seconds = np.array([r.virtual_seconds for r in rounds])
    figure, axes = plt.subplots(4, 1, figsize=(11, 10), sharex=True, layout="constrained")
    days = starts % _WEEK / DAY
    axes[0].plot(days, seconds / 60, ".", markersize=2)
    axes[0].set(title=title, ylabel="minutes a round", ylim=(0, None))
    hours, by_hour = _per_hour(rounds, _WEEK)
    _, asked = _per_hour(rounds, _WEEK, [r.selected for r in rounds])
    for name, label in (("dropped", "dropped out"), ("late", "late")):
        _, lost = _per_hour(rounds, _WEEK, [getattr(r, name) for r in rounds])
        axes[1].step(hours / 24, 100 * lost / np.maximum(asked, 1e-9), where="post", label=label)
    axes[1].set(ylabel="% of phones asked", ylim=(0, None))
    axes[1].legend()
    axes[2].step(hours / 24, by_hour, where="post")
    axes[2].set(ylabel="rounds an hour", ylim=(0, None))
    axes[3].plot(starts / DAY % 7, [r.phones_seen for r in rounds], ".", markersize=2)
    axes[3].set(ylabel="phones seen", xlabel="day of the virtual week, from Monday 0:00 UTC")
    for axis in axes:
        axis.set(xlim=(0, max(1.0, min(7.0, float(days.max(initial=0.0))))))
        axis.grid(alpha=0.3)
    with io.BytesIO() as buffer:
        figure.savefig(buffer, dpi=110)
        plt.close(figure)
        return buffer.getvalue()


def _per_hour(
    rounds: Sequence[FleetRound],
    period: float = DAY,
    values: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns hours of the period (a day, a week) and how much of `values` an hour has in the mean.

    A round counts, with its value or by default as one, where it ends. Only hours that passed at
    least once; none before an hour has.
    """
    ends = np.array([r.virtual_start + r.virtual_seconds for r in rounds])
    passed = int(ends[-1] // HOUR)
    hours = int(period // HOUR)
    ended = np.bincount((ends // HOUR).astype(np.int64), values, minlength=passed)[:passed]
    at = np.arange(passed) % hours
    times = np.bincount(at, minlength=hours)
    seen = np.flatnonzero(times)
    return seen, np.bincount(at, weights=ended, minlength=hours)[seen] / times[seen]
