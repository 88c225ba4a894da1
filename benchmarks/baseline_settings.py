"""What the baselines' own settings are worth on validation users, so that each is at its best.

    python -m benchmarks.baseline_settings RUN [central] [local] [personalized]

Tries some settings of each, with the vocabulary of RUN, which is over, and its model; test users
are not read. Writes `benchmarks/results/baseline_settings.json`, best first, where baselines that
were not asked for stay as they are. What `fedkeyboard.simulation.comparison.baselines` has was
chosen here. What was tried is kept in RUN/baselines/settings.json and not tried again, so that a
command that was stopped goes on.
"""

import argparse
import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console

from benchmarks import results
from fedkeyboard import files, model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.data.population import Population
from fedkeyboard.evaluation import metrics, personalization
from fedkeyboard.evaluation.central_training import CentralTraining
from fedkeyboard.simulation import runs
from fedkeyboard.simulation.comparison import centralized
from fedkeyboard.simulation.comparison.task import Task

CENTRAL = [
    CentralTraining(2e-3, epochs=epochs, dropout=dropout, weight_decay=decay)
    for epochs, dropout, decay in ((8, 0.2, 0.0), (16, 0.3, 0.0), (16, 0.3, 0.1), (24, 0.4, 0.0))
]
LOCAL = [
    LocalTraining(rate, batch_size=4, epochs=epochs, clipping_norm=clip)
    for rate, epochs, clip in ((1.0, 20, 1.0), (3.0, 20, 1.0), (3.0, 60, 1.0), (10.0, 20, 1.0))
]
PERSONAL = [
    LocalTraining(rate, batch_size=batch, epochs=epochs, clipping_norm=1.0, dropout=dropout)
    for rate, batch, epochs, dropout in (
        (0.1, 16, 1, 0.0),
        (0.3, 16, 1, 0.0),
        (1.0, 16, 1, 0.0),
        (0.1, 16, 3, 0.0),
        (0.3, 16, 3, 0.0),
        (0.3, 16, 3, 0.3),
        (0.3, 4, 3, 0.3),
    )
]


def central(task: Task, settings: CentralTraining) -> dict[str, Any]:
    """Returns what the best epoch reaches; `comparison` finds it there if these are chosen."""
    weights, epoch = centralized.train(task, settings)
    report = metrics.report(task.count_weights("central", weights), {})
    return {**{name: report[name] for name in ("top1_recall", "perplexity")}, "epoch": epoch}


def personal(weights: model.Weights) -> Callable[[Task, LocalTraining], dict[str, Any]]:
    """Returns what tries settings on validation users' own text, from these weights."""

    def attempt(task: Task, settings: LocalTraining) -> dict[str, Any]:
        gains = personalization.gains(task.personalize("personal", weights, settings, task.scorer))
        return {
            "top1_recall": gains["after"]["top1_recall"],
            **{
                name: gains[name]
                for name in ("relative_gain", "users_worse", "users_worse_beyond_noise")
            },
        }

    return attempt


def main() -> None:
    """Tries, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("which", nargs="*", default=["central", "local", "personalized"])
    arguments = parser.parse_args()
    run = runs.open_run(arguments.run)
    out = Console()
    # Without the test users, who can then not be read.
    file = run.population_record()["file"]
    with Population.open(file, ("train", "validation")) as population:
        task = Task(run, population, "validation", Console(stderr=True))
        attempts = {
            "central": (central, CENTRAL),
            "local": (personal(model.initial_weights(run.sizes, run.config.seed)), LOCAL),
            "personalized": (personal(run.weights()[0]), PERSONAL),
        }
        kept = run.path / "baselines" / "settings.json"
        tried = json.loads(kept.read_text()) if kept.exists() else {}
        for name in arguments.which:
            attempt, all_settings = attempts[name]
            for settings in all_settings:
                of = dataclasses.asdict(settings)
                if any(row["settings"] == of for row in tried.get(name, [])):
                    continue
                row = {"settings": of, **attempt(task, settings)}
                rows = [*tried.get(name, []), row]
                tried[name] = sorted(rows, key=lambda row: -row["top1_recall"])
                files.write_text(kept, json.dumps(tried, indent=2) + "\n")
                out.print(f"{name} {row['top1_recall']:.4f} {settings}", soft_wrap=True)
    standing = results.read("baseline_settings")
    of_others = {name: standing[name] for name in attempts if name in standing}
    results.write("baseline_settings", **{**of_others, **tried})


if __name__ == "__main__":
    main()
