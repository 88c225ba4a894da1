"""How often each phone has taken part, and how typical those are whose text was trained on."""

import numpy as np


class Participation:
    """Counts the rounds in which each phone has reported: 4 bytes a phone."""

    def __init__(self, phones: int):
        self._phones = phones
        self._reports = np.zeros(phones, np.uint32)
        self._histogram = np.array([phones], np.int64)  # Phones by how often they reported.
        self._trained, self._trained_rate = 0.0, 0.0

    def count(self, phones: np.ndarray, sentences: np.ndarray, rates: np.ndarray) -> None:
        """Counts a round.

        Args:
          phones: int64 `[n]`, whose reports counted.
          sentences: int64 `[n]`, that each trained on.
          rates: float64 `[n]`, the share of the time for which each may train.
        """
        if not len(phones):
            return
        before = self._reports[phones].astype(np.int64)
        self._reports[phones] += 1
        short = before.max() + 2 - len(self._histogram)
        if short > 0:
            self._histogram = np.pad(self._histogram, (0, short))
        np.subtract.at(self._histogram, before, 1)
        np.add.at(self._histogram, before + 1, 1)
        self._trained += float(np.sum(sentences))
        self._trained_rate += float(np.sum(sentences * rates))

    @property
    def seen(self) -> int:
        """How many phones have reported."""
        return int(self._phones - self._histogram[0])

    @property
    def gini(self) -> float:
        """Of the rounds in which each has (`gini`)."""
        return gini(self._histogram)

    def availability_bias(self, rate: float) -> float:
        """Returns how available those are whose text was trained on, by its sentences, by all.

        Args:
          rate: The share of the time for which a phone may train, in the mean over the fleet.
        """
        return self._trained_rate / self._trained / rate if self._trained else 1.0


def gini(participation: np.ndarray) -> float:
    """Returns the Gini coefficient of how often phones took part.

    Args:
      participation: int64 `[m]`, how many phones took part 0, 1, ... m - 1 times.
    """
    times = np.arange(len(participation))
    phones, total = int(participation.sum()), int(times @ participation)
    if not total:
        return 0.0
    # Of values in ascending order x_1 ... x_n: sum (2i - n - 1) x_i / (n sum x); equal values,
    # whose ranks i follow each other, are summed at once.
    below = np.cumsum(participation) - participation
    ranks = participation * (2.0 * below + participation - phones)
    return float(times @ ranks / (phones * total))
