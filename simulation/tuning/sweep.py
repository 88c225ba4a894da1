"""A sweep: trials of an experiment, each with settings drawn in the light of the trials before.

    sweep.json          what the sweep was begun with
    trials/001/         a run directory, whose metrics.json is on all validation users
    trials/001/trial.json   what became of it (`fedkeyboard.simulation.tuning.trials`); with it the
    trial is over trials.csv, sweep.html, best.toml   of the trials so far
    (`fedkeyboard.simulation.tuning.sweep_report`)

A trial that was killed goes on from its last checkpoint. Test users take no part: of the population
as it is opened here they cannot be read.
"""

import dataclasses
import functools
import json
import math
import pathlib
import shlex
import shutil
import time
from collections.abc import Callable
from typing import Any

import optuna
from rich.console import Console
from tensorflow_federated.python.core.impl.context_stack.set_default_context import (
    set_no_default_context,
)

from fedkeyboard import files, hashed
from fedkeyboard.data.population import Population
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.simulation import (
    assessment,
    config_files,
    directories,
    experiment,
    progress,
    report,
    rounds,
    runs,
    training,
    vocabulary,
)
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation.fleet import fleet
from fedkeyboard.simulation.rounds import Round
from fedkeyboard.simulation.tuning import ranges, sweep_report, trials
from fedkeyboard.simulation.tuning.ranges import Sweep
from fedkeyboard.simulation.tuning.trials import Trial
from fedkeyboard.text import subwords
from fedkeyboard.text.tokenizer import Tokenizer

SPLITS = ("train", "validation")

# Beside Optuna, TFF's own default context, which starts nothing here, complains when Python exits.
set_no_default_context()


class _Ended(Exception):
    """A trial is over before its last round; the arguments are its state and why."""


def run(
    sweep: Sweep, out: pathlib.Path, *, population_file: pathlib.Path | None, console: Console
) -> dict[int, Trial]:
    """Runs a sweep to its last trial, from where it is.

    Args:
      sweep: What to do.
      out: The sweep's directory, which is made if it is not there.
      population_file: Instead of the experiment's population.
      console: Where progress goes.

    Returns:
      The trials, by their numbers.

    Raises:
      UserError: If `out` has something else, or a sweep that was begun with other settings.
      RunFailure: If another process has it, or it was stopped, or no trial could be completed.
    """
    _check_directory(out)
    if population_file is not None:
        on_file = experiment.on_population(sweep.experiment, population_file)
        sweep = dataclasses.replace(sweep, experiment=on_file)
    with experiment.open_population(sweep.experiment.population, console, SPLITS) as population:
        for corner in sweep.corners:
            fleet.of(corner, population)
        with directories.claimed(out):
            _begin(sweep, out, population)
            try:
                return _run(sweep, out, population, console)
            except KeyboardInterrupt as error:
                moved = ["--population", str(population_file)] if population_file else []
                again = ["--config", str(sweep.file), "--out", str(out), *moved]
                raise RunFailure(
                    f"stopped; go on with: fedkeyboard sweep {shlex.join(again)}"
                ) from error


