import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import batches, model, packed
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import keystrokes, metrics, scoring
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, SPECIAL, UNKNOWN
from fedkeyboard.tflite_export.files import signatures
from fedkeyboard.tflite_export.phone import exported_files
from fedkeyboard.tflite_export.phone.litert import LiteModel

TEXTS = [
    "how are you",
    "I don’t know",
    "no",
    "zzyzxq zzyzxq is good",
    "we can go out on friday when it is all ok and then i will tell you",
    "see you at home",
]


def test_scores_are_those_of_the_weights(exported, weights, tokenizer, sizes):
    """Also over two users: the report of a file is that of the weights."""
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    scorers = {
        "weights": scoring.WeightsScorer(weights, prefixes),
        "file": scoring.LogProbabilitiesScorer(exported.log_probabilities, prefixes),
    }
    text = tokenizer.text(TEXTS, sizes.length)
    rows = text.rows
    assert np.any(rows == UNKNOWN) and np.any(rows == PAD) and np.any(rows[:, -1] != PAD)
    expected, scores = (scorer.score(text) for scorer in scorers.values())
    known = rows[:, 1:][rows[:, 1:] != PAD] >= len(SPECIAL)
    np.testing.assert_array_equal(scores.rank[known], expected.rank[known])
    np.testing.assert_array_equal(scores.letters[known], expected.letters[known])
    np.testing.assert_array_equal(scores.likeliest, expected.likeliest)
    np.testing.assert_allclose(scores.cross_entropy, expected.cross_entropy, rtol=0, atol=1e-5)
    for mine, theirs in zip(scores, expected, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)

    users = [tokenizer.text(texts, sizes.length) for texts in (TEXTS[:3], TEXTS[3:])]
    counted = scoring.count_users(scorers, users)
    of_weights, of_file = (metrics.report(counts, {}) for counts in counted.values())
    for changed in (of_weights, of_file):
        changed["intervals"].pop("perplexity")
    assert of_file.pop("perplexity") == pytest.approx(of_weights.pop("perplexity"), rel=1e-5)
    assert of_file == of_weights


@pytest.mark.parametrize("count", [0, 1, 40])
def test_suggestions_follow_all_words_however_many(exported, weights, sizes, count):
    ids = np.random.default_rng(count).integers(3, sizes.vocabulary, count).tolist()
    row = tf.constant([[BEGIN, *ids, END]], tf.int32)
    logits = packed.forward(model.Weights(*map(tf.constant, weights)), batches.pack(row))[-1]
    probabilities = tf.nn.softmax(logits).numpy()
    best = np.argsort(-probabilities[len(SPECIAL) :])[: metrics.SUGGESTIONS] + len(SPECIAL)
    suggested = exported.suggest(ids)
    assert [i for i, _ in suggested] == best.tolist()
    assert [p for _, p in suggested] == pytest.approx(probabilities[best].tolist(), rel=1e-4)


def test_a_sentence_does_not_depend_on_the_one_before(exported):
    first = exported.suggest([5, 6])
    assert exported.suggest([9, 9, 9]) != first
    assert exported.suggest([5, 6]) == first


def test_ids_of_another_vocabulary_are_refused(exported, sizes):
    for ids in ([sizes.vocabulary], [-1, 5]):
        with pytest.raises(UserError, match="vocabulary of 50"):
            exported.suggest(ids)
        with pytest.raises(UserError, match="vocabulary of 50"):
            exported.log_probabilities(np.array([[BEGIN, *ids, END]], np.int32))


class Other(tf.Module):
    """Signatures that are not the model's."""

    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, "x")], autograph=False)
    def step(self, x):
        return {"y": x + 1.0}

    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, "x")], autograph=False)
    def score(self, x):
        return {"y": x + 1.0}


class Wider(signatures.InferenceModule):
    """A model of two sentences at a time."""

    def __init__(self, weights, sizes):
        super().__init__(weights, sizes)
        self.step = tf.function(
            self._step,
            input_signature=[
                tf.TensorSpec([2], tf.int32, "word"),
                tf.TensorSpec([2, sizes.embedding], tf.float32, "output"),
                tf.TensorSpec([2, sizes.units], tf.float32, "cell"),
            ],
            autograph=False,
        )


