"""What is in a population: how much each phone has, what a vocabulary misses, how users differ."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedkeyboard import streams
from fedkeyboard.data.population import SPLITS, Population
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation.metrics import PERCENTILES, distribution
from fedkeyboard.streams import Stream
from fedkeyboard.text.tokenizer import UNKNOWN, Tokenizer
from fedkeyboard.text.vocabulary import default_minimum_users

_FEWEST_WORDS = 50  # Of a user whose distribution is compared.


def describe(
    population: Population,
    *,
    vocabulary_size: int = 10_000,
    minimum_users: int | None = None,
    sample: int = 2000,
    seed: int = 0,
    on_phone: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Describes a population, from at most `sample` phones and users of each split.

    Args:
      population: The population.
      vocabulary_size: Of the vocabulary, learned on the sampled training users, whose misses are
        counted; with the four special entries.
      minimum_users: How many users must have written a word of it; default, as in an experiment.
      sample: Phones, and users, that are read of each split.
      seed: Draws them.
      on_phone: Called after each phone that was read.

    Returns:
      In the types of JSON: `splits`, of each the numbers of phones and users, `sentences` and
      `words` per phone (mean and percentiles), a `histogram` of words per phone by powers of two
      and the out-of-vocabulary rate; `heterogeneity` (`heterogeneity`) of the training users.
    """
    generator = streams.generator(seed, Stream.STATISTICS)

    def some(numbers: range) -> list[int]:
        if len(numbers) <= sample:
            return list(numbers)
        return [numbers[i] for i in np.sort(generator.choice(len(numbers), sample, replace=False))]

    training = some(population.users("train"))
    if minimum_users is None:
        minimum_users = default_minimum_users(len(training))
    minimum_users = min(minimum_users, len(training))
    try:
        tokenizer = Tokenizer.learn(
            map(population.sentences, training),
            vocabulary_size=vocabulary_size,
            minimum_users=minimum_users,
        )
    except UserError as error:
        raise UserError(
            f"{population.path}: hardly a word is written by {minimum_users} of the "
            f"{len(training)} training users read; lower --minimum-users or raise --sample"
        ) from error

    def encoded(number: int) -> list[list[int]]:
        ids = [tokenizer.encode(text) for text in population.sentences(number)]
        if on_phone is not None:
            on_phone()
        return ids

    splits = {}
    for split in SPLITS:
        phones = some(population.phones(split))
        sentences, words, unknown = [], [], 0
        for phone in phones:
            ids = encoded(phone)
            sentences.append(len(ids))
            words.append(sum(map(len, ids)))
            unknown += sum(row.count(UNKNOWN) for row in ids)
        splits[split] = {
            "phones": len(population.phones(split)),
            "users": len(population.users(split)),
            "phones_read": len(phones),
            "sentences": distribution(sentences),
            "words": distribution(words),
            "histogram": _histogram(words),
            "oov_rate": unknown / max(1, sum(words)),
        }
    return {
        "file": str(population.path),
        "source": population.description["source"],
        "fingerprint": population.fingerprint,
        "multiplied": population.multiplied,
        "text_sentences": population.description["sentences"],
        "text_words": population.description["words"],
        "left_out": population.description["left_out"],
        "bytes": population.path.stat().st_size,
        "vocabulary": {"entries": len(tokenizer), "users": len(training)},
        "splits": splits,
        "heterogeneity": heterogeneity(
            [encoded(user) for user in training], len(tokenizer), generator
        ),
    }


def heterogeneity(
    users: Sequence[Sequence[Sequence[int]]], vocabulary: int, generator: np.random.Generator
) -> dict[str, Any]:
    """Measures how users differ in their words.

    By the Jensen-Shannon divergence (Lin 1991, doi:10.1109/18.61115), in bits, of each user's words
    from everybody's: 0 if the same, 1 if no word is shared. A user with few words diverges by
    chance, so the same is measured of users who have as many sentences as these, but dealt from
    everybody's: the difference is what is theirs.

    Args:
      users: Their sentences, as ids.
      vocabulary: How many ids there are.
      generator: Deals the sentences.

    Returns:
      `users`, those with 50 words or more, and the mean `divergence` and `divergence_if_dealt`;
      None if there are no such users.
    """
    sentences = [np.array(ids, np.int64) for user in users for ids in user]
    everybody = _frequencies(sentences, vocabulary)
    dealt = [sentences[i] for i in generator.permutation(len(sentences))]
    own, by_chance, first = [], [], 0
    for user in users:
        end = first + len(user)
        if sum(map(len, user)) >= _FEWEST_WORDS:
            for found, of in ((own, sentences), (by_chance, dealt)):
                found.append(_divergence(_frequencies(of[first:end], vocabulary), everybody))
        first = end
    return {
        "users": len(own),
        "divergence": float(np.mean(own)) if own else None,
        "divergence_if_dealt": float(np.mean(by_chance)) if own else None,
    }


