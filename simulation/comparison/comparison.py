"""What federated learning gains over leaving each phone alone, and loses against taking all text.

Each model's counts on the users of a split are kept in RUN/baselines/NAME-SPLIT.json with all that
decided them, and made again only if that differs; so a comparison that was stopped goes on.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from fedkeyboard import files, hashed
from fedkeyboard.data.population import Population
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import intervals, metrics
from fedkeyboard.simulation import progress, rounds
from fedkeyboard.simulation.comparison.baselines import BASELINES
from fedkeyboard.simulation.comparison.task import Task
from fedkeyboard.simulation.directories import claimed
from fedkeyboard.simulation.fleet import fleet_report
from fedkeyboard.simulation.fleet.fleet_round import FleetRound
from fedkeyboard.simulation.runs import Run
from fedkeyboard.text.words import words

# Of a run; all others depend on population and vocabulary alone.
_OWN = ("federated", "personalized")
# Of what is counted, and how.
_VERSION = 3
# Bytes of a model's counts: some 150 a user.
_MOST_JSON = 1024 * files.MEGABYTE
_DAY = 86400.0

# What is asked first: a model, the one it is held against, and on which sentences.
_RATIOS = (
    ("federated", "unigram", "whole"),
    ("federated", "kneser-ney", "whole"),
    ("federated", "central", "whole"),
    ("federated", "local", "later"),
    ("personalized", "federated", "later"),
)


class Assessed(NamedTuple):
    """A model's counts on the users of a split, in their order, and what is known of it."""

    users: list[metrics.User]
    settings: dict[str, Any]
    notes: dict[str, Any]
    report: dict[str, Any]


def assess(name: str, task: Task) -> Assessed:
    """Returns what a model of `BASELINES` is worth, from its file if that still holds."""
    baseline = BASELINES[name]
    path = task.run.path / "baselines" / f"{name}-{task.split}.json"
    made_from = {
        "version": _VERSION,
        "split": task.split,
        "population": task.population.fingerprint,
        "tokenizer": hashlib.sha256(task.run.tokenizer.model).hexdigest(),
        "model": dataclasses.asdict(task.run.sizes),
        "settings": baseline.settings(task),
    }
    kept = _read(path, made_from)
    if kept is not None:
        progress.say(task.console, f"{name:<13} from {path}")
        return kept
    users, notes = baseline.outcome(task)
    assessed = Assessed(users, made_from["settings"], notes, _report(users))
    record = {
        "baseline": name,
        "made_from": made_from,
        "notes": notes,
        "report": assessed.report,
        # Of each user the sums, without id or text, for intervals that pair two models.
        "counts": [field.name for field in dataclasses.fields(metrics.Counts)],
        "whole": [user.total.numbers() for user in users],
        "later": [user.later.numbers() for user in users],
    }
    hashed.write_text(path, json.dumps(record) + "\n")
    return assessed


def _report(users: Sequence[metrics.User]) -> dict[str, Any]:
    """Returns the metrics on all sentences, or on the later ones if a model has no others."""
    if any(user.total.words for user in users):
        return {"on": "whole", **metrics.report(users, {})}
    later = [metrics.User(user.later) for user in users if user.later.words]
    return {"on": "later", **metrics.report(later, {})}


def _read(path: pathlib.Path, made_from: dict[str, Any]) -> Assessed | None:
    if not path.exists():
        return None
    try:
        record = hashed.read_json(path, at_most=_MOST_JSON)
        # As JSON has them: a tuple is a list there.
        if record["made_from"] != json.loads(json.dumps(made_from)):
            return None
        users = [
            metrics.User(metrics.Counts(*whole), metrics.Counts(*later))
            for whole, later in zip(record["whole"], record["later"], strict=True)
        ]
        return Assessed(users, made_from["settings"], record["notes"], record["report"])
    except (UserError, ValueError, KeyError, TypeError):
        return None


