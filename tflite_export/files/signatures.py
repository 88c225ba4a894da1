"""What a phone can ask of a model: the signatures of the exported files, as TensorFlow functions.

They are `fedkeyboard.model`'s own functions (Gboard's CIFG-LSTM, Hard et al. 2018, arXiv
1811.03604), traced again; there is no second copy of the equations. Both files have

    step      word int32 [1], output float32 [1, D], cell float32 [1, H]
           -> suggestions int32 [1, 3], probabilities float32 [1, 3],
              output float32 [1, D], cell float32 [1, H]
    predict   words int32 [1, T], begin token first, padding last
           -> suggestions int32 [1, 3], probabilities float32 [1, 3]
    score     word, output, cell -> log_probabilities float32 [1, V], output, cell

`step` is for a keyboard that keeps the state while its user types; a sentence starts with a state
of zeros and the begin token. `predict` is the same for one that keeps nothing; it sees T - 1 words.
`score` is `step` for evaluation, or an app that mixes the model with another.

The file that learns also has, for any number B of sentences at a time, one at least,

    train        sentences int32 [B, T + 1], mask float32 [B, T], learning_rate and clipping_norm
                 float32 [] -> loss float32 []; one step of SGD, as a simulated phone takes it
    evaluate     sentences, mask -> loss, and of the words among the targets that count how many
                 there are and were the first or among the three suggestions: words, top1_hits and
                 top3_hits, int32 []
    get_weights  of anything -> the weights, by their names in `model.Weights`
    set_weights  the weights -> done
    reset        of anything -> done; the weights are those of the file again

A sentence begins with the begin token and ends with the end token, if it has less than T words, and
padding. The mask is 1 where the target, the word after, counts, and 0 on padding and wherever the
app does not want to learn. An input that is not used is there since Java's `runSignature` refuses
to go without; so with outputs.
"""

from collections.abc import Callable

import tensorflow as tf

from fedkeyboard import model, padded
from fedkeyboard.evaluation.metrics import SUGGESTIONS
from fedkeyboard.text.tokenizer import END, PAD, SPECIAL
from fedkeyboard.tflite_export.files.variables import Variables

INFERENCE_SIGNATURES = ("step", "predict", "score")
TRAINING_SIGNATURES = (
    *INFERENCE_SIGNATURES,
    "train",
    "evaluate",
    "get_weights",
    "set_weights",
    "reset",
)

# Of a table of words (`_best_of_one`).
_COLUMNS = 128


class _Constants:
    """A model's weights that stay as they are, to take a step with as with `Variables`."""

    def __init__(self, weights: model.Weights):
        self._weights = model.Weights(*map(tf.constant, weights))

    def read_word(self, word: tf.Tensor, state: model.State) -> model.State:
        return model.read(self._weights, word, state)

    def logits(self, output: tf.Tensor) -> tf.Tensor:
        return model.logits(self._weights, output)


