"""A sweep for a reader: trials.csv, the best experiment, and a page of plots that opens offline."""

import html
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
import plotly.graph_objects as go
import plotly.offline

from fedkeyboard import files, hashed
from fedkeyboard.simulation import report
from fedkeyboard.simulation.tuning import trials
from fedkeyboard.simulation.tuning.ranges import Sweep
from fedkeyboard.simulation.tuning.trials import Trial

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 64rem }}
body {{ margin: 0 auto; padding: 1rem }}
h2 {{ font-size: 1.2rem; margin: 2rem 0 .3rem }}
p {{ max-width: 46rem }}
.scroll {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: .93rem }}
td {{ padding: .25rem 1rem .25rem 0; border-bottom: 1px solid #d8dee4 }}
td {{ font-variant-numeric: tabular-nums }}
</style>
<script>{plotly}</script>
<h1>{title}</h1>
<p>{lead}</p>
{charts}
<h2>All trials</h2>
<div class="scroll">{table}</div>
</html>
"""

_RECALL = "top-1 recall"
_STATES = ("complete", "pruned", "diverged", "failed")

# With fewer completed trials it is chance which setting seems to matter.
_LEAST_FOR_IMPORTANCE = 8


def write(out: pathlib.Path, sweep: Sweep, known: Mapping[int, Trial], users: int) -> None:
    """Writes trials.csv, sweep.html and, of the best trial so far, best.toml.

    Args:
      out: The sweep's directory.
      sweep: The sweep.
      known: Its trials, by their numbers.
      users: How many validation users there are.
    """
    ordered = [known[number] for number in sorted(known)]
    figures = ("top1_recall", "top3_recall", "perplexity", "rounds", "seconds", "reason")
    files.write_csv(
        out / "trials.csv",
        [
            ("trial", "state", *sweep.ranges, *figures),
            *(
                (
                    t.number,
                    t.state,
                    *(t.settings[key] for key in sweep.ranges),
                    *(getattr(t, name) for name in figures),
                )
                for t in ordered
            ),
        ],
    )
    best = trials.best(known)
    if best is not None:
        settings = hashed.read_text(
            trials.directory(out, best.number) / "config.toml", at_most=files.MEGABYTE
        )
        told = (
            f"# Trial {best.number} of {len(known)} of the sweep {sweep.file.name}: top-1 recall "
            f"{best.top1_recall:.2%} on {users:,} validation users."
        )
        files.write_text(out / "best.toml", f"{told}\n\n{settings}")
    page = _PAGE.format(
        title=html.escape(f"Sweep of {sweep.file.stem}"),
        plotly=plotly.offline.get_plotlyjs(),
        lead=html.escape(_lead(known, users)),
        charts="".join(
            f"<h2>{title}</h2><p>{note}</p>{_chart(figure)}"
            for title, note, figure in _figures(sweep, known)
        ),
        table=report.html_table([header(sweep), *rows(sweep, known)]),
    )
    files.write_text(out / "sweep.html", page)


def setting(value: Any) -> str:
    """Returns a drawn setting for a reader."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def outcome(trial: Trial) -> str:
    """Returns how a trial ended that was not completed, and why."""
    if trial.state == "complete":
        return ""
    return f"{trial.state}: {trial.reason}" if trial.reason else trial.state


def header(sweep: Sweep) -> tuple[str, ...]:
    """Returns the names of the columns of `rows`."""
    columns = (_RECALL, "top-3 recall", "perplexity", "rounds", "minutes", "")
    # A space, so that a narrow terminal can break the line there.
    return ("trial", *(key.replace(".", " ") for key in sweep.ranges), *columns)


def rows(sweep: Sweep, known: Mapping[int, Trial]) -> list[tuple[str, ...]]:
    """Returns the trials as rows of a table, the best first."""

    def rank(trial: Trial) -> tuple[float, ...]:
        return (_STATES.index(trial.state), -(trial.top1_recall or 0), trial.number)

    return [
        (
            str(trial.number),
            *(setting(trial.settings[key]) for key in sweep.ranges),
            "" if trial.top1_recall is None else f"{trial.top1_recall:.2%}",
            "" if trial.top3_recall is None else f"{trial.top3_recall:.2%}",
            "" if trial.perplexity is None else f"{trial.perplexity:.1f}",
            str(trial.rounds or ""),
            f"{trial.seconds / 60:.1f}" if trial.seconds else "",
            outcome(trial),
        )
        for trial in sorted(known.values(), key=rank)
    ]


def _lead(known: Mapping[int, Trial], users: int) -> str:
    states = [trial.state for trial in known.values()]
    counts = [f"{states.count(state)} {state}" for state in _STATES if state in states]
    text = f"{len(states)} trials: {', '.join(counts)}." if states else "No trials yet."
    best = trials.best(known)
    if best is None:
        return text
    of_best = ", ".join(f"{key} = {setting(value)}" for key, value in best.settings.items())
    return (
        f"{text} The best, trial {best.number}, has {best.top1_recall:.2%} top-1 recall on the "
        f"whole text of {users:,} validation users, with {of_best}. Test users took no part."
    )


def _figures(sweep: Sweep, known: Mapping[int, Trial]) -> Iterator[tuple[str, str, go.Figure]]:
    """Yields Optuna's plots: title, what they show, figure; none before a trial is completed."""
    recalls = [t.top1_recall for t in known.values() if t.state == "complete"]
    if not recalls:
        return
    study = trials.study(sweep, known, max(known) + 1)
    plots, objective = optuna.visualization, {"target_name": _RECALL}
    yield (
        "How the sweep went",
        "A point is a completed trial; the line, the best so far.",
        plots.plot_optimization_history(study, **objective).update_yaxes(tickformat=".1%"),
    )
    curves = plots.plot_intermediate_values(study)
    yield (
        "How the trials learned",
        "Top-1 recall on the sample of validation users; a line that ends early was pruned.",
        curves.update_yaxes(tickformat=".1%", title=_RECALL).update_xaxes(title="round"),
    )
    yield (
        "Setting by setting",
        "Completed trials; later ones are darker.",
        plots.plot_slice(study, **objective).update_yaxes(tickformat=".1%"),
    )
    parallel = plots.plot_parallel_coordinate(study, **objective)
    lines = parallel.data[0]
    lines.dimensions[0].tickformat = lines.line.colorbar.tickformat = ".1%"
    yield (
        "All settings together",
        "A line is a completed trial. Drag along an axis to choose.",
        parallel,
    )
    if len(sweep.ranges) > 1 and len(recalls) >= _LEAST_FOR_IMPORTANCE and len(set(recalls)) > 1:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        yield (
            "Which settings matter",
            "Share of the recall's variance over these ranges (fANOVA); rough for few trials.",
            plots.plot_param_importances(study, evaluator=evaluator, **objective),
        )


def _chart(figure: go.Figure) -> str:
    figure.update_layout(title=None, template="plotly_white", margin={"t": 30})
    return figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        config={"displaylogo": False, "responsive": True},
    )
