"""The classical baseline: a trigram model with interpolated, modified Kneser-Ney smoothing.

Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", Harvard
TR-10-98, section 3. At each order, a word w after its context h has the probability

    p(w | h) = (c(h w) - D(c(h w))) / sum_w c(h w) + gamma(h) p(w | h without its first word),
    gamma(h) = sum_w D(c(h w)) / sum_w c(h w)       (1 after a context that was never seen),

where c counts trigrams, and at the lower orders the distinct words an n-gram was seen after
(section 2.7): "francisco" may be frequent, but is unlikely after any word but "san". Below the
single words is the uniform distribution over all targets, so that none has probability 0.

A sentence begins with BEGIN twice, and END is a word like others. D is a discount each for counts
of 1, of 2 and of 3 or more, which suits validation users better than the one of section 2.7 does.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from fedkeyboard.text.tokenizer import BEGIN, PAD

# Where the counts give none: half of each count.
_FALLBACK = np.array([0.5, 1.0, 1.5])


@dataclasses.dataclass(frozen=True)
class Order:
    """The n-grams of one length, by their contexts: the words that followed each lie together.

    A context is one number, its words' ids as digits to the base of the vocabulary.

    Attributes:
      contexts: int64 `[c]`, ascending.
      starts: int64 `[c + 1]`: context i was followed by `words[starts[i] : starts[i + 1]]`.
      words: int32 `[m]`.
      log_discounted: float32 `[m]`, the first term of p, in nats.
      log_backoff: float32 `[c]`, gamma, in nats.
    """

    contexts: np.ndarray
    starts: np.ndarray
    words: np.ndarray
    log_discounted: np.ndarray
    log_backoff: np.ndarray

    @classmethod
    def fit(cls, ngrams: np.ndarray, counts: np.ndarray, vocabulary: int) -> "Order":
        """Smooths the counts, int64 `[m]`, of n-grams, int64 `[m]`, ascending and distinct."""
        contexts, starts = np.unique(ngrams // vocabulary, return_index=True)
        starts = np.append(starts, len(ngrams))
        following = np.diff(starts)

        def of_context(values: np.ndarray) -> np.ndarray:
            return np.diff(np.cumsum(np.append(0, values))[starts])

        discounts = estimate_discounts(counts)[np.minimum(counts, 3) - 1]
        totals = of_context(counts)
        discounted = (counts - discounts) / np.repeat(totals, following)
        return cls(
            contexts=contexts,
            starts=starts,
            words=(ngrams % vocabulary).astype(np.int32),
            log_discounted=np.log(discounted).astype(np.float32),
            log_backoff=np.log(of_context(discounts) / totals).astype(np.float32),
        )

    def interpolate(self, rows: np.ndarray, contexts: np.ndarray) -> None:
        """Turns the lower order's log-probabilities, float32 `[n, V]`, into this order's.

        Args:
          rows: Of each context without its first word; changed in place.
          contexts: int64 `[n]`.
        """
        first = np.searchsorted(self.contexts, contexts)
        last = np.searchsorted(self.contexts, contexts, side="right")
        seen = first < last
        # A context that was not seen has no words that follow, and leaves its row as it is.
        log_backoff = np.zeros(len(contexts), np.float32)
        log_backoff[seen] = self.log_backoff[first[seen]]
        rows += log_backoff[:, np.newaxis]
        starts, lengths = self.starts[first], self.starts[last] - self.starts[first]
        row = np.repeat(np.arange(len(contexts)), lengths)
        before = np.cumsum(lengths) - lengths
        at = np.arange(len(row)) + np.repeat(starts - before, lengths)
        words = self.words[at]
        rows[row, words] = np.logaddexp(rows[row, words], self.log_discounted[at])


@dataclasses.dataclass(frozen=True)
class Trigram:
    """A smoothed trigram model.

    Attributes:
      vocabulary: V, its entries; at most 2**21, so that a trigram fits 63 bits.
      orders: Single words, pairs and trigrams.
    """

    vocabulary: int
    orders: tuple[Order, Order, Order]

    @classmethod
    def fit(cls, users: Iterable[np.ndarray], vocabulary: int) -> "Trigram":
        """Fits the model to each user's int32 `[n, T + 1]` rows, such as `Text.words`.

        Reads one user at a time and keeps 8 bytes a word. Of no sentences it is uniform.
        """
        keys = [np.empty(0, np.int64)]
        for rows in users:
            contexts, targets = _trigrams(rows, vocabulary)
            keys.append(contexts * vocabulary + targets)
        ngrams, counts = np.unique(np.concatenate(keys), return_counts=True)
        trigrams = Order.fit(ngrams, counts, vocabulary)
        ngrams, counts = np.unique(ngrams % vocabulary**2, return_counts=True)
        pairs = Order.fit(ngrams, counts, vocabulary)
        ngrams, counts = np.unique(ngrams % vocabulary, return_counts=True)
        return cls(vocabulary, (Order.fit(ngrams, counts, vocabulary), pairs, trigrams))

    def log_probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Returns float32 `[N, V]`, in nats, for the N targets of int32 `[n, T + 1]` sentences.

        Targets are in the order of the rows, without padding. PAD and BEGIN, which are never
        targets, have -inf.
        """
        contexts, _ = _trigrams(rows, self.vocabulary)
        return self._after(contexts, len(self.orders))

    def _after(self, contexts: np.ndarray, n: int) -> np.ndarray:
        """Returns float32 `[N, V]`, by the orders up to n, after contexts of n - 1 words."""
        # A row of V is computed once for each distinct context, of which the lower orders have
        # ever fewer.
        distinct, inverse = np.unique(contexts, return_inverse=True)
        if n == 1:
            uniform = np.full(self.vocabulary, -np.log(self.vocabulary - 2), np.float32)
            uniform[[PAD, BEGIN]] = -np.inf
            rows = np.tile(uniform, (len(distinct), 1))
        else:
            rows = self._after(distinct % self.vocabulary ** (n - 2), n - 1)
        self.orders[n - 1].interpolate(rows, distinct)
        return rows[inverse]


def estimate_discounts(counts: np.ndarray) -> np.ndarray:
    """Returns float64 `[3]`: what is taken from counts of 1, of 2, and of 3 or more (eq. 26).

    Of little text some estimates are undefined, or not between 0 and the count they are taken
    from; then all three are 0.5, 1 and 1.5.
    """
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=5)[1:5]
    with np.errstate(divide="ignore", invalid="ignore"):
        y = n1 / (n1 + 2 * n2)
        discounts = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    defined = np.all((discounts > 0) & (discounts < [1, 2, 3]))  # False of NaN
    return discounts if defined else _FALLBACK


def _trigrams(rows: np.ndarray, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the contexts and targets, int64 `[N]` both, of the targets that are no padding."""
    rows = rows.astype(np.int64)
    before = np.insert(rows[:, :-2], 0, BEGIN, axis=1)
    real = rows[:, 1:] != PAD
    return (before * vocabulary + rows[:, :-1])[real], rows[:, 1:][real]