def compare(
    compared: Sequence[Run],
    split: str,
    console: Console,
    *,
    central: bool = True,
    moved_to: files.PathLike | None = None,
) -> dict[str, Any]:
    """Compares the models of some federated runs on the same users.

    Args:
      compared: Strategies, or fleets, to choose from, all on one population, with one vocabulary
        and with models of one size. The baselines are made for the first.
      split: Whose text they are tested on.
      console: Where progress goes.
      central: Whether to train the centralised model, which takes longest.
      moved_to: Where the population file is now, if it was moved.

    Returns:
      In the types of JSON: `split`; `source` of the text; `users`; `length`, the words of a
      sentence that are counted; `minimum_users`, how many must have written a word of the
      vocabulary; `runs`, of each `name`, `strategy`, `models` (by name, `metrics.report` and what
      it is `on`: `whole` text or `later`), `later` (by name, the metrics on the later sentences),
      `ratios`, `verdicts` (which baselines win, in words), `personal` (`personalization.gains`),
      `costs`, `typing` and `rounds`.

    Raises:
      UserError: If the runs differ in population, vocabulary or the model's sizes.
      RunFailure: If a run has no checkpoint yet.
    """
    first = compared[0]
    for run in compared[1:]:
        if run.population_record()["fingerprint"] != first.population_record()["fingerprint"]:
            raise UserError(f"{run.path}: on another population than {first.path}")
        if run.tokenizer != first.tokenizer:
            raise UserError(f"{run.path}: with another vocabulary than {first.path}")
        if run.sizes != first.sizes:
            raise UserError(f"{run.path}: with other settings of [model] than {first.path}")
    for run in compared:
        run.weights()  # Without them there is nothing to compare.
    with first.open_population(moved_to) as population:
        tasks = [Task(run, population, split, console) for run in compared]
        # What takes no time first, so that a run that lacks something is told at once.
        trained = [_training(task) for task in tasks]
        own = []
        for task in tasks:
            with claimed(task.run.path):
                own.append({name: assess(name, task) for name in _OWN})
        with claimed(first.path):
            shared = {
                name: assess(name, tasks[0])
                for name in BASELINES
                if name not in _OWN and (central or name != "central")
            }
        return {
            "split": split,
            "source": population.description["source"],
            "users": len(population.users(split)),
            "length": first.sizes.length,
            "minimum_users": first.config.tokenizer.minimum_users,
            "runs": [
                {**_compare_run(task, {**shared, **of_run}), **of_training}
                for task, of_run, of_training in zip(tasks, own, trained, strict=True)
            ],
        }


def _compare_run(task: Task, assessed: dict[str, Assessed]) -> dict[str, Any]:
    config = task.run.config
    models = {name: of.report for name, of in assessed.items()}
    later = {name: _on_later(of) for name, of in assessed.items()}
    ratios = [
        {"model": one, "against": other, "on": on, **_ratio(assessed[one], assessed[other], on)}
        for one, other, on in _RATIOS
        if one in assessed and other in assessed
    ]
    return {
        "name": task.run.path.name,
        "strategy": {
            "algorithm": config.client.algorithm,
            "server_optimizer": config.server.optimizer,
            "cohort": config.rounds.cohort,
            "rounds": task.run.weights()[1],
            "phones": task.run.population_record()["phones"]["train"],
        },
        "models": models,
        "later": later,
        "ratios": ratios,
        "verdicts": verdicts(ratios),
        "personal": assessed["personalized"].notes,
        "typing": _typing(task, later),
    }


def _sums(assessed: Assessed, on: str) -> np.ndarray:
    which = "total" if on == "whole" else "later"
    return np.array([getattr(user, which).numbers() for user in assessed.users], np.float64)


def _on_later(assessed: Assessed) -> dict[str, Any]:
    users = [metrics.User(user.later) for user in assessed.users if user.later.words]
    of = metrics.report(users, {})
    return {name: of[name] for name in ("users", "targets", *metrics.FIGURES)} | {
        "intervals": of["intervals"],
        "per_user": of["per_user"],
    }


def _ratio(one: Assessed, other: Assessed, on: str) -> dict[str, Any]:
    """Returns the ratio of two models' top-1 recalls on the same users, with its interval."""
    recall = metrics.FIGURES["top1_recall"]
    numbers = np.concatenate([_sums(one, on), _sums(other, on)], axis=1)
    fields = numbers.shape[1] // 2

    def ratio(sums: np.ndarray) -> np.ndarray:
        return recall(sums[:, :fields]) / recall(sums[:, fields:])

    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(ratio(numbers.sum(axis=0, keepdims=True))[0])
    return {
        "ratio": value if math.isfinite(value) else None,
        "interval": intervals.interval(numbers[numbers[:, 0] > 0], ratio),
    }