def rows(described: dict[str, Any]) -> list[tuple[str, ...]]:
    """Returns what `describe` says of the splits as rows of a table."""
    splits = described["splits"].values()

    def line(name: str, text: Callable[[dict[str, Any]], str]) -> tuple[str, ...]:
        return (name, *map(text, splits))

    return [
        line("phones", lambda s: f"{s['phones']:,}"),
        line("real users", lambda s: f"{s['users']:,}"),
        *(
            line(f"{what} a phone, {name}", lambda s, what=what, key=key: f"{s[what][key]:,.0f}")
            for what in ("sentences", "words")
            for name, key in (("mean", "mean"), *((f"{p}%", f"p{p}") for p in PERCENTILES))
        ),
        line("out of vocabulary", lambda s: f"{s['oov_rate']:.1%}"),
    ]


def bars(histogram: dict[str, list[int]]) -> list[tuple[str, ...]]:
    """Returns a histogram, from its first class with phones on, as rows of a table, with bars."""
    most = max(histogram["phones"])
    rows = [
        (f"from {0 if at_least == 1 else at_least:,}", f"{count:,}", "█" * round(30 * count / most))
        for at_least, count in zip(histogram["at_least"], histogram["phones"], strict=True)
    ]
    return rows[next(i for i, count in enumerate(histogram["phones"]) if count) :]


def sentences(described: dict[str, Any]) -> list[str]:
    """Returns the rest of what `describe` says, in words."""
    train, differ = described["splits"]["train"], described["heterogeneity"]
    lines = [
        f"{described['file']}: {described['source']}, {described['text_sentences']:,} sentences, "
        f"{described['text_words']:,} words of text, {described['bytes'] / 1e6:,.1f} MB",
        f"vocabulary: {described['vocabulary']['entries']:,} entries, learned on "
        f"{described['vocabulary']['users']:,} training users",
    ]
    if described["multiplied"]:
        lines.append(
            f"the {train['phones']:,} training phones are voices of {train['users']:,} real users"
        )
    if described["left_out"]:
        why = ", ".join(f"{count:,} {why}" for why, count in described["left_out"].items())
        lines.append(f"messages left out, or changed, when it was made: {why}")
    read = [
        s["phones_read"] for s in described["splits"].values() if s["phones_read"] < s["phones"]
    ]
    if read:
        lines.append(f"figures per phone: of {read[0]:,} phones drawn of a split")
    if differ["divergence"] is not None:
        lines.append(
            f"how users differ: a user's words diverge from everybody's by "
            f"{differ['divergence']:.3f} bits (Jensen-Shannon), and by "
            f"{differ['divergence_if_dealt']:.3f} if sentences were dealt to users at random"
        )
    return lines


def _frequencies(sentences: Sequence[np.ndarray], vocabulary: int) -> np.ndarray:
    counts = np.bincount(np.concatenate([[], *sentences]).astype(np.int64), minlength=vocabulary)
    return counts / max(1, counts.sum())


def _divergence(one: np.ndarray, other: np.ndarray) -> float:
    middle = (one + other) / 2

    def entropy(of: np.ndarray) -> float:
        of = of[of > 0]
        return float(-np.sum(of * np.log2(of)))

    return entropy(middle) - (entropy(one) + entropy(other)) / 2


def _histogram(values: Sequence[int]) -> dict[str, list[int]]:
    """Counts values from each power of two up to the next; the first class has the zeros too."""
    classes = [max(0, int(value).bit_length() - 1) for value in values]
    counts = np.bincount(classes) if classes else np.zeros(0, np.int64)
    return {"at_least": [2**i for i in range(len(counts))], "phones": counts.tolist()}
