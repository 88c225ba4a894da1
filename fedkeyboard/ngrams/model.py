"""What n-grams say beside the model: how likely each word is after those before it.

Of what was written after the last word, the last two, and so on, each length in turn takes its
share of what the shorter ones, and first of all the model, have said:

    p_1(w | h) = the model's
    p_n(w | h) = q(w | last n - 1 words of h) + (1 - sum_v q(v | those)) p_(n-1)(w | h)

This is the interpolation of Jelinek and Mercer 1980 with a neural model in the place of the single
words; q has the discount and the share in it (`fedkeyboard.ngrams.fitting`), so that a phone needs
no more than it. After words that nobody, or too few, wrote in this order nothing changes.

`ngrams.bin` has q in a byte each, as -16 ln q: within 3%, and down to 1.2e-7.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fedkeyboard.ngrams.trie import NONE, Trie
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, SPECIAL

FILE = "ngrams.bin"
MOST_BYTES = 1 << 26
LONGEST = 8
"""Words of an n-gram."""

_STEP = 1 / 16
_Q = np.exp(-_STEP * np.arange(256))
_MAGIC = b"FKNG"
_SMALL = 1 << 16


class Additions(NamedTuple):
    """What n-grams make of the probabilities of N targets: `kept` times the model's, and more.

    Attributes:
      kept: float64 `[N]`, what is left of the model's.
      targets: int64 `[M]`, for which target there is more,
      words: int32 `[M]`, of which word,
      probabilities: float64 `[M]`, and how much. A word can be there several times.
    """

    kept: np.ndarray
    targets: np.ndarray
    words: np.ndarray
    probabilities: np.ndarray


@dataclasses.dataclass(frozen=True)
class NGrams:
    """What n-grams say.

    Attributes:
      trie: The n-grams.
      codes: Of each length from 2 on, by node, q: uint8 `[E]`.
    """

    trie: Trie
    codes: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        """Returns how many n-grams there are."""
        return sum(map(len, self.codes))

    @functools.cached_property
    def _left(self) -> tuple[np.ndarray, ...]:
        """Of each length from 2 on, by what n-grams begin with: what those leave the others."""
        return tuple(
            1 - np.diff(np.cumsum(np.append(0.0, _Q[codes]))[starts])
            for codes, starts in zip(self.codes, self.trie.starts, strict=True)
        )

    def additions(self, rows: np.ndarray) -> Additions:
        """Returns what is said of the N targets of int32 `[n, L + 1]` messages, in their order."""
        real = rows[:, 1:] != PAD
        kept = np.ones(np.count_nonzero(real))
        added = [(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0))]
        for place, ending in enumerate(self.trie.ending(rows)[: self.trie.order - 1]):
            nodes = ending[:, :-1][real]
            after = np.flatnonzero(nodes != NONE)
            starts = self.trie.starts[place]
            first, last = starts[nodes[after]], starts[nodes[after] + 1]
            left = np.ones(len(nodes))
            left[after] = self._left[place][nodes[after]]
            added = [(targets, words, p * left[targets]) for targets, words, p in added]
            kept *= left
            lengths = last - first
            before = np.cumsum(lengths) - lengths
            at = np.arange(np.sum(lengths)) + np.repeat(first - before, lengths)
            added.append(
                (np.repeat(after, lengths), self.trie.words[place][at], _Q[self.codes[place][at]])
            )
        return Additions(kept, *(np.concatenate(parts) for parts in zip(*added, strict=True)))

    @classmethod
    def none(cls, vocabulary: int) -> "NGrams":
        """Returns those of no text: nothing is mixed with the model."""
        return cls(Trie(vocabulary))

    def mixed(self, log_probabilities: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Returns a model's log-probabilities, float32 `[N, V]`, with what n-grams say.

        Of the N targets of int32 `[n, L + 1]` messages, in the order of the rows.
        """
        said = self.additions(rows)
        mixed = np.exp(log_probabilities, dtype=np.float64) * said.kept[:, np.newaxis]
        np.add.at(mixed, (said.targets, said.words), said.probabilities)
        with np.errstate(divide="ignore"):  # PAD and BEGIN may have probability 0.
            return np.log(mixed).astype(np.float32)

    def after(self, ids: Sequence[int]) -> tuple[float, np.ndarray, np.ndarray]:
        """Returns what is said of the next word: what is left of the model's, and what is added.

        Args:
          ids: The sentence's words so far, without the begin token.

        Returns:
          A factor; the words, int32 `[m]`, ascending, each once; their probabilities `[m]`.
        """
        # What the longest n-grams look back to. The last is any target.
        row = [BEGIN, *ids][-max(self.trie.order - 1, 1) :]
        said = self.additions(np.array([[*row, END]], np.int32))
        here = said.targets == len(row) - 1
        words, place = np.unique(said.words[here], return_inverse=True)
        return float(said.kept[-1]), words, np.bincount(place, said.probabilities[here])

    def suggest(
        self, ids: Sequence[int], log_probabilities: np.ndarray, count: int
    ) -> list[tuple[int, float]]:
        """Returns the likeliest next words, best first, with their probabilities.

        Args:
          ids: As of `after`.
          log_probabilities: float32 `[V]`, the model's.
          count: How many.
        """
        kept, words, added = self.after(ids)
        probabilities = np.exp(log_probabilities, dtype=np.float64) * kept
        probabilities[words] += added
        # Of equals the one that comes first.
        best = np.argsort(-probabilities[len(SPECIAL) :], kind="stable")[:count] + len(SPECIAL)
        return list(zip(best.tolist(), probabilities[best].tolist(), strict=True))

    def size(self) -> int:
        """Returns the bytes of the file."""
        return size(self.trie)

    def dump(self) -> bytes:
        """Returns the content of `ngrams.bin`.

        All little endian, uint32: "FKNG", V, the longest length N, how many n-grams there are of
        each from 2 on. Then of each length from 2 on: how many begin with each n-gram that is one
        shorter, and their last words, ascending among these. Each number has 2 bytes, or 4 if V is
        above 65,536. Last, of each length, a byte for q.
        """
        trie = self.trie
        head = np.array([trie.vocabulary, trie.order, *map(len, self.codes)], "<u4")
        number = _number(trie.vocabulary)
        counted = [
            part.astype(number).tobytes()
            for starts, words in zip(trie.starts, trie.words, strict=True)
            for part in (np.diff(starts), words)
        ]
        return b"".join([_MAGIC, head.tobytes(), *counted, *(c.tobytes() for c in self.codes)])