# By whom a federated model should not be beaten. All text in one place is a bound, and no rival.
_RIVALS = {
    "unigram": "The most frequent words alone are better suggestions than the federated model's",
    "kneser-ney": "Counts of three words in a row (Kneser-Ney) beat the federated model",
    "local": "Phones left alone do better than with the federated model",
}


def verdicts(ratios: Sequence[dict[str, Any]]) -> list[str]:
    """Says in words which baselines win against the federated model, and how surely.

    Args:
      ratios: Of top-1 recalls, as `compare` returns them of a run.
    """
    said = []
    for of in ratios:
        if of["model"] != "federated" or of["against"] not in _RIVALS:
            continue
        if of["ratio"] is None or of["ratio"] >= 1:
            continue
        sure = of["interval"] is not None and of["interval"][1] < 1
        said.append(
            f"{_RIVALS[of['against']]}: it has {of['ratio']:.2f} times the recall"
            + ("." if sure else ", which may be chance.")
        )
    return said


def _training(task: Task) -> dict[str, Any]:
    """Returns `costs` and `rounds` of the rounds that the model has had, which may not be all."""
    of_fleet = fleet_report.read_rounds(task.run.rounds_csv)[: task.run.rounds_done()]
    return {"costs": _costs(task, of_fleet), "rounds": _curve(task, of_fleet)}


def _costs(task: Task, of_fleet: list[FleetRound]) -> dict[str, Any]:
    """Returns what the training moved, and what stayed at home, in bytes a phone that took part."""
    fleet = fleet_report.figures(of_fleet)
    seen = max(1, fleet["phones_seen"])
    users = task.population.users("train")
    text = sum(
        len(sentence.encode()) for user in users for sentence in task.population.sentences(user)
    )
    return {
        "bytes_down_per_phone": fleet["bytes_down"] / seen,
        "bytes_up_per_phone": fleet["bytes_up"] / seen,
        "text_bytes_per_user": text / len(users),
        "rounds_per_phone": fleet["reported"] / seen,
        "virtual_days": fleet["virtual_seconds"] / _DAY,
    }


def _typing(task: Task, later: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the keys of a day on which a user writes, and how many each model saves of them.

    The keys are those of all words of all sentences, each with its space; of them a model saves the
    share that it saves on the later sentences. None if the population has no times, or of
    sub-words, whose savings are not told.
    """
    if later["federated"]["keystroke_savings"] is None:
        return None
    users = task.population.users(task.split)
    days = sum(active_days(task.population, user) for user in users)
    if not days:
        return None
    keys = sum(
        len(word) + 1
        for user in users
        for sentence in task.population.sentences(user)
        for word in words(sentence)
    )
    return {
        "active_days": days,
        "keys_a_day": keys / days,
        "saved_a_day": {
            name: of["keystroke_savings"] * keys / days
            for name, of in later.items()
            if of["keystroke_savings"] is not None
        },
    }


def active_days(population: Population, user: int) -> int:
    """Returns on how many days (UTC) a user wrote; 0 if the population has no times."""
    return len({int(time // _DAY) for time in population.times(user) if time is not None})


def _curve(task: Task, of_fleet: list[FleetRound]) -> dict[str, list[float | None]]:
    """Returns the validation metrics over the rounds, and what a phone had moved by then."""
    moved = itertools.accumulate(of.bytes_down + of.bytes_up for of in of_fleet)
    curve: dict[str, list[float | None]] = {}
    of_training = rounds.read(task.run.rounds_csv)[: len(of_fleet)]
    for of, fleet, total in zip(of_training, of_fleet, moved, strict=True):
        if of.validation_top1_recall is None:
            continue
        point = {
            "round": of.round,
            "bytes_per_phone": total / max(1, fleet.phones_seen),
            "days": (fleet.virtual_start + fleet.virtual_seconds) / _DAY,
            "top1_recall": of.validation_top1_recall,
            "top3_recall": of.validation_top3_recall,
            "perplexity": of.validation_perplexity,
        }
        for name, value in point.items():
            curve.setdefault(name, []).append(value)
    return curve
