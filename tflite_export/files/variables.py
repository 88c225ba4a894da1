"""The weights of the file that learns, in variables that a phone reads quickly.

LiteRT copies a variable whenever a signature reads it. `step` reads all of them for one word; if
each copy goes to memory and comes back from there, they take longer than the step. So

- the embedding is in pieces, each of the words of a range of ids, that stay in a processor's cache
  between copy and use. `step` reads the one that its word is in, and then one after another for the
  suggestions (`fedkeyboard.tflite_export.files.order` sees to it that LiteRT does not read them all
  first);
- kernels are transposed, which is how LiteRT multiplies one row by them. It would transpose the
  others for each word.
"""

from collections.abc import Callable

import tensorflow as tf

from fedkeyboard import cuts, model

# Bytes of a piece, at most; of one word's row, if that is more.
_PIECE = 1 << 19


def transposed(
    weights: model.Weights, transpose: Callable[[tf.Tensor], tf.Tensor] = tf.transpose
) -> model.Weights:
    """Returns weights with transposed kernels: `[3H, D]`, `[3H, D]` and `[D, H]`.

    So they are stored; the same function makes them the weights again.
    """
    kernels = ("input_kernel", "recurrent_kernel", "projection")
    return weights._replace(**{name: transpose(getattr(weights, name)) for name in kernels})


def _transposed_for_batches(matrix: tf.Tensor) -> tf.Tensor:
    """Transposes in two parts, which the converter leaves as it is.

    One transposition it would make part of the products that follow. Those of batches are slower
    then: `evaluate` takes a third longer.
    """
    columns = matrix.shape[1]
    parts = tf.split(matrix, [columns // 2, columns - columns // 2], axis=1)
    return tf.concat(list(map(tf.transpose, parts)), axis=0)


class Variables(tf.Module):
    """A model's weights, to read, to replace, and to take a step with."""

    def __init__(self, weights: model.Weights):
        """Takes the weights that the file opens with, as NumPy arrays."""
        super().__init__()
        entries = len(weights.embedding)
        pieces = -(-entries // max(1, _PIECE // weights.embedding[0].nbytes))
        # The words of each piece.
        self._words = cuts.slices(entries, pieces)
        self._rows = cuts.lengths(self._words)
        self._initial = self._apart(weights)
        # The pieces of the embedding, and the other weights in their order.
        self._variables = [tf.Variable(value) for value in self._initial]

    def read(self) -> model.Weights:
        """Returns all weights, to compute with batches of sentences."""
        pieces = [piece.read_value() for piece in self._pieces]
        stored = self._others()._replace(embedding=tf.concat(pieces, axis=0))
        return transposed(stored, _transposed_for_batches)

    def assign(self, weights: model.Weights) -> None:
        """Replaces all weights."""
        for variable, value in zip(self._variables, self._apart(weights), strict=True):
            variable.assign(value)

    def reset(self) -> None:
        """Goes back to the weights that the file opens with."""
        for variable, value in zip(self._variables, self._initial, strict=True):
            variable.assign(value)

    def read_word(self, word: tf.Tensor, state: model.State) -> model.State:
        """Does what `model.read` does, for int32 `[1]` of one sentence."""
        weights = transposed(self._others())
        row = self._row(word, 0, len(self._rows))
        state, _ = model.advance(
            weights, tf.matmul(row, weights.input_kernel) + weights.bias, state
        )
        return state

    def logits(self, output: tf.Tensor) -> tf.Tensor:
        """Does what `model.logits` does, for `[1, D]`."""
        others = self._others()
        biases = tf.split(others.output_bias, self._rows)
        of_pieces = [
            model.logits(others._replace(embedding=piece.read_value(), output_bias=bias), output)
            for piece, bias in zip(self._pieces, biases, strict=True)
        ]
        return tf.concat(of_pieces, axis=1)

    @property
    def _pieces(self) -> list[tf.Variable]:
        return self._variables[: len(self._rows)]

    def _others(self) -> model.Weights:
        """Returns all weights as they are stored, but the embedding, which is None."""
        others = (variable.read_value() for variable in self._variables[len(self._rows) :])
        return model.Weights(None, *others)

    def _apart(self, weights: model.Weights) -> list[tf.Tensor]:
        embedding, *others = transposed(weights)
        return [*tf.split(embedding, self._rows), *others]

    def _row(self, word: tf.Tensor, first: int, last: int) -> tf.Tensor:
        """Returns a word's embedding `[1, D]` from one of the pieces `first` to `last` - 1."""
        if last - first == 1:
            piece = self._pieces[first].read_value()
            return tf.gather(piece, word - self._words[first].start)
        middle = (first + last) // 2
        return tf.cond(
            word[0] < self._words[middle].start,
            lambda: self._row(word, first, middle),
            lambda: self._row(word, middle, last),
        )
