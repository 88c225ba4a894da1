"""What a federated model is compared with, on the same users and with the same vocabulary.

    unigram       the most frequent training words, always
    kneser-ney    a trigram model of all training users' text (`fedkeyboard.evaluation.kneser_ney`)
    central       the run's model trained on all text in one place
    (`fedkeyboard.evaluation.central_training`) local         the run's model, trained by each user
    alone, from scratch federated     the run's model
    personalized  the run's model, trained on by each user
    (`fedkeyboard.evaluation.personalization`)

With `central`, `federated` and `personalized` the run's n-grams are mixed, if it has any; what they
were made of a phone alone does not know, nor do they choose the best epoch of `central`.

`local` and `personalized` train on the first 80% of each user's sentences and are tested on the
rest; the others are tested on all, of which the rest is counted apart.

What `central`, `local` and `personalized` are set to was chosen on validation users, as the
federated model's settings were (docs/accuracy.md).
"""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.evaluation import kneser_ney, metrics, personalization, scoring
from fedkeyboard.evaluation.central_training import CentralTraining
from fedkeyboard.evaluation.personalization import PERSONAL
from fedkeyboard.simulation.comparison import centralized
from fedkeyboard.simulation.comparison.task import Task
from fedkeyboard.updates import update_file

CENTRAL = CentralTraining(learning_rate=2e-3, batch_size=32, epochs=16, dropout=0.3)
LOCAL = LocalTraining(learning_rate=3.0, batch_size=4, epochs=60, clipping_norm=1.0)


class Outcome(NamedTuple):
    """A model's counts on each user of the split, and what else is to be known of it."""

    users: list[metrics.User]
    notes: dict[str, Any] = {}


class Baseline(NamedTuple):
    """A model to compare with.

    Attributes:
      settings: What decides it, in the types of JSON, beyond population, vocabulary and split.
      outcome: Makes and tests it.
    """

    settings: Callable[[Task], dict[str, Any]]
    outcome: Callable[[Task], Outcome]


def _unigram(task: Task) -> Outcome:
    return Outcome(task.count("unigram", scoring.UnigramScorer(task.prefixes)))


def _kneser_ney(task: Task) -> Outcome:
    words = task.run.tokenizer.of_words
    messages = (text.words for text in task.training_texts(words))
    trigram = kneser_ney.Trigram.fit(messages, len(words))
    scorer = scoring.LogProbabilitiesScorer(trigram.log_probabilities, task.prefixes)
    return Outcome(task.count("kneser-ney", scorer))


def _central_settings(task: Task) -> CentralTraining:
    """`CENTRAL` in the arithmetic of the run's phones."""
    return dataclasses.replace(CENTRAL, bfloat16=task.run.config.client.bfloat16)


def _central(task: Task) -> Outcome:
    weights, epoch = centralized.train(task, _central_settings(task))
    return Outcome(task.count_weights("central", weights), {"best_epoch": epoch})


def _local(task: Task) -> Outcome:
    initial = model.initial_weights(task.run.sizes, task.run.config.seed)
    return _personal(task.personalize("local", initial, LOCAL, task.scorer_alone))


def _federated(task: Task) -> Outcome:
    return Outcome(task.count_weights("federated", task.run.weights()[0]))


def _personalized(task: Task) -> Outcome:
    weights = task.run.weights()[0]
    return _personal(task.personalize("personalized", weights, PERSONAL, task.scorer))


def _personal(compared: list[personalization.Compared | None]) -> Outcome:
    users = [metrics.User(later=c.after) if c else metrics.User() for c in compared]
    return Outcome(users, personalization.gains(compared))


def _weights_of_run(task: Task) -> dict[str, Any]:
    weights, round_number = task.run.weights()
    return {
        "rounds": round_number,
        "weights_sha256": update_file.weights_sha256(weights),
        **_mixed_in(task),
    }


def _mixed_in(task: Task) -> dict[str, Any]:
    if task.ngrams is None:
        return {}
    return {"ngrams_sha256": hashlib.sha256(task.ngrams.dump()).hexdigest()}


def _with_seed(task: Task, settings: CentralTraining | LocalTraining) -> dict[str, Any]:
    return {**dataclasses.asdict(settings), "seed": task.run.config.seed}


BASELINES = {
    "unigram": Baseline(lambda task: {}, _unigram),
    "kneser-ney": Baseline(lambda task: {}, _kneser_ney),
    "local": Baseline(lambda task: _with_seed(task, LOCAL), _local),
    "federated": Baseline(_weights_of_run, _federated),
    "personalized": Baseline(
        lambda task: {**_weights_of_run(task), **dataclasses.asdict(PERSONAL)}, _personalized
    ),
    "central": Baseline(
        lambda task: {**_with_seed(task, _central_settings(task)), **_mixed_in(task)}, _central
    ),
}
"""By name, the longest last."""
