"""The plot of `engine.json`."""

import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.figures import pictures


def seconds_per_round(rows: Sequence[dict[str, Any]], path: pathlib.Path) -> None:
    """Draws the frameworks' medians, every single measurement over them, and the ceiling."""
    cohorts = list(dict.fromkeys(row["cohort"] for row in rows))
    figure, ((*axes,),) = plt.subplots(
        1,
        len(cohorts),
        squeeze=False,
        figsize=(4 * len(cohorts), 3.6),
        sharey=True,
        layout="constrained",
    )
    for axis, cohort in zip(axes, cohorts, strict=True):
        shown = [row for row in rows if row["cohort"] == cohort]
        names = [row["framework"] for row in shown]
        axis.barh(
            names,
            [row["seconds_per_round"] for row in shown],
            color=["#0b6e4f" if name.startswith("fedkeyboard") else "#9aa5b1" for name in names],
        )
        for i, row in enumerate(shown):
            axis.plot(row["measurements"], [i] * len(row["measurements"]), "k|", markersize=5)
            beyond = max(row["seconds_per_round"], *row["measurements"])
            axis.annotate(
                f"{row['seconds_per_round']:.2f}",
                (beyond, i),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axis.axvline(shown[0]["ceiling_seconds"], color="#c1440e", linestyle=":")
        axis.set_title(f"{cohort}: {shown[0]['phones']} phones, {shown[0]['local_steps']} steps")
        axis.set_xlabel("seconds a round")
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.supxlabel("dotted: what the products alone would take, float32", fontsize=9)
    # By which `make figures` knows that it is of these rows.
    figure.savefig(path, dpi=110, metadata={"Description": pictures.data(rows)})
    plt.close(figure)