def size(trie: Trie) -> int:
    """Returns the bytes of a file with some n-grams."""
    number = _number(trie.vocabulary).itemsize
    numbers = sum(len(starts) - 1 for starts in trie.starts) + sum(map(len, trie.keys))
    return len(_MAGIC) + 4 * (1 + trie.order) + number * numbers + sum(map(len, trie.keys))


def encode(q: np.ndarray) -> np.ndarray:
    """Returns the codes, uint8, of some probabilities."""
    with np.errstate(divide="ignore"):
        return np.clip(np.rint(-np.log(q) / _STEP), 0, 255).astype(np.uint8)


def load(content: bytes, vocabulary: int) -> NGrams:
    """Reads an `ngrams.bin`.

    Args:
      content: Its bytes; nobody need have written them in good faith.
      vocabulary: V, of the model that it must be of.

    Raises:
      ValueError: If it is none, or of another vocabulary.
    """
    reader = _Reader(content)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise ValueError("not n-grams")
    entries, order = reader.numbers(2, np.dtype("<u4")).tolist()
    if entries != vocabulary:
        raise ValueError(f"of {entries:,} entries, and not of {vocabulary:,}")
    if not 1 <= order <= LONGEST:
        raise ValueError(f"n-grams of {order:,} words")
    sizes = reader.numbers(order - 1, np.dtype("<u4")).tolist()
    number = _number(vocabulary)
    keys, shorter = [], vocabulary
    for entries in sizes:
        after = reader.numbers(shorter, number).astype(np.int64)
        words = reader.numbers(entries, number).astype(np.int64)
        if np.sum(after) != entries or np.any(words >= vocabulary):
            raise ValueError("damaged")
        those = np.repeat(np.arange(shorter, dtype=np.int64), after) * vocabulary + words
        if np.any(np.diff(those) <= 0):
            raise ValueError("damaged: words are not in their order")
        keys.append(those)
        shorter = entries
    codes = tuple(reader.numbers(entries, np.dtype(np.uint8)) for entries in sizes)
    if reader.left():
        raise ValueError("longer than it says")
    ngrams = NGrams(Trie(vocabulary, tuple(keys)), codes)
    # A sum of ours is at most 1; what it is off by is rounding.
    if any(np.any(left < -1e-9) for left in ngrams._left):
        raise ValueError("damaged: probabilities of more than 1 in all")
    return ngrams


class _Reader:
    def __init__(self, content: bytes):
        self._content, self._at = content, 0

    def take(self, count: int) -> bytes:
        taken = self._content[self._at : self._at + count]
        if len(taken) < count:
            raise ValueError("shorter than it says")
        self._at += count
        return taken

    def numbers(self, count: int, kind: np.dtype) -> np.ndarray:
        return np.frombuffer(self.take(count * kind.itemsize), kind)

    def left(self) -> int:
        return len(self._content) - self._at


def _number(vocabulary: int) -> np.dtype:
    return np.dtype("<u2" if vocabulary <= _SMALL else "<u4")
