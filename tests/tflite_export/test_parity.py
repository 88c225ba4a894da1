import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard.errors import RunFailure
from fedkeyboard.text.tokenizer import PAD
from fedkeyboard.tflite_export import parity
from fedkeyboard.tflite_export.files import signatures
from fedkeyboard.tflite_export.phone.litert import LiteModel

SENTENCES = [[], [5], [7, 3, 12, 40], list(range(10, 30))]


def test_a_faithful_file_passes(exported, weights, sizes):
    parity.check(exported, weights, sizes, SENTENCES)


def test_equally_likely_words_pass(to_file, weights, sizes):
    zero = type(weights)(*map(np.zeros_like, weights))
    exported = LiteModel(to_file(signatures.InferenceModule(zero, sizes)))
    parity.check(exported, zero, sizes, SENTENCES)


@pytest.mark.parametrize("field", range(6))
def test_a_slight_change_of_any_weight_is_seen(exported, weights, sizes, field):
    changed = list(weights)
    changed[field] = changed[field].copy()
    # Not the same everywhere: a constant added to the output bias would change nothing.
    changed[field][::2] += 1e-3
    with pytest.raises(RunFailure, match=r"converted \w+ disagrees"):
        parity.check(exported, type(weights)(*changed), sizes, SENTENCES)


class Wrong(signatures.InferenceModule):
    """A module that one of the tests breaks."""

    def __init__(self, weights, sizes, fault):
        self.fault = fault
        super().__init__(weights, sizes)

    def _step(self, word, output, cell):
        result = super()._step(word, output, cell)
        if self.fault == "order":
            result["suggestions"] = tf.reverse(result["suggestions"], axis=[1])
        elif self.fault == "special":
            result["suggestions"] = result["suggestions"] * [[1, 1, 0]]
        elif self.fault == "twice":
            result["suggestions"] = tf.gather(result["suggestions"], [0, 0, 1], axis=1)
        elif self.fault == "probabilities":
            result["probabilities"] = result["probabilities"] * 1.01
        return result

    def _score(self, word, output, cell):
        result = super()._score(word, output, cell)
        if self.fault == "nan":
            result["log_probabilities"] = result["log_probabilities"] * float("nan")
        elif self.fault == "cell":
            result["cell"] = result["cell"] * 1.01
        return result

    def _predict(self, words):
        if self.fault == "padding":
            words = tf.where(tf.equal(words, PAD), 5, words)
        return super()._predict(words)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("order", "step disagrees .* in suggestions' log"),
        ("special", "step suggests"),
        ("twice", "step suggests"),
        ("probabilities", "step disagrees .* in suggestions' prob"),
        ("nan", "score disagrees .* in log-prob.* nan"),
        ("cell", "score disagrees .* in cell"),
        ("padding", "predict disagrees"),
    ],
)
def test_faults_are_seen(to_file, weights, sizes, fault, message):
    exported = LiteModel(to_file(Wrong(weights, sizes, fault)))
    with pytest.raises(RunFailure, match=message):
        parity.check(exported, weights, sizes, SENTENCES)
