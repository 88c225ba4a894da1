"""A run for a reader: one HTML file with curves, figures and settings, with nothing to fetch."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import tomli_w

matplotlib.use("Agg")  # No window: the run may have no screen.
import matplotlib.pyplot as plt  # noqa: E402

from fedkeyboard import files, model
from fedkeyboard.simulation import rounds
from fedkeyboard.simulation.fleet import fleet_report
from fedkeyboard.simulation.runs import Run

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
{breakdowns}
<h2>The fleet</h2>
{fleet}
<h2>Settings</h2>
<pre>{settings}</pre>
</html>
"""


_FIGURES = {
    "top1_recall": "top-1 recall",
    "top3_recall": "top-3 recall",
    "top5_recall": "top-5 recall",
    "keystroke_savings": "keystrokes saved",
    "accuracy_no_oov_no_eos": "accuracy, no OOV, no EOS",
    "perplexity": "perplexity",
    "oov_rate": "out-of-vocabulary rate",
}
GROUPS = {
    "position": "By the word's place in the sentence",
    "frequency": "By the word's rank among training users' words",
    "sentences": "By how many sentences the user has",
}
HEADER = ("model", "95% interval", "unigram")


def rows(metrics: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Returns the main figures as rows of a table: name, and `HEADER`."""
    unigram = metrics["baselines"]["unigram"]
    return [
        (*line, "" if name == "oov_rate" else _figure(name, unigram[name]))
        for name, line in zip(_FIGURES, figures(metrics), strict=True)
    ]


def figures(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns the main figures as rows of a table: name, value and 95% interval."""
    return [
        (title, _figure(name, metrics[name]), _interval(name, metrics["intervals"][name]))
        for name, title in _FIGURES.items()
    ]


def _interval(name: str, ends: Sequence[float] | None) -> str:
    return " to ".join(_figure(name, end) for end in ends) if ends else ""


COMPARED = {name: _FIGURES[name] for name in ("top1_recall", "top3_recall", "keystroke_savings")}


def comparison_rows(of_run: dict[str, Any], on: str) -> list[tuple[str, ...]]:
    """Returns a run's models as rows of a table: name and `COMPARED`.

    Args:
      of_run: Of `comparison.compare`.
      on: `whole`, of the models tested on all sentences, or `later`, of all on the later ones.
    """
    models = of_run["later"] if on == "later" else of_run["models"]
    return [
        (name, *(_figure(figure, of[figure]) for figure in COMPARED))
        for name, of in models.items()
        if of.get("on", on) == on
    ]


def ratio_rows(of_run: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns a comparison's ratios as rows of a table: which, the ratio, its 95% interval."""

    def ratio(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}x"

    return [
        (
            f"{of['model']} against {of['against']}" + (", last fifth" * (of["on"] == "later")),
            ratio(of["ratio"]),
            " to ".join(map(ratio, of["interval"])) if of["interval"] else "",
        )
        for of in of_run["ratios"]
    ]


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name == "perplexity":  # Of a model that has learned nothing it may have twenty digits.
        return f"{value:,.1f}" if value < 1e6 else f"{value:.1e}"
    return f"{value:.1%}"


def breakdown(metrics: dict[str, Any], group: str) -> list[tuple[str, ...]]:
    """Returns how a group of `metrics["by"]` differs, as rows of a table with its header."""
    lines = [("", "words", "top-1", "top-3", "keys saved")]
    for band, of_band in metrics["by"][group].items():
        figures = [of_band[name] for name in ("top1_recall", "top3_recall", "keystroke_savings")]
        lines.append((band, f"{of_band['targets']:,}", *(_figure("", f) for f in figures)))
    return lines


def gain_rows(gains: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Returns what personalization gave as rows of a table.

    Name, global model, personal model, personal model where the phone's gate kept it.
    """
    gate, cost = gains["gate"], gains["cost"]
    rows = [
        (
            name.replace("top", "top-").replace("_", " "),
            *(_share(of[name]) for of in (gains["before"], gains["after"], gate["after"])),
        )
        for name in gains["before"]
    ]
    for name, title in (
        ("relative_gain", "relative gain of top-1 recall"),
        ("users_worse", "users worse off"),
        ("users_worse_beyond_noise", "worse off beyond noise"),
    ):
        rows.append((title, "", _share(gains[name]), _share(gate[name])))
    spread = gains["per_user"]["top1_recall_gain"]
    rows += [
        (f"gain of the {name[1:]}th of 100 users", "", _points(spread[name]), "")
        for name in ("p10", "p50", "p90")
    ]
    rows.append(("personal weights kept", "", "", _share(gate["kept"])))
    seconds = cost["seconds"]
    if seconds["max"] is not None:
        text = f"{seconds['p50']:.1f}, at most {seconds['max']:.1f}"
        rows.append(("training, seconds a user", "", text, ""))
    if cost["megabytes"] is not None:
        rows.append(("training, MB at most", "", f"{cost['megabytes']:.0f}", ""))
    return [*rows, ("users", f"{gains['users']:,}", "", "")]


def gains_table(
    reports: Sequence[dict[str, Any]],
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Returns what personalization gave with several settings, best first, and the header."""
    settings = ("learning_rate", "epochs", "batch_size")
    shown = {
        "relative_gain": "gain",
        "users_worse": "worse off",
        "users_worse_beyond_noise": "beyond noise",
    }
    best_first = sorted(reports, key=lambda one: -(one["relative_gain"] or 0.0))
    rows = [
        (
            *(str(one[name]) for name in settings),
            "all" if len(one["layers"]) == len(model.Weights._fields) else " ".join(one["layers"]),
            *(_share(one[name]) for name in shown),
            _share(one["gate"]["relative_gain"]),
            "-"
            if one["cost"]["seconds"]["p50"] is None
            else f"{one['cost']['seconds']['p50']:.2f}",
        )
        for one in best_first
    ]
    return rows, ("rate", "epochs", "batch", "layers", *shown.values(), "gated gain", "seconds")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} points"


def write(run: Run, metrics: dict[str, Any]) -> None:
    """Writes `report.html`."""
    per_user = metrics["per_user"]["top1_recall"]
    page = _PAGE.format(
        title=html.escape(run.path.name),
        users=metrics["users"],
        targets=metrics["targets"],
        phones=_phones(run),
        fleet=_fleet(run),
        figures=html_table([("", *HEADER), *rows(metrics)]),
        breakdowns="".join(
            f"<h3>{title}</h3>{html_table(breakdown(metrics, group))}"
            for group, title in GROUPS.items()
        ),
        curves=base64.b64encode(_curves(run)).decode(),
        per_user=html_table(
            [
                ("top-1 recall", ""),
                *(
                    (name.replace("_", " "), _figure(name, value))
                    for name, value in per_user.items()
                ),
            ]
        ),
        settings=html.escape(tomli_w.dumps(run.config.published())),
    )
    files.write_text(run.report_html, page)


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
    of_fleet = fleet_report.read_rounds(run.rounds_csv)
    table = html_table(fleet_report.rows(fleet_report.figures(of_fleet)))
    if run.config.fleet.habits is None:
        return table
    plot = base64.b64encode(fleet_report.draw(of_fleet, "The fleet")).decode()
    return f'{table}<img alt="The fleet over a week" src="data:image/png;base64,{plot}">'


def html_table(lines: list[tuple[str, ...]]) -> str:
    """Returns rows as a table of HTML."""
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
        for line in lines
    )
    return f"<table>{body}</table>"


def _curves(run: Run) -> bytes:
    """Draws the training loss and the validation recall over the rounds, as PNG."""
    lines = rounds.read(run.rounds_csv)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    left.plot([line.round for line in lines], [line.loss for line in lines])
    left.set(title="Loss on the cohorts", xlabel="round", ylabel="nats a target")
    seen = [line for line in lines if line.validation_top1_recall is not None]
    for name in ("top1", "top3"):
        right.plot(
            [line.round for line in seen],
            [100 * getattr(line, f"validation_{name}_recall") for line in seen],
            marker=".",
            label=name.replace("top", "top-"),
        )
    right.set(title="Recall on validation users", xlabel="round", ylabel="%", ylim=(0, None))
    right.legend()
    with io.BytesIO() as buffer:
        figure.savefig(buffer, dpi=120)
        plt.close(figure)
        return buffer.getvalue()
