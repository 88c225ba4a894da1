"""N-grams as a tree: below each word the words that were written after it, and so on.

An n-gram is there only if the one that it begins with is. It has a number among those of its
length, its **node**; that of a single word is the word's id.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from fedkeyboard.text.tokenizer import PAD

NONE = -1
"""In the place of a node: there is no such n-gram."""


@dataclasses.dataclass(frozen=True)
class Trie:
    """N-grams of two words up to some length.

    Attributes:
      vocabulary: V, the entries; single words are all there.
      keys: Of each length from 2 on int64 `[E]`, ascending: the node of what an n-gram begins with,
        times V, and its last word. A node is a place in there. V times the n-grams of a length must
        fit 63 bits.
    """

    vocabulary: int
    keys: tuple[np.ndarray, ...] = ()

    @property
    def order(self) -> int:
        """Words of the longest n-grams; 1 if there are none."""
        return 1 + len(self.keys)

    @functools.cached_property
    def words(self) -> tuple[np.ndarray, ...]:
        """Of each length from 2 on the last words of its n-grams: int32 `[E]`."""
        return tuple((keys % self.vocabulary).astype(np.int32) for keys in self.keys)

    @functools.cached_property
    def starts(self) -> tuple[np.ndarray, ...]:
        """Where those begin that begin with the same: int64 `[P + 1]`, P the n-grams one shorter.

        Those with node i of the shorter ones are nodes `starts[i]` to `starts[i + 1]`.
        """
        shorter = (self.vocabulary, *map(len, self.keys))
        return tuple(
            np.searchsorted(keys, np.arange(parents + 1, dtype=np.int64) * self.vocabulary)
            for parents, keys in zip(shorter, self.keys, strict=False)
        )

    def find(self, order: int, nodes: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Returns the nodes, int64 `[n]`, of n-grams of `order` words, 2 at least.

        Args:
          order: Their length.
          nodes: int64 `[n]`, of what they begin with.
          words: `[n]`, their last words.
        """
        keys = self.keys[order - 2]
        wanted = np.where(nodes == NONE, NONE, nodes * self.vocabulary + words)
        places = np.searchsorted(keys, wanted)
        found = np.append(keys, NONE)[places] == wanted
        return np.where(found & (wanted != NONE), places, NONE)

    def ending(self, rows: np.ndarray) -> list[np.ndarray]:
        """Returns, of each length, the n-grams that end with each word of some messages.

        Args:
          rows: int32 `[n, L + 1]`, such as `Text.words`.

        Returns:
          Of each length from 1 to `order`: nodes, int64 `[n, L + 1]`.
        """
        ids = rows.astype(np.int64)
        ending = [np.where(rows == PAD, NONE, ids)]
        for order in range(2, self.order + 1):
            before = np.insert(ending[-1][:, :-1], 0, NONE, axis=1)
            found = self.find(order, before.ravel(), ids.ravel()).reshape(ids.shape)
            ending.append(np.where(rows == PAD, NONE, found))
        return ending

    def kept(self, chosen: Sequence[np.ndarray]) -> "Trie":
        """Returns the chosen n-grams: of each length from 2 on bool `[E]`.

        One that is chosen must begin with one that is.
        """
        keys, renumbered = [], np.arange(self.vocabulary, dtype=np.int64)
        for those, of_length in zip(self.keys, chosen, strict=True):
            nodes, words = np.divmod(those[of_length], self.vocabulary)
            keys.append(renumbered[nodes] * self.vocabulary + words)
            renumbered = np.cumsum(of_length) - 1
        return Trie(self.vocabulary, tuple(keys))