def _check_directory(out: pathlib.Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: not a directory; give another --out")
    if (
        out.is_dir()
        and not (out / "sweep.json").exists()
        and any(
            p.name not in (".lock", hashed.RECORD) and not p.name.endswith(".part")
            for p in out.iterdir()
        )
    ):
        raise UserError(f"{out}: has something else than a sweep; give another --out")


def _begin(sweep: Sweep, out: pathlib.Path, population: Population) -> None:
    """Writes what the sweep begins with; raises UserError if it was begun with something else."""
    # The population is known by its fingerprint; how the machine is used changes no result.
    ours = {
        "seed": sweep.seed,
        "population": population.fingerprint,
        "experiment": sweep.experiment.model_dump(exclude={"population", "runtime"}),
        "ranges": {
            key: optuna.distributions.distribution_to_json(distribution)
            for key, distribution in sweep.ranges.items()
        },
    }
    text = json.dumps(ours, indent=2) + "\n"
    path = out / "sweep.json"
    if not path.exists():
        hashed.write_text(path, text)
        return
    read = hashed.read_json(
        path, at_most=files.MEGABYTE, remedy="restore it from a copy, or begin with another --out"
    )
    if not isinstance(read, dict):
        raise RunFailure(f"{path}: damaged; begin again with another --out")
    theirs = dict(ranges.leaves(read))
    ours = dict(ranges.leaves(json.loads(text)))
    different = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
    if different:
        raise UserError(
            f"{out}: begun with another {', '.join(different)}; only `trials` can change; "
            "undo it, or begin a new sweep with another --out"
        )


def _run(
    sweep: Sweep, out: pathlib.Path, population: Population, console: Console
) -> dict[int, Trial]:
    known = trials.read(out)
    users = len(population.users("validation"))

    @functools.cache
    def learn(settings: configs.Tokenizer) -> Tokenizer:
        return vocabulary.learn(population, settings)

    todo = [
        number
        for number in range(1, sweep.trials + 1)
        if number not in known or known[number].state == "failed"
    ]
    began = time.monotonic()
    for done, number in enumerate(todo, 1):
        # In case the process was killed before it wrote of the last trial.
        sweep_report.write(out, sweep, known, users)
        known[number] = _run_trial(
            sweep, out, number, trials.study(sweep, known, number), population, learn, console
        )
        _tell(known, number, (time.monotonic() - began) / done, len(todo) - done, console)
    sweep_report.write(out, sweep, known, users)
    if trials.best(known) is None:
        reason = known[max(known)].reason
        raise RunFailure(f"{out}: no trial was completed; the last one: {reason}")
    return known


def _run_trial(
    sweep: Sweep,
    out: pathlib.Path,
    number: int,
    study: optuna.Study,
    population: Population,
    learn: Callable[[configs.Tokenizer], Tokenizer],
    console: Console,
) -> Trial:
    """Runs a trial, or what is left of it, and records what became of it."""
    path = trials.directory(out, number)
    begun = (path / "config.toml").exists()
    if begun:
        drawn = config_files.load_of_run(path)
        study.enqueue_trial({key: ranges.setting(drawn, key) for key in sweep.ranges})
    asked = study.ask(sweep.ranges)
    config = config_files.replace(sweep.experiment, asked.params, f"trial {number}")
    config = config_files.of_population(config, len(population.users("train")))
    shown = "  ".join(f"{k} {sweep_report.setting(v)}" for k, v in asked.params.items())
    progress.say(console, f"trial {number}/{sweep.trials}  {shown}")
    with directories.claimed(path):
        kind = config.tokenizer.kind
        result: dict[str, Any] = {}
        try:
            tokenizer = subwords.load(path, kind) if begun else learn(config.tokenizer)
            of_trial = runs.begin(path, config, population, tokenizer)
            metrics = _train(of_trial, population, asked, console)
            state, reason = "complete", ""
            result = {name: metrics[name] for name in ("top1_recall", "top3_recall", "perplexity")}
        except _Ended as ended:
            state, reason = ended.args
        except UserError as error:
            state, reason = "failed", str(error)
        if state != "failed":
            done = rounds.read(of_trial.rounds_csv)
            result["validated"] = _validated(done)
            result["rounds"] = len(done)
            result["seconds"] = sum(of.seconds for of in done)
        trial = Trial(number=number, state=state, reason=reason, settings=asked.params, **result)
        trial.save(path / "trial.json")
        if state != "failed":
            # A hundred trials' would fill the disk, and the model is in weights.npz.
            shutil.rmtree(path / "checkpoints", ignore_errors=True)
    return trial


def _train(
    of_trial: runs.Run, population: Population, asked: optuna.Trial, console: Console
) -> dict[str, Any]:
    """Trains and returns the metrics on all validation users.

    Raises:
      _Ended: If the trial diverges or is pruned.
      UserError: If it cannot be run.
    """
    last = of_trial.config.rounds.count
    reported: set[int] = set()

    def judge(of_round: Round) -> None:
        if of_round.diverged:
            raise _Ended("diverged", "no phone's update is finite")
        if not math.isfinite(of_round.loss):
            raise _Ended("diverged", "the loss is not finite")
        if of_round.validation_top1_recall is None or of_round.round == last:
            return
        # Of a resumed trial also what it validated before.
        for step, value in _validated(rounds.read(of_trial.rounds_csv)).items():
            if step not in reported:
                asked.report(value, step)
                reported.add(step)
        if asked.should_prune():
            raise _Ended("pruned", "")

    with progress.rounds(console, last) as show:

        def on_round(of_round: Round) -> None:
            show(of_round)
            judge(of_round)

        reader = assessment.reader(of_trial, population)
        training.train(of_trial, reader, fleet.of(of_trial.config, population), on_round)
    metrics = assessment.evaluate(of_trial, population, "validation", console)
    if metrics["perplexity"] is None:
        raise _Ended("diverged", "the perplexity is not finite")
    of_trial.save_metrics(metrics)
    report.write(of_trial, metrics)
    return metrics


def _validated(done: list[Round]) -> dict[int, float]:
    """Returns the recall on the sample of validation users by round, where it was measured."""
    return {
        of.round: of.validation_top1_recall for of in done if of.validation_top1_recall is not None
    }


def _tell(
    known: dict[int, Trial], number: int, seconds: float, left: int, console: Console
) -> None:
    """Says what became of a trial, which is the best, and how long the others may take."""
    trial, best = known[number], trials.best(known)
    text = sweep_report.outcome(trial) or f"recall {trial.top1_recall:.1%}"
    if best is not None:
        text += f"; best so far {best.top1_recall:.1%} (trial {best.number})"
    if left:
        text += f"; about {math.ceil(seconds * left / 60)} min left"
    progress.say(console, text)
