"""Settings that follow from a population: `simulate --config auto`.

What the rules come from stands in docs/accuracy.md. Two carry all others: the server's rate does
not fall, since an average of its weights does nearly as much for the model and needs no word of how
long training will be; and training ends when validation users gain no more, with the best model
kept. So the same settings suit a minute and a day. Test users are not looked at.
"""

import math
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fedkeyboard import model, streams
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.data.population import Population
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import personalization
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation import runs
from fedkeyboard.streams import Stream
from fedkeyboard.text.tokenizer import PAD
from fedkeyboard.text.words import words

_SAMPLE = 2000  # Users who are read.
_CORES = len(os.sched_getaffinity(0))
_COHORT = 10
_AT_MOST = 128  # Sentences that a phone trains on.
_BATCH = 16
# Sentences of validation users that a look reads: some 20,000 words. Twice as many took an eighth
# of all time.
_LOOKED_AT = 2000
_PATIENCE = 10
_MOST_ROUNDS = 100_000
# What is left to do after training, on two cores: a package, and so many words of test users.
_EXPORT_SECONDS = 45.0
_WORDS_PER_SECOND = 3000.0
# And before, to count n-grams in so many words of training users, and to fit them.
_COUNTED_PER_SECOND = 200_000.0
_FIT_SECONDS = 10.0
_LEAST_SECONDS = 15.0  # The first round traces and compiles for some ten.
# Dropout by the words there are to learn from, and linearly in their logarithm between.
_LITTLE, _MUCH = (100_000, 0.5), (1_000_000, 0.3)


class Text(NamedTuple):
    """What the rules look at.

    Attributes:
      users: Training users.
      words: Theirs, about, if there are more than are read.
      steps: Batches that a phone trains on in a round, on average.
      validation_users: How many there are.
    """

    users: int
    words: int
    steps: float
    validation_users: int


def measure(population: Population) -> Text:
    """Reads a population's training users, at most 2,000 of them."""
    users, chosen = _some(population, "train")
    if not users:
        raise UserError(f"{population.path}: has no training users")
    count, steps = 0, []
    for user in chosen:
        sentences = population.sentences(user)
        count += sum(len(words(text)) for text in sentences)
        steps.append(math.ceil(min(len(sentences), _AT_MOST) / _BATCH))
    return Text(
        users=users,
        words=round(count * users / len(chosen)),
        steps=float(np.mean(steps)),
        validation_users=len(population.users("validation")),
    )


def _some(population: Population, split: str) -> tuple[int, list[int]]:
    """Returns how many users a split has, and those who are read."""
    users = population.users(split)
    if len(users) <= _SAMPLE:
        return len(users), list(users)
    drawn = streams.generator(0, Stream.STATISTICS).choice(len(users), _SAMPLE, replace=False)
    return len(users), [users[i] for i in np.sort(drawn)]


def _words(population: Population, split: str) -> float:
    """Returns how many words a split's users wrote, about."""
    users, chosen = _some(population, split)
    count = sum(len(words(text)) for user in chosen for text in population.sentences(user))
    return count * users / max(len(chosen), 1)


def experiment(text: Text, population: str) -> str:
    """Returns the experiment for a text, as TOML with the reasons beside.

    Args:
      text: What is known of it.
      population: The lines of `[population]`.
    """
    cohort = min(_COHORT, text.users)
    dropout = _dropout(text.words)
    looked_at = math.ceil(_LOOKED_AT / max(text.validation_users, 1))
    every = 25 if text.words < _MUCH[0] else 50
    return f"""\
# Chosen for {text.users:,} training users with {text.words:,} words, by simulation/automatic.py.
seed = 1

[population]
{population}

[ngrams]
order = 4  # What follows up to three words is counted, and mixed with what the model says.

[client]
learning_rate = 1.0
batch_size = {_BATCH}
maximum_sentences = {_AT_MOST}  # Of a phone, a round: many small steps of the server learn faster.
dropout = {dropout}  # {text.words:,} words for a model of over a million weights.

[server]
optimizer = "adamw"
learning_rate = 0.02  # Does not fall, so that training may end at any time:
averaging = 0.1  # the model is an average over the last tenth of the rounds.
weight_decay = 0.1  # Words that few write move no further than there is reason to.

[rounds]
count = {_MOST_ROUNDS}  # Never reached: it ends when validation users gain no more.
cohort = {cohort}
keep = "best"
patience = {_PATIENCE}
validate_every = {every}
checkpoint_every = {every}
validation_users = {max(text.validation_users, 1)}  # All there are.
validation_sentences = {looked_at}
"""


def _dropout(count: int) -> float:
    """Returns the rate for so many words: the less there is, the sooner it is learned by heart."""
    (little, most), (much, least) = _LITTLE, _MUCH
    share = math.log(max(count, 1) / little) / math.log(much / little)
    return round(most + min(max(share, 0.0), 1.0) * (least - most), 2)


def reasons(chosen: str, config: configs.Config, text: Text) -> Iterator[str]:
    """Yields what `experiment` chose, where it says why, and what a round will cost."""
    section = ""
    for line in chosen.splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        setting, _, why = line.partition("#")
        if why:
            setting = f"{section}{setting.strip()}" if setting else ""
            yield f"{setting:<31} {why.strip()}".strip()
    sizes = runs.sizes_of(config, config.tokenizer.vocabulary_size)
    megabytes = 4e-6 * sum(map(math.prod, model.weight_shapes(sizes)))
    steps = text.steps * config.rounds.cohort
    # Phones compute side by side, nearly as if each had a core of its own.
    seconds = steps * _seconds_per_step(sizes, config.client) * 1.2 / _CORES
    yield (
        f"a round of {config.rounds.cohort} phones takes about {seconds:.1f} s here, and moves at "
        f"most {megabytes:.1f} MB to each phone and back"
    )


def in_time(config: configs.Config, population: Population, until: float) -> configs.Config:
    """Returns the experiment whose training leaves time to evaluate and export.

    Args:
      config: The experiment.
      population: On whose test users it is evaluated; how much they wrote is asked here.
      until: When all is to be over, by `time.monotonic`.

    Raises:
      UserError: If there is no time to train.
    """
    afterwards = _EXPORT_SECONDS + _words(population, "test") / _WORDS_PER_SECOND
    if config.mixes_ngrams:
        afterwards += _FIT_SECONDS + _words(population, "train") / _COUNTED_PER_SECOND
    left = until - time.monotonic() - afterwards
    if left < _LEAST_SECONDS:
        raise UserError(
            f"--minutes: too few: to begin, to evaluate and to export take "
            f"{(_LEAST_SECONDS - left) / 60:.1f} more"
        )
    rounds = config.rounds.model_copy(update={"minutes": left / 60})
    return config.model_copy(update={"rounds": rounds})


def _seconds_per_step(sizes: model.Sizes, client: configs.Client) -> float:
    """Times a phone's batch on this machine: of sentences about as long as people write."""
    generator = streams.generator(0, Stream.STATISTICS)
    rows = generator.integers(4, sizes.vocabulary, (8 * client.batch_size, sizes.length + 1))
    lengths = generator.integers(4, sizes.length + 1, len(rows))
    rows[np.arange(sizes.length + 1) > lengths[:, np.newaxis]] = PAD
    rows = rows.astype(np.int32)
    settings = LocalTraining(1.0, batch_size=client.batch_size, dropout=client.dropout)
    weights = model.initial_weights(sizes, 0)
    personalization.train(weights, rows[: client.batch_size], settings)  # Traces.
    began = time.monotonic()
    personalization.train(weights, rows, settings)
    return (time.monotonic() - began) / 8
