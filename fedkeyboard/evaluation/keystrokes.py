"""What suggestions save their user: the keystroke savings rate, and the typing that it supposes.

A keyboard shows its three likeliest words before the first letter and after each, of those words
that begin with the letters typed. The user accepts a word as soon as it shows, with one tap, which
also types the space after it; else types all its letters and the space. So a word of 5 letters
takes 6 keys, or j + 1 if it shows after j letters. Letters are code points of the word as
`fedkeyboard.text.words` writes it; no key is counted for the end of a sentence.

This is the usual measure of word prediction for people who type slowly (Trnka and McCoy 2008,
"Evaluating Word Prediction: Framing Keystroke Savings"), with a user who never overlooks a word.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fedkeyboard.evaluation.metrics import SUGGESTIONS
from fedkeyboard.text.tokenizer import SPECIAL

# A word that has not shown after so many letters is typed to its end. Bounds the table's size.
_LETTERS = 20
NEVER = 1_000_000
"""More letters than a word has."""


class Prefixes(NamedTuple):
    """A vocabulary in alphabetical order, in which words with a common beginning are neighbours.

    Attributes:
      order: int32 `[V - 4]`, the ids of the words, by their code points.
      first: int32 `[V, L]`, where in `order` the words begin that share a word's first j letters;
        0 of a special entry.
      last: int32 `[V, L]`, where they end.
    """

    order: np.ndarray
    first: np.ndarray
    last: np.ndarray


def prefixes(vocabulary: Sequence[str]) -> Prefixes:
    """Returns the table of a vocabulary, of which the first four entries are special."""
    ids = np.array(
        sorted(range(len(SPECIAL), len(vocabulary)), key=vocabulary.__getitem__), np.int32
    )
    words = [vocabulary[i] for i in ids]
    columns = min(max(map(len, words)), _LETTERS) + 1
    first = np.zeros((len(vocabulary), columns), np.int32)
    last = np.zeros_like(first)
    for letters in range(columns):
        beginnings = [word[:letters] for word in words]
        _, starts, group = np.unique(beginnings, return_index=True, return_inverse=True)
        first[ids, letters] = starts[group]
        last[ids, letters] = np.append(starts[1:], len(words))[group]
    return Prefixes(ids, first, last)


def letters_typed(better: np.ndarray, targets: np.ndarray, table: Prefixes) -> np.ndarray:
    """Returns after how many letters each target shows: int32 `[N]`; `NEVER` if after none.

    Args:
      better: bool `[N, V - 4]`, which words are suggested before the target, by `table.order`.
      targets: int32 `[N]`; what is returned for special entries means nothing.
      table: The vocabulary's.
    """
    # NumPy's running sum takes a fifth of the time of TensorFlow's.
    ahead = np.zeros((len(targets), len(table.order) + 1), np.int32)
    np.cumsum(better, axis=1, out=ahead[:, 1:])
    row = np.arange(len(targets))[:, np.newaxis]
    before_it = ahead[row, table.last[targets]] - ahead[row, table.first[targets]]
    shown = before_it < SUGGESTIONS
    return np.where(shown.any(axis=1), np.argmax(shown, axis=1), NEVER).astype(np.int32)
