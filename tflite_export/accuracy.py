"""What files' suggestions are worth: top-1 and top-3 recall through LiteRT, by `step` alone.

The whole evaluation (`fedkeyboard.evaluation.metrics`) is of the weights; this one compares files
that are to suggest the same, and is quick. The convention is the same: words outside the vocabulary
are misses, and the end of a sentence is no target.
"""

import concurrent.futures
import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from fedkeyboard.text.tokenizer import END, PAD
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


def count(exported: LiteModel, rows: np.ndarray) -> Hits:
    """Counts int32 `[n, L + 1]` messages, `Text.words`."""
    words = top1 = top3 = 0
    for row in rows:
        state = exported.start
        for t in range(len(row) - 1):
            target = row[t + 1]
            if target in (END, PAD):
                break
            after = exported.run("step", word=row[t : t + 1], **state)
            state = {name: after[name] for name in state}
            suggested = after["suggestions"][0]
            words += 1
            top1 += int(suggested[0] == target)
            top3 += int(target in suggested)
    return Hits(words, top1, top3)


def measure(
    exported: Mapping[str, LiteModel], users: Iterable[np.ndarray]
) -> tuple[int, dict[str, Hits]]:
    """Counts the sentences of some users with several files, which run side by side.

    Args:
      exported: The files, by a name.
      users: Each user's int32 `[n, L + 1]` messages.

    Returns:
      How many users there were; and of each file the sum over them.
    """
    counted, total = 0, dict.fromkeys(exported, Hits())
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        for rows in users:
            of_user = pool.map(count, exported.values(), itertools.repeat(rows))
            total = {name: total[name] + hits for name, hits in zip(total, of_user, strict=True)}
            counted += 1
    return counted, total
