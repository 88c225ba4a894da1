"""The likeliest next words of a model of sub-words: a beam search over pieces to the end of a word.

P(word | context) is the product of its pieces' probabilities (`fedkeyboard.text.subwords`); of
several ways to spell a word the likeliest counts, and the model has only ever read one of them. A
step takes the likeliest unfinished beginnings of words, at most `WIDTH` a context, and adds a
piece: one that ends the word, or one that does not. A beginning that is no likelier than the fifth
finished word cannot become one of the five and is dropped. That leaves few, and the search is exact
unless more than `WIDTH` beginnings are likelier than that, or a word has more than `PIECES` pieces.

Contexts are searched together: beginnings of all of them are the rows of one matrix product.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.text.subwords import ends_word
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, SPACE, SPECIAL, UNKNOWN

WORDS = 5  # Found at each context; as many as top-5 recall asks for.
# Of a trained model of chat text, 2 and 32 find the words that 8 finds.
WIDTH = 8
PIECES = 8

_BASE = 0x9E3779B97F4A7C15  # Odd, so that no product of it is 0.


class Pieces(NamedTuple):
    """A vocabulary of pieces as arrays.

    A spelling is a number: that of a string is the polynomial of its code points in a fixed base,
    modulo 2^64, which is told from those of its parts. Two strings of letters share one by a chance
    of about 2^-60.

    Attributes:
      last: bool `[V]`, whether an entry is the last of a word, or of what stands for one.
      finishing: float32 `[2, V]`, 0 of the pieces that end a word and -inf of all others; as a
        word's first piece, and later. (A space alone ends a word, but is none.)
      continuing: float32 `[V]`, 0 of the pieces that do not.
      spelling: int64 `[V]`, of the letters.
      power: int64 `[V]`, the base to the power of their number.
    """

    last: np.ndarray
    finishing: np.ndarray
    continuing: np.ndarray
    spelling: np.ndarray
    power: np.ndarray


def pieces(vocabulary: Sequence[str]) -> Pieces:
    """Returns the arrays of a vocabulary, of which the first four entries are special."""
    entries = np.arange(len(vocabulary))
    piece = entries >= len(SPECIAL)
    ends = piece & np.array([ends_word(entry) for entry in vocabulary])
    bare = np.array([entry == SPACE for entry in vocabulary])
    letters = [entry.removesuffix(SPACE) for entry in vocabulary]
    # Of a special entry, of which the spelling means nothing, that of no letters.
    letters[: len(SPECIAL)] = [""] * len(SPECIAL)
    return Pieces(
        last=ends | np.isin(entries, (BEGIN, END, UNKNOWN)),
        finishing=_allow(np.stack([ends & ~bare, ends])),
        continuing=_allow(piece & ~ends),
        spelling=np.array([spelling(text) for text in letters], np.int64),
        power=np.array([_wrapped(pow(_BASE, len(text), 2**64)) for text in letters], np.int64),
    )


def spelling(text: str) -> int:
    """Returns the number of a string."""
    value = 0
    for character in text:
        value = (value * _BASE + ord(character)) % 2**64
    return _wrapped(value)


def _wrapped(value: int) -> int:
    """Returns the signed number of the same 64 bits."""
    return value - 2**64 * (value >= 2**63)


def _allow(allowed: np.ndarray) -> np.ndarray:
    return np.where(allowed, 0.0, -np.inf).astype(np.float32)


class Found(NamedTuple):
    """The likeliest words of N contexts, best first.

    Attributes:
      log_probability: float32 `[N, 5]`; -inf where there are fewer words.
      spelling: int64 `[N, 5]`.
      pieces: int32 `[N, 5, PIECES]`, what the words are put together of, then `PAD`.
    """

    log_probability: tf.Tensor
    spelling: tf.Tensor
    pieces: tf.Tensor


class _Begun(NamedTuple):
    """The A unfinished beginnings of words of all contexts, in the order of their places.

    Attributes:
      place: int32 `[A]`, the context's number times the beam's width, plus the place in its beam.
      log_probability: float32 `[A]`.
      spelling: int64 `[A]`.
      pieces: int32 `[A, PIECES]`, then `PAD`.
      state: The model's, after the last piece.
    """

    place: tf.Tensor
    log_probability: tf.Tensor
    spelling: tf.Tensor
    pieces: tf.Tensor
    state: model.State


def search(
    weights: model.Weights, table: Pieces, contexts: model.State, width: int = WIDTH
) -> Found:
    """Returns the five likeliest words after each of N contexts.

    Args:
      weights: The weights.
      table: The vocabulary's.
      contexts: The model's states after whole words, or after the begin of a sentence.
      width: How many beginnings to follow at each.
    """
    count, entries = tf.shape(contexts.output)[0], weights.embedding.shape[0]

    def add_piece(step: tf.Tensor, begun: _Begun, found: Found) -> tuple[tf.Tensor, _Begun, Found]:
        def lay_out(values: tf.Tensor, empty: float | int) -> tf.Tensor:
            """Puts values `[A, k, ...]` of the beginnings by contexts: `[N, width * k, ...]`."""
            each, *more = values.shape[1:]
            laid = tf.fill([count * width, each, *more], tf.constant(empty, values.dtype))
            laid = tf.tensor_scatter_nd_update(laid, begun.place[:, tf.newaxis], values)
            return tf.reshape(laid, [count, width * each, *more])

        def put(piece: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
            """Adds to `before` `[..., PIECES]` the piece of this step."""
            return tf.where(tf.range(PIECES) == step, piece[..., tf.newaxis], before)

        said = tf.nn.log_softmax(model.logits(weights, begun.state.output))
        said += begun.log_probability[:, tf.newaxis]

        ended, piece = tf.math.top_k(said + tf.gather(table.finishing, tf.minimum(step, 1)), WORDS)
        spelled = spell(table, begun.spelling[:, tf.newaxis], piece)
        of_word = put(piece, begun.pieces[:, tf.newaxis])
        found = _best_words(
            tf.concat([found.log_probability, lay_out(ended, -np.inf)], axis=1),
            tf.concat([found.spelling, lay_out(spelled, 0)], axis=1),
            tf.concat([found.pieces, lay_out(of_word, PAD)], axis=1),
        )

        longer, piece = tf.math.top_k(said + table.continuing, min(width, entries))
        rows = tf.range(tf.shape(piece)[0], dtype=tf.int64)[:, tf.newaxis]
        of = lay_out(rows * entries + tf.cast(piece, tf.int64), 0)
        longer, chosen = tf.math.top_k(lay_out(longer, -np.inf), width)
        kept = longer > found.log_probability[:, -1:]
        of = tf.boolean_mask(tf.gather(of, chosen, batch_dims=1), kept)
        row, piece = of // entries, of % entries
        begun = _Begun(
            place=tf.cast(tf.where(tf.reshape(kept, [-1]))[:, 0], tf.int32),
            log_probability=tf.boolean_mask(longer, kept),
            spelling=spell(table, tf.gather(begun.spelling, row), piece),
            pieces=put(tf.cast(piece, tf.int32), tf.gather(begun.pieces, row)),
            state=model.read(
                weights, piece, model.State(*(tf.gather(values, row) for values in begun.state))
            ),
        )
        return step + 1, begun, found

    begun = _Begun(
        tf.range(count) * width,
        tf.zeros([count]),
        tf.zeros([count], tf.int64),
        tf.fill([count, PIECES], PAD),
        contexts,
    )
    found = Found(
        tf.fill([count, WORDS], -np.inf),
        tf.zeros([count, WORDS], tf.int64),
        tf.fill([count, WORDS, PIECES], PAD),
    )
    unknown = tf.TensorShape([None])
    state = model.State(*(tf.TensorShape([None, s.shape[1]]) for s in contexts))
    _, _, found = tf.while_loop(
        lambda step, begun, _: (step < PIECES) & (tf.size(begun.place) > 0),
        add_piece,
        (tf.constant(0), begun, found),
        shape_invariants=(
            tf.TensorShape([]),
            _Begun(unknown, unknown, unknown, tf.TensorShape([None, PIECES]), state),
            Found(*[tf.TensorShape([None, WORDS])] * 2, tf.TensorShape([None, WORDS, PIECES])),
        ),
        parallel_iterations=1,
    )
    return found


def suggest(
    weights: model.Weights, vocabulary: Sequence[str], read: Sequence[int]
) -> list[tuple[str, float]]:
    """Returns the likeliest words after the pieces `read` of a sentence, and their probabilities.

    At most five, best first; fewer if there are no more.
    """
    state = model.initial_state(weights, 1)
    for piece in (BEGIN, *read):
        state = model.read(weights, tf.constant([piece]), state)
    found = search(weights, pieces(vocabulary), state)
    return [
        ("".join(vocabulary[i] for i in spelled if i != PAD).removesuffix(SPACE), float(np.exp(p)))
        for p, spelled in zip(found.log_probability[0], found.pieces[0].numpy(), strict=True)
        if p > -np.inf
    ]


def spell(table: Pieces, begun: tf.Tensor, piece: tf.Tensor) -> tf.Tensor:
    """Returns the spellings of beginnings with a piece more."""
    return begun * tf.gather(table.power, piece) + tf.gather(table.spelling, piece)


def _best_words(log_probability: tf.Tensor, spelled: tf.Tensor, pieces: tf.Tensor) -> Found:
    """Returns the likeliest of words `[N, M]`, each once."""
    words = log_probability.shape[1]
    log_probability, by_likelihood = tf.math.top_k(log_probability, words)
    spelled = tf.gather(spelled, by_likelihood, batch_dims=1)
    same = tf.equal(spelled[:, :, tf.newaxis], spelled[:, tf.newaxis, :])
    earlier = tf.constant(np.tri(words, k=-1, dtype=bool))
    repeated = tf.reduce_any(same & earlier, axis=2)
    log_probability, order = tf.math.top_k(tf.where(repeated, -np.inf, log_probability), WORDS)
    of_words = tf.gather(by_likelihood, order, batch_dims=1)
    return Found(
        log_probability,
        tf.gather(spelled, order, batch_dims=1),
        tf.gather(pieces, of_words, batch_dims=1),
    )
