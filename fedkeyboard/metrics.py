"""How good suggestions are: recall over the words that users typed, and perplexity.

Two conventions, side by side:

* **top-k recall** counts every word a user typed. A word outside the vocabulary is a miss, since a
  keyboard cannot suggest it; padding, begin and end of a sentence are no targets, and special
  tokens are never suggested.
* **accuracy_no_oov_no_eos** is that of TFF's Stack Overflow baselines (Reddi et al. 2020, arXiv
  2003.00295): only targets within the vocabulary, and the most likely entry of all, special ones
  included, has to be the target.

Perplexity is exp of the mean cross-entropy over what the model is trained to predict: words, the
unknown word as one entry, and the end of the sentence.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fedkeyboard.tokenizer import END, PAD, SPECIAL, UNKNOWN

SUGGESTIONS = 3  # as many as a keyboard shows
PERCENTILES = (10, 25, 50, 75, 90)


class Scores(NamedTuple):
    """What a model says of n sentences of T targets; entries at padding mean nothing.

    Attributes:
      suggested: int32 `[n, T, SUGGESTIONS]`, the likeliest words, best first, none special.
      likeliest: int32 `[n, T]`, the likeliest of all entries.
      cross_entropy: float32 `[n, T]`, of the target, in nats.
    """

    suggested: np.ndarray
    likeliest: np.ndarray
    cross_entropy: np.ndarray


@dataclasses.dataclass(frozen=True)
class Counts:
    """Sums over some targets; add two to count both.

    Attributes:
      words: Targets that are words, known or not.
      unknown: Those outside the vocabulary.
      top1: Words that were the first suggestion.
      top3: Words among the three suggestions.
      likeliest: Known words that were the likeliest of all entries.
      predicted: Targets of the cross-entropy: words and ends of sentences.
      cross_entropy: Its sum over them, in nats.
    """

    words: int = 0
    unknown: int = 0
    top1: int = 0
    top3: int = 0
    likeliest: int = 0
    predicted: int = 0
    cross_entropy: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
        return Counts(*(a + b for a, b in zip(mine, others, strict=True)))

    def _perplexity(self) -> float | None:
        if not self.predicted:
            return None
        # A model that has diverged has none, and JSON no infinity.
        mean = self.cross_entropy / self.predicted
        return math.exp(mean) if mean < 700 else None

    def summary(self) -> dict[str, Any]:
        """Returns the metrics by their names in `metrics.json`; fractions, None where undefined."""
        return {
            "targets": self.words,
            "top1_recall": _ratio(self.top1, self.words),
            "top3_recall": _ratio(self.top3, self.words),
            "perplexity": self._perplexity(),
            "oov_rate": _ratio(self.unknown, self.words),
            "accuracy_no_oov_no_eos": _ratio(self.likeliest, self.words - self.unknown),
        }


def count(rows: np.ndarray, scores: Scores) -> Counts:
    """Counts one user's int32 `[n, T + 1]` sentences, as `Tokenizer.rows` makes them."""
    targets = rows[:, 1:]
    real = targets != PAD
    known = targets >= len(SPECIAL)
    hits = (scores.suggested == targets[..., np.newaxis]) & known[..., np.newaxis]
    return Counts(
        words=int(np.sum(real & (targets != END))),
        unknown=int(np.sum(targets == UNKNOWN)),
        top1=int(np.sum(hits[..., 0])),
        top3=int(np.sum(hits)),
        likeliest=int(np.sum(known & (scores.likeliest == targets))),
        predicted=int(np.sum(real)),
        cross_entropy=float(np.sum(scores.cross_entropy, where=real, dtype=np.float64)),
    )


def unigram_scores(rows: np.ndarray) -> Scores:
    """Returns the scores of a model that always suggests the most frequent words.

    The vocabulary is in the order of frequency among training users, so these are the first words
    after the special entries. It has no cross-entropy here: NaN.
    """
    targets = rows[:, 1:]
    first = np.arange(len(SPECIAL), len(SPECIAL) + SUGGESTIONS, dtype=np.int32)
    return Scores(
        suggested=np.broadcast_to(first, (*targets.shape, SUGGESTIONS)),
        likeliest=np.full(targets.shape, first[0]),
        cross_entropy=np.full(targets.shape, np.nan, np.float32),
    )


def report(users: Sequence[Counts], baselines: dict[str, Sequence[Counts]]) -> dict[str, Any]:
    """Returns the metrics over all targets of some users, and their distribution over the users.

    Args:
      users: The counts of each user.
      baselines: The same users' counts by another model, by the model's name.
    """
    recalls = {
        name: [getattr(user, field) / user.words for user in users if user.words]
        for name, field in (("top1_recall", "top1"), ("top3_recall", "top3"))
    }
    return {
        "users": len(users),
        **sum(users, Counts()).summary(),
        "baselines": {
            name: {
                key: value
                for key, value in sum(counts, Counts()).summary().items()
                if key in ("top1_recall", "top3_recall", "accuracy_no_oov_no_eos")
            }
            for name, counts in baselines.items()
        },
        "per_user": {name: distribution(values) for name, values in recalls.items()},
    }


def distribution(values: Sequence[float]) -> dict[str, float | None]:
    """Returns the mean and the percentiles `PERCENTILES`, as `p10` and so on; None of no values."""
    if not values:
        return {"mean": None, **{f"p{p}": None for p in PERCENTILES}}
    at = np.percentile(values, PERCENTILES)
    return {
        "mean": float(np.mean(values)),
        **{f"p{p}": float(v) for p, v in zip(PERCENTILES, at, strict=True)},
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
