"""Who counts an experiment's n-grams, and from what: a seam; and how much of them is believed.

Today all training users' text is counted in one place, which no real fleet could do
(`of_all_text`). What counts a fleet's without seeing anybody's text is another `Source`.
"""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from rich.console import Console

from fedkeyboard import model
from fedkeyboard.data.population import Population
from fedkeyboard.evaluation import scoring
from fedkeyboard.ngrams import counts, fitting
from fedkeyboard.ngrams.counts import Counts
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation import progress, runs
from fedkeyboard.text.tokenizer import Tokenizer

Source = Callable[[Population, Tokenizer, configs.NGrams, Console], Counts]
"""Returns the n-grams that enough training users wrote, by settings with defaults resolved."""

# Sentences of validation users by which the shares are fitted, together.
_FITTED_ON = 2000


def of_all_text(
    population: Population, tokenizer: Tokenizer, settings: configs.NGrams, console: Console
) -> Counts:
    """Counts the n-grams of all training users' text: a `Source`."""
    users = population.users("train")
    with progress.counting(console, "counting n-grams of users", len(users)) as advance:

        def texts() -> Iterator[np.ndarray]:
            for user in users:
                # Messages are whole: the length is of rows to train on, and nothing here.
                yield tokenizer.text(population.sentences(user), length=20).words
                advance()

        return counts.count(texts(), len(tokenizer), settings.order, settings.minimum_users)


def learn(
    run: runs.Run, population: Population, console: Console, source: Source = of_all_text
) -> None:
    """Writes a run's n-grams, counted on training users and fitted on validation users.

    Args:
      run: The run, whose training is over.
      population: Its population.
      console: Where progress goes.
      source: Who counts.
    """
    settings = run.config.ngrams
    counted = source(population, run.tokenizer, settings, console)
    fits = fitting.fitting_in(counted, int(settings.megabytes * 1e6))
    weights = model.Weights(*map(tf.constant, run.weights()[0]))
    users = population.users("validation")
    of_each = max(1, _FITTED_ON // max(len(users), 1))

    def observed() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for user in users[:_FITTED_ON]:
            sentences = population.sentences(user)[:of_each]
            rows = run.tokenizer.text(sentences, run.sizes.length).words
            if len(rows):
                yield rows, scoring.log_likelihoods(weights, rows)

    ngrams = fitting.ngrams(fits, fitting.fit(fits, observed()))
    run.save_ngrams(ngrams)
    progress.say(
        console,
        f"n-grams     {len(ngrams):,} of 2 to {settings.order} words that {fits.minimum_users} or "
        f"more training users wrote; {ngrams.size():,} bytes",
    )
