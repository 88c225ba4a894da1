"""What suggestions save their user: the keystroke savings rate, and the typing that it supposes.

A keyboard shows its three likeliest words before the first letter and after each, of those words
that begin with the letters typed. The user accepts a word as soon as it shows, with one tap, which
also types the space after it; else types all its letters and the space. So a word of 5 letters
takes 6 keys, or j + 1 if it shows after j letters. Letters are code points of the word as
`fedkeyboard.words` writes it; no key is counted for the end of a sentence.

This is the usual measure of word prediction for people who type slowly (Trnka and McCoy 2008,
"Evaluating Word Prediction: Framing Keystroke Savings"), with a user who never overlooks a word.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fedkeyboard.metrics import SUGGESTIONS
from fedkeyboard.tokenizer import SPECIAL

# A word that has not shown after so many letters is typed to its end. Bounds the table's size.
_LETTERS = 20


class Prefixes(NamedTuple):
    """A vocabulary in alphabetical order, in which words with a common beginning are neighbours.

    Attributes:
      order: int32 `[V - 4]`, the ids of the words, by their code points.
      first: int32 `[V, L]`, where in `order` the words begin that share a word's first j letters;
        0 of a special entry.
      last: int32 `[V, L]`, where they end.
    """

    order: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor


def prefixes(vocabulary: Sequence[str]) -> Prefixes:
    """Returns the table of a vocabulary, of which the first four entries are special."""
    words = vocabulary[len(SPECIAL) :]
    by_name = np.array(sorted(range(len(words)), key=words.__getitem__), np.int32)
    ordered = [words[i] for i in by_name]
    columns = min(max(map(len, words)), _LETTERS) + 1
    first = np.zeros((len(vocabulary), columns), np.int32)
    last = np.zeros_like(first)
    ids = by_name + len(SPECIAL)
    place = np.arange(len(ordered) + 1, dtype=np.int32)
    for letters in range(columns):
        beginnings = [word[:letters] for word in ordered]
        begins = [
            i == 0 or beginning != beginnings[i - 1] for i, beginning in enumerate(beginnings)
        ]
        starts = place[:-1][begins]
        group = np.cumsum(begins) - 1
        first[ids, letters] = starts[group]
        last[ids, letters] = np.append(starts[1:], len(ordered))[group]
    return Prefixes(tf.constant(ids), tf.constant(first), tf.constant(last))


def letters_typed(better: tf.Tensor, targets: tf.Tensor, table: Prefixes) -> tf.Tensor:
    """Returns after how many letters each target shows: int32 `[N]`; `L` if after none of them.

    Args:
      better: bool `[N, V - 4]`, which words are suggested before the target, by `table.order`.
      targets: int32 `[N]`, the target; what is returned for special entries means nothing.
      table: The vocabulary's.
    """
    ahead = tf.pad(tf.cumsum(tf.cast(better, tf.int32), axis=1), [[0, 0], [1, 0]])
    first, last = tf.gather(table.first, targets), tf.gather(table.last, targets)
    before_it = tf.gather(ahead, last, batch_dims=1) - tf.gather(ahead, first, batch_dims=1)
    # A word shows at the first True; the last column makes argmax find one.
    shown = tf.pad(before_it < SUGGESTIONS, [[0, 0], [0, 1]], constant_values=True)
    return tf.argmax(tf.cast(shown, tf.int32), axis=1, output_type=tf.int32)
