import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import batches, model, packed
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, SPECIAL
from fedkeyboard.tflite_export import package
from fedkeyboard.tflite_export.files import signatures
from fedkeyboard.tflite_export.phone.litert import LiteModel

GBOARD = model.Sizes(vocabulary=10_004)


def by_forward(weights, words):
    """Log-probabilities after each of `words`, from the packed forward pass in TensorFlow."""
    weights = model.Weights(*map(tf.constant, weights))
    batch = batches.pack(tf.constant([[*words, END]], tf.int32))
    return tf.nn.log_softmax(packed.forward(weights, batch)).numpy()


def by_steps(exported, sizes, words):
    state = {
        "output": np.zeros((1, sizes.embedding), np.float32),
        "cell": np.zeros((1, sizes.units), np.float32),
    }
    results = []
    for word in words:
        before = {"word": np.array([word], np.int32), **state}
        results.append({**exported.run("score", **before), **exported.run("step", **before)})
        state = {name: results[-1][name] for name in state}
    return results


def by_predict(exported, sizes, words):
    padded = np.full((1, sizes.length), PAD, np.int32)
    padded[0, : len(words)] = words
    return exported.run("predict", words=padded)


def best_words(log_probabilities):
    order = np.argsort(-log_probabilities, kind="stable")
    return [i for i in order if i >= len(SPECIAL)][:3]


def assert_agree(exported, weights, sizes, words, tolerance):
    expected = by_forward(weights, words)
    steps = by_steps(exported, sizes, words)
    for after, step in zip(expected, steps, strict=True):
        np.testing.assert_allclose(step["log_probabilities"][0], after, rtol=0, atol=tolerance)
        assert step["suggestions"][0].tolist() == best_words(after)
        np.testing.assert_allclose(
            step["probabilities"][0], np.exp(after[best_words(after)]), rtol=1e-4
        )
    predicted = by_predict(exported, sizes, words)
    assert predicted["suggestions"].tolist() == steps[-1]["suggestions"].tolist()
    np.testing.assert_allclose(predicted["probabilities"], steps[-1]["probabilities"], rtol=1e-4)


@pytest.mark.parametrize("count", range(6))
def test_step_predict_and_forward_agree(exported, weights, sizes, count):
    generator = np.random.default_rng(count)
    for _ in range(5):
        words = [BEGIN, *generator.integers(3, sizes.vocabulary, count)]
        assert_agree(exported, weights, sizes, words, tolerance=1e-5)


def test_they_agree_at_gboards_size(to_file, make_weights):
    weights = make_weights(GBOARD)
    path = to_file(signatures.InferenceModule(weights, GBOARD))
    # One float32 copy of the weights for both signatures, and a little for the graphs.
    assert path.stat().st_size < 4 * sum(weight.size for weight in weights) + 40_000
    words = [BEGIN, *np.random.default_rng(0).integers(3, GBOARD.vocabulary, GBOARD.length - 1)]
    assert_agree(LiteModel(path), weights, GBOARD, words, tolerance=2e-4)


def test_probabilities_are_of_the_full_softmax(exported, sizes):
    for step in by_steps(exported, sizes, [BEGIN, 7, 8]):
        everything = np.exp(step["log_probabilities"].astype(np.float64))
        assert np.sum(everything) == pytest.approx(1.0, abs=1e-5)
        assert step["probabilities"][0] == pytest.approx(everything[0, step["suggestions"][0]])


def test_special_tokens_are_never_suggested(to_file, weights, sizes):
    bias = weights.output_bias.copy()
    bias[: len(SPECIAL)] = 30.0
    exported = LiteModel(
        to_file(signatures.InferenceModule(weights._replace(output_bias=bias), sizes))
    )
    for words in ([BEGIN], [BEGIN, 9], [BEGIN, 9, 3]):
        step = by_steps(exported, sizes, words)[-1]
        assert np.argmax(step["log_probabilities"]) < len(SPECIAL)
        for result in (step, by_predict(exported, sizes, words)):
            assert np.all(result["suggestions"] >= len(SPECIAL))
            assert np.all(result["probabilities"] < 1e-6)


def test_a_word_changes_what_follows(exported, sizes):
    answers = {
        tuple(by_predict(exported, sizes, [BEGIN, word])["probabilities"][0])
        for word in range(4, 14)
    }
    assert len(answers) == 10


@pytest.mark.parametrize("entries", [7, 131, 132, 133, 259, 260, 10_000])
def test_the_best_by_columns_are_the_best(entries):
    generator = np.random.default_rng(entries)
    first, words = len(SPECIAL), entries - len(SPECIAL)
    places = {
        "anywhere": generator.choice(words, 3, replace=False),
        "first": [0, 1, 2],
        "last": [words - 1, words - 2, words - 3],
        "in a column": [0, min(128, words - 1), min(256, words - 2)],
    }
    for where, best in places.items():
        logits = generator.normal(0, 1, (1, entries)).astype(np.float32)
        logits[0, :first] = 99
        logits[0, first + np.array(best)] = 9, 8, 7
        expected = first + np.array(best)
        assert signatures._best(tf.constant(logits)).numpy().tolist() == [expected.tolist()]
        found = signatures._best_of_one(tf.constant(logits)).numpy().tolist()
        assert found == [expected.tolist()], where


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("entries", [131, 132, 133, 300])
def test_what_is_suggested_has_the_best_scores(tmp_path, make_weights, entries, precision):
    sizes = model.Sizes(vocabulary=entries, embedding=8, units=12, length=4)
    path = tmp_path / "model.tflite"
    path.write_bytes(package.inference_file(make_weights(sizes), sizes, precision))
    exported = LiteModel(path)
    for word in range(0, entries, 7):
        (step,) = by_steps(exported, sizes, [word])
        scores = step["log_probabilities"][0]
        best = best_words(scores)
        assert step["suggestions"][0].tolist() == best
        np.testing.assert_allclose(step["probabilities"][0], np.exp(scores[best]), rtol=1e-4)
