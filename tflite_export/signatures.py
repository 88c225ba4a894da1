"""What a phone can ask of a model: the signatures of the exported files, as TensorFlow functions.

Both signatures are `fedkeyboard.model`'s own functions (Gboard's CIFG-LSTM, Hard et al. 2018, arXiv
1811.03604), traced again for one sentence; there is no second copy of the equations.

    step      word int32 [1], output float32 [1, D], cell float32 [1, H]
           -> suggestions int32 [1, 3], probabilities float32 [1, 3],
              log_probabilities float32 [1, V], output float32 [1, D], cell float32 [1, H]
    predict   words int32 [1, T], begin token first, padding last
           -> suggestions int32 [1, 3], probabilities float32 [1, 3]

`step` is for a keyboard that keeps the state while its user types; a sentence starts with a state
of zeros and the begin token. `predict` is the same for one that keeps nothing; it sees T - 1 words.
"""

from collections.abc import Callable

import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.metrics import SUGGESTIONS
from fedkeyboard.tokenizer import PAD, SPECIAL

INFERENCE_SIGNATURES = ("step", "predict")


class InferenceModule(tf.Module):
    """A trained model for suggestions; `step` and `predict` are its signatures."""

    def __init__(self, weights: model.Weights, sizes: model.Sizes):
        """Takes weights as NumPy arrays of `model.weight_shapes(sizes)`."""
        super().__init__()
        # Constants: variables would make the same file, after an initialisation and a freezing.
        self._weights = model.Weights(*map(tf.constant, weights))
        self.step = _signature(
            self._step,
            word=tf.TensorSpec([1], tf.int32),
            output=tf.TensorSpec([1, sizes.embedding], tf.float32),
            cell=tf.TensorSpec([1, sizes.units], tf.float32),
        )
        self.predict = _signature(self._predict, words=tf.TensorSpec([1, sizes.length], tf.int32))

    def _step(self, word: tf.Tensor, output: tf.Tensor, cell: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, state = model.step(self._weights, word, model.State(output, cell))
        log_probabilities = tf.nn.log_softmax(logits)
        return {
            **_suggest(logits, log_probabilities),
            "log_probabilities": log_probabilities,
            "output": state.output,
            "cell": state.cell,
        }

    def _predict(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        weights = self._weights
        x = tf.gather(weights.embedding, words[0])
        from_input = tf.matmul(x, weights.input_kernel) + weights.bias
        real = tf.math.count_nonzero(tf.not_equal(words, PAD), dtype=tf.int32)

        def read(
            t: tf.Tensor, output: tf.Tensor, cell: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            state, _ = model.advance(weights, tf.gather(from_input, [t]), model.State(output, cell))
            return t + 1, state.output, state.cell

        # A loop, since XNNPACK packs a copy of the kernels for each product it meets: unrolled at
        # Gboard's size, opening the file takes 17 MB more memory and 10 ms more time. The loop
        # also ends with the last real word, which leaves out the padding's share of the work.
        _, output, _ = tf.while_loop(
            lambda t, *_: t < real, read, (tf.constant(0), *model.initial_state(weights, 1))
        )
        logits = model.logits(weights, output)
        return _suggest(logits, tf.nn.log_softmax(logits))


def _signature(
    function: Callable[..., dict[str, tf.Tensor]], **inputs: tf.TensorSpec
) -> tf.types.experimental.GenericFunction:
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()]
    return tf.function(function, input_signature=specs, autograph=False)


def _suggest(logits: tf.Tensor, log_probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
    """Picks the likeliest words, never special tokens, of `[1, V]`.

    Picked by the logits, as evaluation does: the softmax may round two of them to one number.
    """
    words = tf.math.top_k(logits[:, len(SPECIAL) :], SUGGESTIONS).indices + len(SPECIAL)
    return {
        "suggestions": words,
        "probabilities": tf.exp(tf.gather(log_probabilities[0], words)),
    }
