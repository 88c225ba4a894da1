"""What a run's model is worth on users it has not seen. Needs no TensorFlow Federated."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.console import Console

from fedkeyboard import files, model
from fedkeyboard.data.population import Population
from fedkeyboard.evaluation import beam, keystrokes, metrics, scoring, subword_scoring
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.simulation import progress, runs
from fedkeyboard.simulation.cohorts import Reader
from fedkeyboard.text.subwords import SubwordTokenizer
from fedkeyboard.text.tokenizer import Text, Tokenizer
from fedkeyboard.text.words import words

EXAMPLES = ("i am going to", "how are", "what do you")


def reader(run: runs.Run, population: Population) -> Reader:
    """Returns the reader of a run's population with the run's vocabulary."""
    return Reader(population, run.tokenizer, run.sizes.length, run.config.seed)


def scorer(
    run: runs.Run, ngrams: NGrams | None = None
) -> Callable[[model.Weights], scoring.Scorer]:
    """Returns what makes a scorer of weights of a run's model, with n-grams if there are any."""
    vocabulary = run.tokenizer.vocabulary
    if isinstance(run.tokenizer, SubwordTokenizer):
        table = beam.pieces(vocabulary)
        return lambda weights: subword_scoring.SubwordScorer(weights, table)
    prefixes = keystrokes.prefixes(vocabulary)
    return lambda weights: scoring.WeightsScorer(weights, prefixes, ngrams)


def suggest(run: runs.Run, text: str) -> list[tuple[str, float]]:
    """Returns the likeliest next words after `text`, by the weights of a run with sub-words.

    As many as a keyboard shows, best first, with their probabilities; the last word of `text`
    counts as finished.
    """
    tokenizer = run.tokenizer
    found = beam.suggest(run.weights()[0], tokenizer.vocabulary, tokenizer.encode(text))
    return found[: metrics.SUGGESTIONS]


def beginnings(
    tokenizer: Tokenizer, suggest_after: Callable[[str], list[tuple[str, float]]]
) -> list[str]:
    """Returns texts after which suggestions show what a model knows, in its own language.

    `EXAMPLES` where all their words are in the vocabulary. Else what the model itself begins with:
    each of its first three words and the word it says after that; never a user's text.
    """
    known = set(tokenizer.of_words.vocabulary)
    if all(known.issuperset(words(text)) for text in EXAMPLES):
        return list(EXAMPLES)
    texts = []
    for word, _ in suggest_after(""):
        after = suggest_after(word)
        texts.append(f"{word} {after[0][0]}" if after else word)
    return texts


def evaluate(
    run: runs.Run,
    population: Population,
    split: str,
    console: Console,
    log_probabilities: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, Any]:
    """Evaluates a run on all users of a split, with the unigram baseline beside it.

    Args:
      run: The run.
      population: Its population.
      split: `train`, `validation` or `test`.
      console: Where progress goes.
      log_probabilities: Another model than the run's weights, such as an exported file
        (`scoring.LogProbabilitiesScorer`); the run's n-grams are mixed with it.

    Returns:
      The metrics, as in `metrics.json`.
    """
    prefixes = keystrokes.prefixes(run.tokenizer.of_words.vocabulary)
    ngrams, alone = run.ngrams(), log_probabilities
    if alone is None:
        of_model = scorer(run, ngrams)(run.weights()[0])
    else:
        of_model = scoring.LogProbabilitiesScorer(
            alone if ngrams is None else lambda rows: ngrams.mixed(alone(rows), rows), prefixes
        )
    scorers = {"model": of_model, "unigram": scoring.UnigramScorer(prefixes)}
    with users(run, population, split, "evaluating", console) as texts:
        counted = scoring.count_users(scorers, texts)
    return {"split": split, **metrics.report(counted.pop("model"), counted)}


@contextlib.contextmanager
def users(
    run: runs.Run, population: Population, split: str, doing: str, console: Console
) -> Iterator[Iterator[Text]]:
    """Yields the texts of a split's users, and shows how many have been asked for."""
    with texts(population, run.tokenizer, run.sizes.length, split, doing, console) as of_users:
        yield of_users


@contextlib.contextmanager
def texts(
    population: Population,
    tokenizer: Tokenizer,
    length: int,
    split: str,
    doing: str,
    console: Console,
) -> Iterator[Iterator[Text]]:
    """Yields the same for any vocabulary and length."""
    numbers = population.users(split)
    with progress.counting(console, f"{doing} {split} users", len(numbers)) as advance:

        def read() -> Iterator[Text]:
            for number in numbers:
                yield tokenizer.text(population.sentences(number), length)
                advance()

        yield read()


@contextlib.contextmanager
def unseen_rows(
    run: runs.Run,
    moved_to: files.PathLike | None,
    split: str,
    sentences: int,
    console: Console,
) -> Iterator[Iterator[np.ndarray] | None]:
    """Yields int32 `[n, L + 1]` messages of each of a split's users, at most so many of each.

    None, and a word about it, if the population is gone and nobody says where to.
    """
    if moved_to is None and not run.population_file().exists():
        progress.say(
            console,
            f"what the precisions cost is not measured: {run.population_file()} is gone; say where "
            "it is now with --population",
        )
        yield None
        return
    with (
        run.open_population(moved_to) as population,
        users(run, population, split, "measuring the files on", console) as of_users,
    ):
        yield (text.words[:sentences] for text in of_users)