class InferenceModule(tf.Module):
    """A trained model for suggestions; `step` and `predict` are its signatures."""

    def __init__(self, weights: model.Weights, sizes: model.Sizes):
        """Takes weights as NumPy arrays of `model.weight_shapes(sizes)`."""
        super().__init__()
        self._held = self._hold(weights)
        self._start = model.initial_state(weights, 1)
        before = {
            "word": tf.TensorSpec([1], tf.int32),
            "output": tf.TensorSpec([1, sizes.embedding], tf.float32),
            "cell": tf.TensorSpec([1, sizes.units], tf.float32),
        }
        self.step = _signature(self._step, **before)
        self.score = _signature(self._score, **before)
        self.predict = _signature(self._predict, words=tf.TensorSpec([1, sizes.length], tf.int32))

    def _hold(self, weights: model.Weights) -> "_Constants | Variables":
        # Variables would make the same file, after an initialisation and a freezing.
        return _Constants(weights)

    def _step(self, word: tf.Tensor, output: tf.Tensor, cell: tf.Tensor) -> dict[str, tf.Tensor]:
        state = self._held.read_word(word, model.State(output, cell))
        return {**_suggest(self._held.logits(state.output)), **state._asdict()}

    def _score(self, word: tf.Tensor, output: tf.Tensor, cell: tf.Tensor) -> dict[str, tf.Tensor]:
        state = self._held.read_word(word, model.State(output, cell))
        log_probabilities = tf.nn.log_softmax(self._held.logits(state.output))
        return {"log_probabilities": log_probabilities, **state._asdict()}

    def _predict(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        real = tf.math.count_nonzero(tf.not_equal(words, PAD), dtype=tf.int32)

        def read(
            t: tf.Tensor, output: tf.Tensor, cell: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            state = self._held.read_word(tf.gather(words[0], [t]), model.State(output, cell))
            return t + 1, state.output, state.cell

        # A loop, since XNNPACK packs a copy of the kernels for each product it meets: unrolled at
        # Gboard's size, opening the file takes 17 MB more memory and 10 ms more time. The loop
        # also ends with the last real word, which leaves out the padding's share of the work.
        _, output, _ = tf.while_loop(lambda t, *_: t < real, read, (tf.constant(0), *self._start))
        return _suggest(self._held.logits(output))


class TrainingModule(InferenceModule):
    """A model that learns: its weights are variables."""

    def __init__(self, weights: model.Weights, sizes: model.Sizes):
        """Takes weights as NumPy arrays of `model.weight_shapes(sizes)`."""
        super().__init__(weights, sizes)
        sentences = tf.TensorSpec([None, sizes.length + 1], tf.int32)
        mask = tf.TensorSpec([None, sizes.length], tf.float32)
        number = tf.TensorSpec([], tf.float32)
        self.train = _signature(
            self._train,
            sentences=sentences,
            mask=mask,
            learning_rate=number,
            clipping_norm=number,
        )
        self.evaluate = _signature(self._evaluate, sentences=sentences, mask=mask)
        self.get_weights = _signature(self._get_weights, anything=number)
        shapes = model.Weights(*(w.shape for w in weights))._asdict()
        self.set_weights = _signature(
            self._set_weights, **{name: tf.TensorSpec(shape) for name, shape in shapes.items()}
        )
        self.reset = _signature(self._reset, anything=number)

    def _hold(self, weights: model.Weights) -> Variables:
        return Variables(weights)

    def _train(
        self,
        sentences: tf.Tensor,
        mask: tf.Tensor,
        learning_rate: tf.Tensor,
        clipping_norm: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        weights = self._held.read()
        loss, gradients = padded.loss_and_gradients(weights, sentences, mask)
        clip = clipping_norm / tf.maximum(tf.linalg.global_norm(gradients), clipping_norm)
        moved = (w - learning_rate * clip * g for w, g in zip(weights, gradients, strict=True))
        self._held.assign(model.Weights(*moved))
        return {"loss": loss}

    def _evaluate(self, sentences: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        said = padded.forward(self._held.read(), sentences, mask)
        words = tf.cast(said.counts & tf.not_equal(said.targets, END), tf.int32)
        hits = tf.equal(_best(said.logits), said.targets[:, tf.newaxis])
        hits = words[:, tf.newaxis] * tf.cast(hits, tf.int32)
        return {
            "loss": said.loss,
            "words": tf.reduce_sum(words),
            "top1_hits": tf.reduce_sum(hits[:, 0]),
            "top3_hits": tf.reduce_sum(hits),
        }

    def _get_weights(self, anything: tf.Tensor) -> dict[str, tf.Tensor]:
        del anything
        return self._held.read()._asdict()

    def _set_weights(
        self,
        embedding: tf.Tensor,
        input_kernel: tf.Tensor,
        recurrent_kernel: tf.Tensor,
        bias: tf.Tensor,
        projection: tf.Tensor,
        output_bias: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        self._held.assign(
            model.Weights(embedding, input_kernel, recurrent_kernel, bias, projection, output_bias)
        )
        return {"done": tf.constant(1)}

    def _reset(self, anything: tf.Tensor) -> dict[str, tf.Tensor]:
        del anything
        self._held.reset()
        return {"done": tf.constant(1)}


def _signature(
    function: Callable[..., dict[str, tf.Tensor]], **inputs: tf.TensorSpec
) -> tf.types.experimental.GenericFunction:
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()]
    return tf.function(function, input_signature=specs, autograph=False)


def _suggest(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the likeliest words of `[1, V]` and their probabilities among all entries."""
    words = _best_of_one(logits)
    # Reshaped: LiteRT takes longer to slice the only row out of [1, V] than for the softmax.
    probabilities = tf.reshape(tf.nn.softmax(logits), [-1])
    return {"suggestions": words, "probabilities": tf.gather(probabilities, words)}


def _best_of_one(logits: tf.Tensor) -> tf.Tensor:
    """Returns what `_best` does, of `[1, V]` and in half the time.

    The words are laid out in rows, of which the last may be short. The three best are among the
    three columns with the highest maxima, or in the short row. Equally likely words may come in
    another order, or one in place of the other.
    """
    rows = (logits.shape[1] - len(SPECIAL)) // _COLUMNS
    if not rows:
        return _best(logits)
    in_table = rows * _COLUMNS
    table = tf.reshape(tf.slice(logits, [0, len(SPECIAL)], [-1, in_table]), [rows, _COLUMNS])
    columns = tf.math.top_k(tf.reduce_max(table, axis=0), SUGGESTIONS).indices
    of_columns = tf.reshape(tf.gather(table, columns, axis=1), [1, -1])
    short_row = tf.slice(logits, [0, len(SPECIAL) + in_table], [-1, -1])
    places = tf.math.top_k(tf.concat([of_columns, short_row], axis=1), SUGGESTIONS).indices
    row, column = places // SUGGESTIONS, tf.gather(columns, places % SUGGESTIONS)
    is_short = places >= rows * SUGGESTIONS
    words = tf.where(is_short, places + (in_table - rows * SUGGESTIONS), row * _COLUMNS + column)
    return words + len(SPECIAL)


def _best(logits: tf.Tensor) -> tf.Tensor:
    """Returns the likeliest words, never special tokens: int32 `[N, 3]` of `[N, V]`.

    By the logits, as evaluation picks them: the softmax may round two of them to one number.
    """
    words = tf.slice(logits, [0, len(SPECIAL)], [-1, -1])
    return tf.math.top_k(words, SUGGESTIONS).indices + len(SPECIAL)
