"""What a run's model is worth on users it has not seen. Needs no TensorFlow Federated."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.console import Console

from data.population import Population
from fedkeyboard import evaluation, local_training
from simulation import personalization, progress, runs
from simulation.cohorts import Reader


def reader(run: runs.Run, population: Population) -> Reader:
    """Returns the reader of a run's population with the run's vocabulary."""
    return Reader(population, run.tokenizer, run.sizes.length, run.config.seed)


def evaluate(
    run: runs.Run,
    population: Population,
    split: str,
    console: Console,
    scorer: evaluation.Scorer | None = None,
) -> dict[str, Any]:
    """Evaluates a run on all users of a split.

    Args:
      run: The run.
      population: Its population.
      split: `train`, `validation` or `test`.
      console: Where progress goes.
      scorer: Another model than the run's weights, such as an exported file.

    Returns:
      The metrics, as in `metrics.json`.
    """
    if scorer is None:
        scorer = evaluation.WeightsScorer(run.weights()[0])
    with _users(run, population, split, "evaluating", console) as (users, advance):
        return {"split": split, **evaluation.evaluate(scorer, users, on_user=advance)}


def personalize(
    run: runs.Run,
    population: Population,
    split: str,
    settings: local_training.LocalTraining,
    console: Console,
) -> dict[str, Any]:
    """Fine-tunes a run's model on each user of a split (`simulation.personalization`)."""
    weights, _ = run.weights()
    with _users(run, population, split, "personalizing", console) as (users, advance):
        gains = personalization.personalize(weights, users, settings, on_user=advance)
    return {"split": split, **dataclasses.asdict(settings), **gains}


@contextlib.contextmanager
def _users(
    run: runs.Run, population: Population, split: str, doing: str, console: Console
) -> Iterator[tuple[Iterator[np.ndarray], Callable[[], None]]]:
    """Yields each user's rows, and what to call after each user."""
    users = population.users(split)
    read = reader(run, population).rows
    with progress.counting(console, f"{doing} {split} users", len(users)) as advance:
        yield map(read, users), advance