def assert_refused(path, match):
    with pytest.raises(UserError, match=match) as caught:
        LiteModel(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 3, 7, 100, 2000, -2000, -1])
def test_part_of_a_file_is_refused(exported_path, tmp_path, kept):
    path = tmp_path / "part.tflite"
    path.write_bytes(exported_path.read_bytes()[:kept])
    assert_refused(path, "not a .tflite file")


def test_files_of_something_else_are_refused(tmp_path, to_file, weights, sizes):
    text = tmp_path / "text.tflite"
    text.write_text("this is no model\n" * 1000)
    assert_refused(text, "not a .tflite file")
    assert_refused(tmp_path / "missing.tflite", "No such file")
    assert_refused(tmp_path, "a directory")
    assert_refused(to_file(Other(), ["score"]), r"no signature step \(has: score\)")
    assert_refused(to_file(Other(), ["step"]), r"no signature score \(has: step\)")
    assert_refused(to_file(Other(), ["step", "score"]), "signature step are others")
    assert_refused(to_file(Wider(weights, sizes)), "signature step are others")


def test_the_next_word_is_scored_as_it_is_suggested(exported):
    for ids in ([], [5, 6], [9] * 30):
        said = exported.next_word(ids)
        for i, probability in exported.suggest(ids):
            assert np.exp(said[i]) == pytest.approx(probability, rel=1e-5)
    with pytest.raises(UserError, match="ids from 50 to 50"):
        exported.next_word([50])


def test_words_are_suggested_from_two_files(exported, exported_path, tokenizer, tmp_path):
    vocabulary = tmp_path / "vocabulary.txt"
    tokenizer.save_vocabulary(vocabulary)
    for text in ("", "I DON’T know", "zzyzxq zzyzxq"):
        expected = exported.suggest(tokenizer.encode(text))
        suggested = exported_files.suggest_words(exported_path, vocabulary, text)
        assert [word for word, _ in suggested] == [tokenizer.shown[i] for i, _ in expected]
        assert [p for _, p in suggested] == pytest.approx([p for _, p in expected], rel=1e-5)


@pytest.mark.usefixtures("probed_once")
def test_a_vocabulary_that_does_not_fit_is_refused(exported_path, tokenizer, tmp_path):
    path = tmp_path / "vocabulary.txt"
    lines = [f"{entry}\n" for entry in tokenizer.vocabulary]
    for content, match in (
        (None, "No such file"),
        ("".join(lines[:-1]), "49 lines"),
        ("".join(lines) + "more\n", "51 lines"),
        ("".join(lines[4:]), "not a vocabulary"),
        ("", "not a vocabulary"),
        ("".join(lines).encode("utf-16"), "not UTF-8"),
    ):
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UserError, match=match) as caught:
            exported_files.suggest_words(exported_path, path, "how are")
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_it_is_quiet_and_needs_no_tensorflow(exported_path, tokenizer, tmp_path):
    vocabulary = tmp_path / "vocabulary.txt"
    tokenizer.save_vocabulary(vocabulary)
    code = (
        "import sys\n"
        "from fedkeyboard.tflite_export.phone import exported_files\n"
        "print(len(exported_files.suggest_words(*sys.argv[1:], 'how are')))\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print('heard', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, exported_path, vocabulary],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "3\n")
    # LiteRT is quiet; what has no manifest is said.
    first, heard = done.stderr.splitlines()
    assert heard == "heard" and "model.tflite: no manifest.json" in first


def test_names_that_are_no_text_are_refused(exported_path, tmp_path):
    damaged = tmp_path / "model.tflite"
    content = exported_path.read_bytes()
    assert b"step" in content
    damaged.write_bytes(content.replace(b"step", b"\x9atep"))
    with pytest.raises(UserError, match="not a .tflite file, or only part of one"):
        LiteModel(damaged)


def test_what_cannot_be_run_is_refused_with_the_files_name(exported, exported_path):
    with pytest.raises(UserError, match=f"{exported_path.name}: LiteRT cannot run its signature"):
        exported.run("score", word=np.array([10**6], np.int32), **exported.start)
