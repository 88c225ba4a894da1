"""What text phones bring to a round.

It is drawn from the experiment's seed, the number of the round and the phone alone, so a resumed
run trains on the same sentences in the same order as an unbroken one.
"""

import dataclasses

import numpy as np

from fedkeyboard import streams
from fedkeyboard.data.population import Population
from fedkeyboard.streams import Stream
from fedkeyboard.text.tokenizer import Text, Tokenizer


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads phones' sentences as rows of ids.

    Attributes:
      population: Whose sentences.
      tokenizer: The vocabulary; each phone tokenises its own text.
      length: T, the entries of a row to train on.
      seed: The experiment's.
    """

    population: Population
    tokenizer: Tokenizer
    length: int
    seed: int

    def training_rows(self, phone: int, round_number: int, at_most: int) -> np.ndarray:
        """Returns int32 `[n, T + 1]`: up to `at_most` rows of the phone's messages, shuffled.

        A draw, and not the first ones, so that over the rounds all of a long history is used.
        """
        sentences = self.population.sentences(phone)
        generator = streams.generator(self.seed, Stream.SENTENCES, round_number, phone)
        chosen = generator.permutation(len(sentences))[:at_most]
        return self.tokenizer.rows([sentences[i] for i in chosen], self.length)[:at_most]

    def validation_rows(self, users: int, at_most: int) -> list[np.ndarray]:
        """Returns the first `at_most` messages of each of a fixed sample of validation users.

        To evaluate on: `[n, P + 1]` of `Text.rows`, whole messages.
        """
        phones = self.population.phones("validation")
        generator = streams.generator(self.seed, Stream.VALIDATION)
        chosen = generator.choice(len(phones), min(users, len(phones)), replace=False)
        return [
            self.tokenizer.text(self.population.sentences(phones[i])[:at_most], self.length).rows
            for i in chosen
        ]

    def text(self, phone: int) -> Text:
        """Returns all of a phone's messages, in time order."""
        return self.tokenizer.text(self.population.sentences(phone), self.length)
