"""A run for a reader: one HTML file with curves, figures and settings, with nothing to fetch."""

import base64
import csv
import html
import io
from typing import Any

import matplotlib
import tomli_w

matplotlib.use("Agg")  # No window: the run may have no screen.
import matplotlib.pyplot as plt  # noqa: E402

from fedkeyboard import files
from simulation import fleet_report
from simulation.runs import Run

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto }}
body {{ padding: 0 1rem }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ padding: .2rem 1rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd }}
td + td {{ text-align: right; font-variant-numeric: tabular-nums }}
img {{ max-width: 100% }}
pre {{ background: #f6f6f6; padding: 1rem; overflow-x: auto }}
</style>
<h1>{title}</h1>
<p>Trained by federated learning on {phones}. Figures below are on {users:,} real users whose text
the model has never seen, {targets:,} words.</p>
{figures}
<img alt="Loss and recall over the rounds" src="data:image/png;base64,{curves}">
<h2>Over the users</h2>
{per_user}
<h2>The fleet</h2>
{fleet}
<h2>Settings</h2>
<pre>{settings}</pre>
</html>
"""


def rows(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns the main figures as rows of a table: name, model, unigram baseline."""
    unigram = metrics["baselines"]["unigram"]

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    return [
        ("top-1 recall", percent(metrics["top1_recall"]), percent(unigram["top1_recall"])),
        ("top-3 recall", percent(metrics["top3_recall"]), percent(unigram["top3_recall"])),
        (
            "accuracy, no OOV, no EOS",
            percent(metrics["accuracy_no_oov_no_eos"]),
            percent(unigram["accuracy_no_oov_no_eos"]),
        ),
        (
            "perplexity",
            "-" if metrics["perplexity"] is None else f"{metrics['perplexity']:.1f}",
            "-",
        ),
        ("out-of-vocabulary rate", percent(metrics["oov_rate"]), ""),
    ]


def gain_rows(gains: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns what personalization gave as rows of a table: name, global model, personal model."""
    rows = [
        (name.replace("top", "top-").replace("_", " "), f"{before:.1%}", f"{after:.1%}")
        for (name, before), after in zip(
            gains["before"].items(), gains["after"].values(), strict=True
        )
        if before is not None
    ]
    worse = gains["users_worse"]
    return [
        *rows,
        ("users", f"{gains['users']:,}", ""),
        ("users worse off", "", "-" if worse is None else f"{worse:.1%}"),
    ]


def write(run: Run, metrics: dict[str, Any]) -> None:
    """Writes `report.html`."""
    per_user = metrics["per_user"]["top1_recall"]
    page = _PAGE.format(
        title=html.escape(run.path.name),
        users=metrics["users"],
        targets=metrics["targets"],
        phones=_phones(run),
        fleet=_fleet(run),
        figures=_table([("", "model", "unigram"), *rows(metrics)]),
        curves=base64.b64encode(_curves(run)).decode(),
        per_user=_table(
            [
                ("top-1 recall", ""),
                *(
                    (name, "-" if value is None else f"{value:.1%}")
                    for name, value in per_user.items()
                ),
            ]
        ),
        settings=html.escape(tomli_w.dumps(run.config.published())),
    )
    files.write_text(run.path / "report.html", page)


def _phones(run: Run) -> str:
    record = run.population_record()
    phones, users = record["phones"]["train"], record["users"]["train"]
    if not record["multiplied"]:
        return f"{phones:,} simulated phones, each with a real user's text"
    return (
        f"{phones:,} virtual phones, which multiply {users:,} real users: each phone has a draw of "
        "one user's text"
    )


def _fleet(run: Run) -> str:
    rounds = fleet_report.read_rounds(run.rounds_csv)
    table = _table(fleet_report.rows(fleet_report.figures(rounds)))
    if run.config.fleet.habits is None:
        return table
    plot = base64.b64encode(fleet_report.draw(rounds, "The fleet")).decode()
    return f'{table}<img alt="The fleet over a week" src="data:image/png;base64,{plot}">'


def _table(lines: list[tuple[str, ...]]) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
        for line in lines
    )
    return f"<table>{body}</table>"


def _curves(run: Run) -> bytes:
    """Draws the training loss and the validation recall over the rounds, as PNG."""
    with open(run.rounds_csv, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    left.plot([int(line["round"]) for line in lines], [float(line["loss"]) for line in lines])
    left.set(title="Loss on the cohorts", xlabel="round", ylabel="nats a word")
    seen = [line for line in lines if line["validation_top1_recall"]]
    for name in ("top1", "top3"):
        right.plot(
            [int(line["round"]) for line in seen],
            [100 * float(line[f"validation_{name}_recall"]) for line in seen],
            marker=".",
            label=name.replace("top", "top-"),
        )
    right.set(title="Recall on validation users", xlabel="round", ylabel="%", ylim=(0, None))
    right.legend()
    with io.BytesIO() as buffer:
        figure.savefig(buffer, dpi=120)
        plt.close(figure)
        return buffer.getvalue()
