"""What models are compared on: the users of a split of a run's population."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

from rich.console import Console

from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.data.population import Population
from fedkeyboard.evaluation import keystrokes, metrics, personalization, scoring
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.simulation import assessment
from fedkeyboard.simulation.runs import Run
from fedkeyboard.text.tokenizer import Text, Tokenizer


@dataclasses.dataclass(frozen=True)
class Task:
    """What all are compared on.

    Attributes:
      run: The federated run, whose vocabulary, sizes and seed all have.
      population: Its population.
      split: Whose text they are tested on.
      console: Where progress goes.
    """

    run: Run
    population: Population
    split: str
    console: Console

    @functools.cached_property
    def prefixes(self) -> keystrokes.Prefixes:
        """The word vocabulary's."""
        return keystrokes.prefixes(self.run.tokenizer.of_words.vocabulary)

    @functools.cached_property
    def ngrams(self) -> NGrams | None:
        """What is mixed with the run's model, if anything is."""
        return self.run.ngrams()

    @functools.cached_property
    def scorer(self) -> Callable[[model.Weights], scoring.Scorer]:
        """Makes a scorer of weights of the run's model, with its n-grams."""
        return assessment.scorer(self.run, self.ngrams)

    @functools.cached_property
    def scorer_alone(self) -> Callable[[model.Weights], scoring.Scorer]:
        """Makes a scorer of weights of the run's model, without n-grams."""
        return assessment.scorer(self.run)

    def count(self, name: str, scorer: scoring.Scorer) -> list[metrics.User]:
        """Returns a model's counts on each user."""
        with self._texts(f"{name}: evaluating") as texts:
            return scoring.count_users({name: scorer}, texts)[name]

    def count_weights(self, name: str, weights: model.Weights) -> list[metrics.User]:
        """Returns the counts of a model of these weights."""
        return self.count(name, self.scorer(weights))

    def personalize(
        self,
        name: str,
        weights: model.Weights,
        settings: LocalTraining,
        scorer: Callable[[model.Weights], scoring.Scorer],
    ) -> list[personalization.Compared | None]:
        """Trains a model on each user's first sentences, and compares on the later ones."""
        with self._texts(f"{name}: training on") as texts:
            return personalization.personalize(weights, texts, settings, scorer)

    def training_texts(self, tokenizer: Tokenizer) -> Iterator[Text]:
        """Yields the text of each training user, in the entries of the run or its words."""
        length = self.run.sizes.length
        for user in self.population.users("train"):
            yield tokenizer.text(self.population.sentences(user), length)

    def _texts(self, doing: str) -> contextlib.AbstractContextManager[Iterator[Text]]:
        return assessment.users(self.run, self.population, self.split, doing, self.console)
