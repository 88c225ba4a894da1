"""How good suggestions are: recall over the words that users typed, keys saved, and perplexity.

Two conventions of accuracy, side by side:

* **top-k recall** counts every word a user typed. A word outside the vocabulary is a miss, since a
  keyboard cannot suggest it; padding, begin and end of a sentence are no targets, and special
  tokens are never suggested.
* **accuracy_no_oov_no_eos** is that of TFF's Stack Overflow baselines (Reddi et al. 2020, arXiv
  2003.00295): only targets within the vocabulary, and the most likely entry of all, special ones
  included, has to be the target.

Perplexity is exp of the mean cross-entropy over what the model is trained to predict: words, the
unknown word as one entry, and the end of the sentence. Keystroke savings:
`fedkeyboard.evaluation.keystrokes`.

What the targets are does not depend on the model: a word that a model of sub-words can spell counts
as known to it, and is still outside the vocabulary of whole words, by which frequencies are told.

Figures over all targets have 95% bootstrap intervals over users
(`fedkeyboard.evaluation.intervals`).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fedkeyboard.evaluation import intervals
from fedkeyboard.text.tokenizer import END, PAD, SPECIAL, UNKNOWN, Text

SUGGESTIONS = 3  # as many as a keyboard shows
PERCENTILES = (10, 25, 50, 75, 90)

# Where a personal model's training ends and its test begins (Wang et al. 2019, arXiv 1910.10252).
TRAINED_SHARE = 0.8
MINIMUM_SENTENCES = 10  # so that at least two are left to test on

# The last number of each band, which begins after that of the band before.
_POSITIONS = {"1": 1, "2": 2, "3": 3, "4-5": 5, "6-10": 10, "11 and later": None}
_RANKS = {"1-10": 10, "11-100": 100, "101-1,000": 1000, "1,001 and rarer": None}
_SENTENCES = {"1-9": 9, "10-31": 31, "32-99": 99, "100-319": 319, "320 and more": None}
_OUTSIDE = "out of vocabulary"


class Scores(NamedTuple):
    """What a model says of a user's N targets: of each sentence its words, then its end.

    Attributes:
      known: bool `[N]`, whether the target is a word that the model can suggest.
      rank: int32 `[N]`, how many words are likelier than the target, of equally likely ones those
        before it in the vocabulary; of 5 or more perhaps only 5; means nothing of what is not
        known.
      likeliest: bool `[N]`, whether the target is the likeliest of all entries; None of a model
        whose entries are not words.
      cross_entropy: float32 `[N]`, of the target, in nats.
      letters: int32 `[N]`, after how many letters the target shows (`keystrokes.letters_typed`);
        means nothing of what is not known; None if not computed.
    """

    known: np.ndarray
    rank: np.ndarray
    likeliest: np.ndarray | None
    cross_entropy: np.ndarray
    letters: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Counts:
    """Sums over some targets; add two to count both.

    Attributes:
      words: Targets that are words, known or not.
      unknown: Those that the model cannot suggest: outside the vocabulary.
      top1: Words that were the first suggestion.
      top3: Words among the first three.
      top5: Words among the first five.
      likeliest: Known words that were the likeliest of all entries; NaN if that is not told.
      predicted: Targets of the cross-entropy: words and ends of sentences.
      cross_entropy: Its sum over them, in nats.
      keys: What typing the words takes without suggestions: their letters and spaces.
      keys_saved: How many of these suggestions save; NaN if that is not told.
    """

    words: int = 0
    unknown: int = 0
    top1: int = 0
    top3: int = 0
    top5: int = 0
    likeliest: float = 0
    predicted: int = 0
    cross_entropy: float = 0.0
    keys: int = 0
    keys_saved: float = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(self.numbers(), other.numbers(), strict=True)))

    def numbers(self) -> tuple[float, ...]:
        """Returns the sums in their order."""
        return dataclasses.astuple(self)

    def summary(self) -> dict[str, Any]:
        """Returns the metrics by their names in `metrics.json`; fractions, None where undefined."""
        values = {
            name: float(figure(np.array([self.numbers()], np.float64))[0])
            for name, figure in FIGURES.items()
        }
        return {
            "targets": self.words,
            # A model that has diverged has no perplexity, and JSON no infinity.
            **{name: value if math.isfinite(value) else None for name, value in values.items()},
        }


def _column(sums: np.ndarray, name: str) -> np.ndarray:
    return sums[:, [field.name for field in dataclasses.fields(Counts)].index(name)]


def _ratio(part: str, whole: str) -> Callable[[np.ndarray], np.ndarray]:
    def figure(sums: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return _column(sums, part) / _column(sums, whole)

    return figure


def _perplexity(sums: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(_ratio("cross_entropy", "predicted")(sums))


def _accuracy(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return _column(sums, "likeliest") / (_column(sums, "words") - _column(sums, "unknown"))


FIGURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "top1_recall": _ratio("top1", "words"),
    "top3_recall": _ratio("top3", "words"),
    "top5_recall": _ratio("top5", "words"),
    "keystroke_savings": _ratio("keys_saved", "keys"),
    "perplexity": _perplexity,
    "oov_rate": _ratio("unknown", "words"),
    "accuracy_no_oov_no_eos": _accuracy,
}
"""Each metric of sums `[B, F]`, the fields of `Counts` in their order: `[B]`, NaN if undefined."""


@dataclasses.dataclass(frozen=True)
class User:
    """One user's counts.

    Attributes:
      total: Over all of their text.
      later: Over the sentences that a personal model is tested on, which come after the first 80%;
        of a user with fewer than `MINIMUM_SENTENCES`, nothing.
      by: Over the words at a position in the sentence, and over those of a band of frequencies.
      sentences: How many they wrote.
    """

    total: Counts = Counts()
    later: Counts = Counts()
    by: dict[str, dict[str, Counts]] = dataclasses.field(default_factory=dict)
    sentences: int = 0


def trained_sentences(sentences: int) -> int | None:
    """Returns how many of a user's sentences train a personal model; None if they are too few."""
    return int(sentences * TRAINED_SHARE) if sentences >= MINIMUM_SENTENCES else None


