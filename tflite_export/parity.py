"""Proof that an exported file computes what was trained.

LiteRT's answers are held against `fedkeyboard.model` in TensorFlow: `step` against the packed
forward pass, which training and evaluation use, and `predict` against `step`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from fedkeyboard import batches, model
from fedkeyboard.errors import RunFailure
from fedkeyboard.tokenizer import BEGIN, END, PAD, SPECIAL
from tflite_export.litert import LiteModel

# As a share of the position's largest log-probability (19 nats, say, for a rare word), or of 1 nat
# if that is more: float32 rounds the logits by their size. Sums in another order explain 1e-6.
TOLERANCE = 1e-5


def check(
    exported: LiteModel,
    weights: model.Weights,
    sizes: model.Sizes,
    sentences: Iterable[Sequence[int]],
) -> None:
    """Checks every position of some sentences.

    Args:
      exported: The file.
      weights: What it was made from.
      sizes: Their sizes.
      sentences: The ids of each sentence's words, of any number.

    Raises:
      RunFailure: If the file disagrees in a log-probability or a suggestion.
    """
    weights = model.Weights(*map(tf.constant, weights))
    for ids in sentences:
        words = [BEGIN, *ids]
        row = tf.constant([[*words, END]], tf.int32)
        trained = tf.nn.log_softmax(model.forward(weights, batches.pack(row))).numpy()
        after = model.State(*(state.numpy() for state in model.initial_state(weights, 1)))
        for word, expected in zip(words, trained, strict=True):
            result = exported.run("step", word=np.array([word], np.int32), **after._asdict())
            after = model.State(result["output"], result["cell"])
            _compare("step", expected, result["log_probabilities"][0], result)
        if len(words) <= sizes.length:
            padded = np.full((1, sizes.length), PAD, np.int32)
            padded[0, : len(words)] = words
            _compare("predict", trained[-1], trained[-1], exported.run("predict", words=padded))


def _compare(
    signature: str,
    expected: np.ndarray,
    log_probabilities: np.ndarray,
    result: dict[str, np.ndarray],
) -> None:
    """Compares one answer with the expected log-probabilities `[V]`."""
    suggested = result["suggestions"][0]
    allowed = TOLERANCE * max(1.0, float(np.max(np.abs(expected))))
    best = np.sort(expected[len(SPECIAL) :])[::-1][: len(suggested)]
    # By their probabilities and not by name: words that are equally likely may change places.
    differences = {
        "log-probabilities": log_probabilities - expected,
        "suggestions' log-probabilities": expected[suggested] - best,
        "suggestions' probabilities": result["probabilities"][0] - np.exp(best),
    }
    if np.any(suggested < len(SPECIAL)) or len(set(suggested)) < len(suggested):
        raise RunFailure(f"the converted {signature} suggests {suggested.tolist()}")
    for what, difference in differences.items():
        worst = np.max(np.abs(difference))
        # Not "worst > allowed", which NaN would pass.
        if not worst <= allowed:
            raise RunFailure(
                f"the converted {signature} disagrees with the trained model in {what}: by "
                f"{worst:.2g}, where {allowed:.2g} is allowed"
            )
