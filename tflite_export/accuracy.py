"""What files' suggestions are worth: top-1 and top-3 recall through LiteRT, with n-grams.

The whole evaluation (`fedkeyboard.evaluation.metrics`) is of the weights; this one compares files
that are to suggest the same, and is quick. The convention is the same: words outside the vocabulary
are misses, and the end of a sentence is no target.
"""

import concurrent.futures
import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text.tokenizer import END, PAD, SPECIAL
from fedkeyboard.tflite_export.phone.litert import LiteModel

_AT_ONCE = 2


class Hits(NamedTuple):
    """How many words there were, and were the first or among the three suggestions."""

    words: int = 0
    top1: int = 0
    top3: int = 0

    def __add__(self, other: "Hits") -> "Hits":
        return Hits(*(a + b for a, b in zip(self, other, strict=True)))

    def recall(self) -> dict[str, float | None]:
        """Returns the recalls by their names in the manifest."""
        return {
            "top1_recall": self.top1 / self.words if self.words else None,
            "top3_recall": self.top3 / self.words if self.words else None,
        }


def count(exported: LiteModel, ngrams: NGrams, rows: np.ndarray) -> Hits:
    """Counts int32 `[n, L + 1]` messages, `Text.words`."""
    hits = Hits()
    for row in rows:
        message = row[np.newaxis, : 1 + np.count_nonzero(row[1:] != PAD)]
        said = ngrams.mixed(exported.log_probabilities(message), message)[:, len(SPECIAL) :]
        targets = message[0, 1:]
        word = targets != END
        # What is unknown is beyond the words that are there; of equals the first is suggested.
        of = targets - len(SPECIAL)
        mine = np.take_along_axis(said, np.maximum(of, 0)[:, np.newaxis], axis=1)
        before = np.arange(said.shape[1]) < of[:, np.newaxis]
        rank = np.sum((said > mine) | ((said == mine) & before), axis=1)
        known = word & (of >= 0)
        hits += Hits(
            int(np.sum(word)), int(np.sum(known & (rank < 1))), int(np.sum(known & (rank < 3)))
        )
    return hits


def measure(
    exported: Mapping[str, LiteModel], ngrams: NGrams, users: Iterable[np.ndarray]
) -> tuple[int, dict[str, Hits]]:
    """Counts the sentences of some users with several files, which run side by side.

    Args:
      exported: The files, by a name.
      ngrams: What is mixed with each.
      users: Each user's int32 `[n, L + 1]` messages.

    Returns:
      How many users there were; and of each file the sum over them.
    """
    counted, total = 0, dict.fromkeys(exported, Hits())
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        for rows in users:
            of_user = pool.map(
                count, exported.values(), itertools.repeat(ngrams), itertools.repeat(rows)
            )
            total = {name: total[name] + hits for name, hits in zip(total, of_user, strict=True)}
            counted += 1
    return counted, total