def count(text: Text, scores: Scores) -> Counts:
    """Counts some sentences."""
    return _Targets(text).count(scores, slice(None))


def hits(text: Text, scores: Scores) -> np.ndarray:
    """Returns whether each of the N targets is a word that was the first suggestion: bool `[N]`."""
    return scores.known & (scores.rank < 1)


def count_user(text: Text, scores: Scores) -> User:
    """Counts all of a user's sentences, which are in time order."""
    targets = _Targets(text)
    cut = trained_sentences(len(text.words))
    ranks = np.maximum(targets.ids - len(SPECIAL) + 1, 0)
    frequency = _by_band(_RANKS, ranks)
    groups = {
        "position": _by_band(_POSITIONS, np.where(targets.ids == END, 0, targets.position + 1)),
        "frequency": {**frequency, _OUTSIDE: targets.ids == UNKNOWN},
    }
    return User(
        total=targets.count(scores, slice(None)),
        later=Counts() if cut is None else targets.count(scores, targets.sentence >= cut),
        by={
            name: {band: targets.count(scores, chosen) for band, chosen in bands.items()}
            for name, bands in groups.items()
        },
        sentences=len(text.words),
    )


class _Targets:
    """The N targets of some sentences, in the order of `Scores`."""

    def __init__(self, text: Text):
        real = text.words[:, 1:] != PAD
        self.sentence, self.position = np.nonzero(real)
        self.ids = text.words[:, 1:][real]
        self.letters = text.letters[real]

    def count(self, scores: Scores, chosen: Any) -> Counts:
        word, known = self.ids[chosen] != END, scores.known[chosen]
        rank = scores.rank[chosen]
        keys = self.letters[chosen] + 1
        return Counts(
            words=int(np.sum(word)),
            unknown=int(np.sum(word & ~known)),
            top1=int(np.sum(known & (rank < 1))),
            top3=int(np.sum(known & (rank < 3))),
            top5=int(np.sum(known & (rank < 5))),
            likeliest=_told(scores.likeliest, lambda hit: np.sum(known & hit[chosen])),
            predicted=len(word),
            cross_entropy=float(np.sum(scores.cross_entropy[chosen], dtype=np.float64)),
            keys=int(np.sum(keys, where=word)),
            # A tap is one key. Typed to the end, the word takes its letters and the space.
            keys_saved=_told(
                scores.letters,
                lambda shown: np.sum(np.maximum(keys - 1 - shown[chosen], 0), where=known),
            ),
        )


