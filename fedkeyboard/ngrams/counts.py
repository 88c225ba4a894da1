"""How often n-grams were written, of those that enough users wrote.

Level by level: an n-gram can have been written by no more users than what it begins with, so that
only n-grams are counted that begin with one that enough wrote. In this way a fleet can find them
without anybody seeing text (Zhu et al. 2020, "Federated Heavy Hitters Discovery with Differential
Privacy", arXiv 1902.08534).
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from fedkeyboard.ngrams.trie import NONE, Trie
from fedkeyboard.text.tokenizer import BEGIN, PAD


@dataclasses.dataclass(frozen=True)
class Counts:
    """N-grams that enough users wrote.

    Attributes:
      trie: The n-grams.
      counts: Of each length from 1 on, by node, how often they were written: int64 `[E]`.
      users: Of each length from 2 on, by how many users: int64 `[E]`.
      minimum_users: By no fewer.
    """

    trie: Trie
    counts: tuple[np.ndarray, ...]
    users: tuple[np.ndarray, ...]
    minimum_users: int

    def of_users(self, minimum_users: int) -> "Counts":
        """Returns those that so many users wrote."""
        chosen = [users >= minimum_users for users in self.users]
        return Counts(
            self.trie.kept(chosen),
            (
                self.counts[0],
                *(c[those] for c, those in zip(self.counts[1:], chosen, strict=True)),
            ),
            tuple(users[those] for users, those in zip(self.users, chosen, strict=True)),
            max(minimum_users, self.minimum_users),
        )


def count(users: Iterable[np.ndarray], vocabulary: int, order: int, minimum_users: int) -> Counts:
    """Counts what users wrote.

    Args:
      users: Each one's int32 `[n, L + 1]` messages, such as `Text.words`. They are read once, and
        kept, in 4 bytes a word.
      vocabulary: V.
      order: Words of the longest n-grams; 2 at least.
      minimum_users: How many users must have written one.
    """
    texts = [rows[rows != PAD] for rows in users]
    ends = np.cumsum([len(text) for text in texts])
    text = np.concatenate([np.empty(0, np.int32), *texts]).astype(np.int32)
    del texts
    counts = [np.bincount(text, minlength=vocabulary)]
    keys: list[np.ndarray] = []
    of_users = []
    # Of the n-gram that ends there.
    nodes = text.astype(np.int64)
    for length in range(2, order + 1):
        before = np.insert(nodes[:-1], 0, NONE)
        known = (text != BEGIN) & (before != NONE)
        candidates = np.where(known, before * vocabulary + text, NONE)
        found = [
            np.unique(part[part != NONE], return_counts=True)
            for part in np.split(candidates, ends[:-1])
        ]
        written, whose = np.unique(
            np.concatenate([of for of, _ in found] or [np.empty(0, np.int64)]), return_inverse=True
        )
        by = np.bincount(whose, minlength=len(written))
        times = np.bincount(
            whose, np.concatenate([n for _, n in found] or [np.empty(0)]), len(written)
        )
        enough = by >= minimum_users
        keys.append(written[enough])
        counts.append(times[enough].astype(np.int64))
        of_users.append(by[enough])
        nodes = Trie(vocabulary, tuple(keys)).find(length, before, text)
        nodes[text == BEGIN] = NONE
    return Counts(Trie(vocabulary, tuple(keys)), tuple(counts), tuple(of_users), minimum_users)
