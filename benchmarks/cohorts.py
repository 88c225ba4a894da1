"""The cohorts that every framework trains: real phones of the bundled corpus, as arrays of ids."""

import pathlib
from typing import NamedTuple

import numpy as np

from fedkeyboard import model, streams
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.population import Population
from fedkeyboard.data.prepare import ensure_chitchat
from fedkeyboard.simulation.cohorts import Reader
from fedkeyboard.simulation.experiment import POPULATIONS
from fedkeyboard.streams import Stream
from fedkeyboard.text.tokenizer import PAD, Tokenizer
from fedkeyboard.text.vocabulary import default_minimum_users

BATCH_SIZE = 16
LEARNING_RATE = 0.5


class Cohort(NamedTuple):
    """Phones of a kind.

    Attributes:
      name: `small`, `typical` or `large`.
      sizes: Of the model.
      phones: int32 `[n, T + 1]` sentences of each phone.
    """

    name: str
    sizes: model.Sizes
    phones: list[np.ndarray]

    @property
    def local_steps(self) -> int:
        """Batches of all phones."""
        return sum(-(-len(rows) // BATCH_SIZE) for rows in self.phones)

    @property
    def targets(self) -> int:
        """Real positions of all phones."""
        return sum(int(np.count_nonzero(rows[:, 1:] != PAD)) for rows in self.phones)

    def write(self, path: pathlib.Path) -> None:
        """Writes the job that a framework reads: the phones, the weights to begin with, SGD."""
        np.savez(
            path,
            **{f"rows_{i}": rows for i, rows in enumerate(self.phones)},
            **model.initial_weights(self.sizes, 0)._asdict(),
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
        )


def draw(*, quick: bool) -> list[Cohort]:
    """Draws the cohorts, with Gboard's sizes of model.

    `small` has phones of 16 sentences, `typical` ones drawn at random, `large` those with the most
    text, at most 512 sentences each; `quick`, a third of the typical ones alone: most of its
    minutes are the peers' start.
    """
    with Population.open(ensure_chitchat(POPULATIONS, cleaning=Cleaning())) as population:
        texts = map(population.sentences, population.users("train"))
        fewest = default_minimum_users(len(population.users("train")))
        tokenizer = Tokenizer.learn(texts, vocabulary_size=10_000, minimum_users=fewest)
        sizes = model.Sizes(len(tokenizer))
        reader = Reader(population, tokenizer, sizes.length, seed=0)
        phones = population.phones("train")
        counts = dict(zip(phones, population.sentence_counts(phones), strict=True))
        largest = sorted(phones, key=counts.get)[-6:]
        enough = [phone for phone in _drawn(phones, 1, len(phones)) if counts[phone] >= BATCH_SIZE]
        typical = [reader.training_rows(p, 1, 512) for p in _drawn(phones, 2, 20)]
        drawn = {"typical": typical[::3]}
        if not quick:
            drawn = {
                "small": [reader.training_rows(p, 1, BATCH_SIZE) for p in enough[:60]],
                "typical": typical,
                "large": [reader.training_rows(p, 1, 512) for p in largest],
            }
    # The longest work first, as the round loop does it.
    return [
        Cohort(name, sizes, sorted(rows, key=len, reverse=True)) for name, rows in drawn.items()
    ]


def _drawn(phones: range, number: int, size: int) -> list[int]:
    generator = streams.generator(0, Stream.BENCHMARKS, number)
    return [phones[i] for i in generator.choice(len(phones), size, replace=False)]
