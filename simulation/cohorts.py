"""Which phones take part in a round, and what text they bring to it.

Everything is drawn from the experiment's seed and the number of the round alone, so a resumed run
asks the same phones and trains on the same sentences in the same order as an unbroken one.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from data.population import Population
from fedkeyboard.tokenizer import Tokenizer

# Independent streams of random numbers under one seed.
_COHORT, _SENTENCES, _VALIDATION = range(3)


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads phones' sentences as rows of ids.

    Attributes:
      population: Whose sentences.
      tokenizer: The vocabulary; each phone tokenises its own text.
      length: T, the words of a row.
      seed: The experiment's.
    """

    population: Population
    tokenizer: Tokenizer
    length: int
    seed: int

    def cohort(self, round_number: int, size: int) -> list[int]:
        """Draws the phones of a round uniformly, none twice."""
        phones = self.population.phones("train")
        generator = np.random.default_rng([self.seed, _COHORT, round_number])
        return [phones[i] for i in generator.choice(len(phones), size, replace=False)]

    def training_rows(self, phone: int, round_number: int, at_most: int) -> np.ndarray:
        """Returns int32 `[n, T + 1]`: up to `at_most` of the phone's sentences, drawn and shuffled.

        A draw, and not the first ones, so that over the rounds all of a long history is used.
        """
        sentences = self.population.sentences(phone)
        generator = np.random.default_rng([self.seed, _SENTENCES, round_number, phone])
        chosen = generator.permutation(len(sentences))[:at_most]
        return self.tokenizer.rows([sentences[i] for i in chosen], self.length)

    def validation_rows(self, users: int, at_most: int) -> list[np.ndarray]:
        """Returns the first `at_most` rows of each of a fixed sample of validation users."""
        phones = self.population.phones("validation")
        generator = np.random.default_rng([self.seed, _VALIDATION])
        chosen = generator.choice(len(phones), min(users, len(phones)), replace=False)
        return [self.rows(phones[i])[:at_most] for i in chosen]

    def rows(self, phone: int) -> np.ndarray:
        """Returns all of a phone's sentences, int32 `[n, T + 1]`, in time order."""
        return self.tokenizer.rows(self.population.sentences(phone), self.length)

    def training_text(self) -> Iterator[list[str]]:
        """Yields the sentences of each training phone."""
        return (self.population.sentences(phone) for phone in self.population.phones("train"))