def _told(values: np.ndarray | None, total: Callable[[np.ndarray], np.integer]) -> float:
    return math.nan if values is None else int(total(values))


def _by_band(bands: dict[str, int | None], numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Returns which of the numbers, from 1, are in each band; 0 is in none."""
    chosen, after = {}, 0
    for name, last in bands.items():
        chosen[name] = (numbers > after) & (numbers <= (np.inf if last is None else last))
        after = last
    return chosen


def report(users: Sequence[User], baselines: dict[str, Sequence[User]]) -> dict[str, Any]:
    """Returns the metrics over all targets of some users, and how they differ.

    Args:
      users: The counts of each user.
      baselines: The same users' counts by another model, by the model's name.

    Returns:
      `users`; the metrics, and their `intervals`; `baselines`, by name, their metrics; `per_user`,
      the distribution of metrics over the users, and `worst_decile`, the mean over the tenth of
      users who have least of it; `by` `position` in the sentence, `frequency` of the word among
      training users, and `sentences` of the user, in bands.
    """
    totals = [user.total for user in users]
    summary = sum(totals, Counts()).summary()
    numbers = np.array([total.numbers() for total in totals], np.float64)
    return {
        "users": len(users),
        **summary,
        "intervals": {
            name: intervals.interval(numbers, figure) if summary[name] is not None else None
            for name, figure in FIGURES.items()
        },
        "baselines": {
            name: sum((user.total for user in counted), Counts()).summary()
            for name, counted in baselines.items()
        },
        "per_user": {
            name: distribution([v for v in values if v is not None])
            for name in ("top1_recall", "top3_recall", "keystroke_savings")
            for values in [[total.summary()[name] for total in totals]]
        },
        "by": {**_by_targets(users), "sentences": _by_sentences(users)},
    }


_OF_A_BAND = ("targets", "top1_recall", "top3_recall", "keystroke_savings")


def _of_band(counts: Counts) -> dict[str, Any]:
    summary = counts.summary()
    return {name: summary[name] for name in _OF_A_BAND}


def _by_targets(users: Sequence[User]) -> dict[str, Any]:
    sums: dict[str, dict[str, Counts]] = {}
    for user in users:
        for group, bands in user.by.items():
            of_group = sums.setdefault(group, dict.fromkeys(bands, Counts()))
            for band, counts in bands.items():
                of_group[band] += counts
    return {
        group: {band: _of_band(counts) for band, counts in bands.items()}
        for group, bands in sums.items()
    }


def _by_sentences(users: Sequence[User]) -> dict[str, Any]:
    written = np.array([user.sentences for user in users], np.int64)
    bands = {}
    for band, chosen in _by_band(_SENTENCES, written).items():
        of_band = [users[i].total for i in np.flatnonzero(chosen)]
        bands[band] = {"users": len(of_band), **_of_band(sum(of_band, Counts()))}
    return bands


def distribution(values: Sequence[float]) -> dict[str, float | None]:
    """Returns the mean, `worst_decile` and the percentiles, as `p10` and so on; None of no values.

    `worst_decile` is the mean of the lowest tenth of the values, of one at least.
    """
    if not values:
        return dict.fromkeys(("mean", "worst_decile", *(f"p{p}" for p in PERCENTILES)))
    at = np.percentile(values, PERCENTILES)
    return {
        "mean": float(np.mean(values)),
        "worst_decile": float(np.mean(np.sort(values)[: max(1, len(values) // 10)])),
        **{f"p{p}": float(v) for p, v in zip(PERCENTILES, at, strict=True)},
    }
