"""Proof that an exported file computes what was trained.

LiteRT's answers are held against the packed forward pass (`fedkeyboard.packed`) in TensorFlow,
which training and evaluation use.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from fedkeyboard import batches, model, packed
from fedkeyboard.errors import RunFailure
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, SPECIAL
from fedkeyboard.tflite_export.phone.litert import LiteModel

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
    rows = [[BEGIN, *ids, END] for ids in sentences]
    for row, trained in zip(rows, _log_probabilities(weights, rows), strict=True):
        words = row[:-1]
        after = model.State(*(state.numpy() for state in model.initial_state(weights, 1)))
        for word, expected in zip(words, trained, strict=True):
            before = {"word": np.array([word], np.int32), **after._asdict()}
            result = exported.run("step", **before)
            check_suggestions("step", expected, result)
            scored = exported.run("score", **before)
            differences = {
                "log-probabilities": scored["log_probabilities"][0] - expected,
                **{name: scored[name] - result[name] for name in model.State._fields},
            }
            _compare("score", expected, differences)
            after = model.State(result["output"], result["cell"])
        if len(words) <= sizes.length:
            padded = np.full((1, sizes.length), PAD, np.int32)
            padded[0, : len(words)] = words
            check_suggestions("predict", trained[-1], exported.run("predict", words=padded))


def divergence(
    exported: LiteModel, weights: model.Weights, sentences: Iterable[Sequence[int]]
) -> float:
    """Returns how far a file is from weights: the mean Kullback-Leibler divergence, in nats.

    For files that round what they compute. Of what the weights say of the next word, after each
    word of some sentences, to what the file's `score` says of it.
    """
    rows = [[BEGIN, *ids, END] for ids in sentences]
    mine = np.concatenate([exported.log_probabilities(np.array([r], np.int32)) for r in rows])
    theirs = np.concatenate(_log_probabilities(weights, rows))
    return float(np.mean(np.sum(np.exp(theirs) * (theirs - mine), axis=1, dtype=np.float64)))


def _log_probabilities(weights: model.Weights, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Returns what weights say of the next word, after each but the last of each row: `[n, V]`."""
    padded = np.full((len(rows), max(map(len, rows))), PAD, np.int32)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    batch = batches.pack(tf.constant(padded))
    logits = packed.forward(model.Weights(*map(tf.constant, weights)), batch)
    said = tf.nn.log_softmax(logits).numpy()
    places = batches.unpack(batch, tf.range(len(said)), padded).numpy()
    return [said[of[: len(row) - 1]] for of, row in zip(places, rows, strict=True)]


def rounded_to_float16(weights: model.Weights) -> model.Weights:
    """Returns the weights that a float16 file opens with."""
    return model.Weights(*(w.astype(np.float16).astype(np.float32) for w in weights))


def check_suggestions(signature: str, expected: np.ndarray, result: dict[str, np.ndarray]) -> None:
    """Checks what a signature suggests against the expected log-probabilities `[V]`.

    Raises:
      RunFailure: If they are not the likeliest words, or their probabilities are others.
    """
    suggested = result["suggestions"][0]
    if np.any(suggested < len(SPECIAL)) or len(set(suggested)) < len(suggested):
        raise RunFailure(f"the converted {signature} suggests {suggested.tolist()}")
    best = np.sort(expected[len(SPECIAL) :])[::-1][: len(suggested)]
    # By their probabilities and not by name: words that are equally likely may change places.
    differences = {
        "suggestions' log-probabilities": expected[suggested] - best,
        "suggestions' probabilities": result["probabilities"][0] - np.exp(best),
    }
    _compare(signature, expected, differences)


def _compare(signature: str, expected: np.ndarray, differences: dict[str, np.ndarray]) -> None:
    """Checks differences from what is made of the expected log-probabilities `[V]`."""
    allowed = TOLERANCE * max(1.0, float(np.max(np.abs(expected))))
    for what, difference in differences.items():
        worst = np.max(np.abs(difference))
        # Not "worst > allowed", which NaN would pass.
        if not worst <= allowed:
            raise RunFailure(
                f"the converted {signature} disagrees with the trained model in {what}: by "
                f"{worst:.2g}, where {allowed:.2g} is allowed"
            )
