"""Scores users' sentences with a model of sub-words, word by word.

The model reads the pieces of a sentence; at each boundary between words, having read the true ones
before it, a beam search (`fedkeyboard.evaluation.beam`) says its five likeliest words. The targets
are those of a model of words: as many words of each sentence, and its end, however many pieces they
take.

The cross-entropy of a word is the sum of its pieces', so perplexity is by word here too. It is not
comparable with that of a model of words, to which all unknown words are one entry: this one says
how each is spelled.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.evaluation import beam, metrics
from fedkeyboard.evaluation.scoring import Ranked, in_parts
from fedkeyboard.text.tokenizer import END, PAD, SPECIAL, Text

# Targets scored at once; bounds what the beams of an untrained model, which drop nothing, take to
# about 250 MB.
_TARGETS = 640


class SubwordScorer:
    """Scores with the weights of a model of sub-words."""

    def __init__(self, weights: model.Weights, table: beam.Pieces):
        self._weights = model.Weights(*map(tf.constant, weights))
        self._table = beam.Pieces(*map(tf.constant, table))

    def score(self, text: Text) -> metrics.Scores:
        """Scores sentences, one at least; what letters save, and the likeliest entry, is not told.

        Keystrokes would take a search for each letter of each word.
        """
        traced = _traced_rank(model.Weights(*(w.shape for w in self._weights)))

        def score_part(chosen: np.ndarray) -> metrics.Scores:
            rows = text.rows[chosen]
            longest = np.max(np.count_nonzero(rows != PAD, axis=1))
            ranked = traced(self._weights, rows[:, :longest], self._table)
            _, known, ranks, cross_entropy = (values.numpy() for values in ranked)
            return metrics.Scores(known, ranks, None, cross_entropy, None)

        return in_parts(score_part, text.words, _TARGETS)


def rank(weights: model.Weights, rows: tf.Tensor, table: beam.Pieces) -> Ranked:
    """Returns what a model says of int32 `[n, P + 1]` sentences, `SubwordTokenizer.text`'s rows."""
    inputs, targets = rows[:, :-1], rows[:, 1:]
    real = tf.not_equal(targets, PAD)
    states = model.states(weights, inputs)
    piece = tf.boolean_mask(targets, real)
    logits = model.logits(weights, tf.boolean_mask(states.output, real))
    nats = tf.reduce_logsumexp(logits, axis=1) - tf.gather(logits, piece, batch_dims=1)
    ends = tf.gather(table.last, piece)
    of_word = tf.cumsum(tf.cast(ends, tf.int32), exclusive=True)

    begins = tf.gather(table.last, inputs) & real
    contexts = model.State(*(tf.boolean_mask(values, begins) for values in states))
    found = beam.search(weights, table, contexts)
    target = tf.boolean_mask(_spellings(table, rows), real & tf.gather(table.last, targets))
    hit = tf.equal(found.spelling, target[:, tf.newaxis]) & (found.log_probability > -np.inf)
    last = tf.boolean_mask(piece, ends)
    return Ranked(
        word=tf.not_equal(last, END),
        known=last >= len(SPECIAL),
        rank=tf.where(
            tf.reduce_any(hit, axis=1),
            tf.argmax(tf.cast(hit, tf.int32), axis=1, output_type=tf.int32),
            beam.WORDS,
        ),
        cross_entropy=tf.math.segment_sum(nats, of_word),
    )


def _spellings(table: beam.Pieces, rows: tf.Tensor) -> tf.Tensor:
    """Returns of each target piece the spelling of its word up to it: int64 `[n, P]`."""

    def add(begun: tf.Tensor, pieces: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        before, piece = pieces
        begun = tf.where(tf.gather(table.last, before), tf.constant(0, tf.int64), begun)
        return beam.spell(table, begun, piece)

    by_time = tf.transpose(rows)
    zeros = tf.zeros([tf.shape(rows)[0]], tf.int64)
    return tf.transpose(tf.scan(add, (by_time[:-1], by_time[1:]), zeros))


@functools.cache
def _traced_rank(shapes: model.Weights) -> Callable[..., Ranked]:
    """Returns `rank`, traced once for all weights, and numbers of rows and pieces."""
    table = beam.Pieces(
        last=tf.TensorSpec([None], tf.bool),
        finishing=tf.TensorSpec([2, None]),
        continuing=tf.TensorSpec([None]),
        spelling=tf.TensorSpec([None], tf.int64),
        power=tf.TensorSpec([None], tf.int64),
    )
    signature = [
        model.Weights(*map(tf.TensorSpec, shapes)),
        tf.TensorSpec([None, None], tf.int32),
        table,
    ]
    return tf.function(rank, input_signature=signature, autograph=False)
