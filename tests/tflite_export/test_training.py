"""The file that learns, in LiteRT, against TFF's client work and evaluation in TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining, train
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, UNKNOWN
from fedkeyboard.tflite_export.files import convert, order, signatures, storage, variables
from fedkeyboard.tflite_export.phone.litert import LiteModel

NOTHING = np.float32(0)


# Rows of the embedding in a piece: all, and few.
@pytest.fixture(scope="module", params=[50, 7])
def path(request, to_file, weights, sizes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variables, "_PIECE", request.param * weights.embedding[0].nbytes)
        module = signatures.TrainingModule(weights, sizes)
    path = to_file(module, signatures.TRAINING_SIGNATURES)
    path.write_bytes(order.read_late(path.read_bytes()))
    return path


@pytest.fixture
def learner(path):
    return LiteModel(path)


def sentences(sizes, lengths, seed=0):
    generator = np.random.default_rng(seed)
    rows = np.full((len(lengths), sizes.length + 1), PAD, np.int32)
    for row, length in zip(rows, lengths, strict=True):
        words = [BEGIN, *generator.integers(UNKNOWN, sizes.vocabulary, length), END]
        row[: length + 2] = words[: len(row)]
    return {"sentences": rows, "mask": (rows[:, 1:] != PAD).astype(np.float32)}


def weights_of(learner):
    return model.Weights(**learner.run("get_weights", anything=NOTHING))


def assert_equal(one, other, atol=0.0):
    for name, a, b in zip(model.Weights._fields, one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("clipping_norm", [100.0, 0.01])
@pytest.mark.parametrize("lengths", [[3], [1, 6, 4, 2, 2], [5] * 11])
def test_a_step_is_that_of_a_simulated_phone(learner, weights, sizes, lengths, clipping_norm):
    given = sentences(sizes, lengths)
    settings = LocalTraining(0.5, batch_size=len(lengths), clipping_norm=clipping_norm)
    loss = learner.run(
        "train", **given, learning_rate=np.float32(0.5), clipping_norm=np.float32(clipping_norm)
    )["loss"]
    trained = train(
        model.Weights(*map(tf.constant, weights)), tf.constant(given["sentences"]), settings
    )
    assert_equal(weights_of(learner), trained.weights, atol=1e-6)
    assert any(np.max(np.abs(a - b)) > 1e-4 for a, b in zip(weights, trained.weights, strict=True))
    assert loss == pytest.approx(trained.tally.loss_sum / trained.tally.targets, rel=1e-5)


def test_a_step_reads_any_word(learner, weights, sizes):
    for word in range(sizes.vocabulary):
        logits, state = model.step(
            model.Weights(*map(tf.constant, weights)),
            tf.constant([word]),
            model.State(*(tf.constant(learner.start[name]) for name in model.State._fields)),
        )
        after = learner.run("score", word=np.array([word], np.int32), **learner.start)
        np.testing.assert_allclose(
            after["log_probabilities"], tf.nn.log_softmax(logits), rtol=0, atol=1e-5
        )
        np.testing.assert_allclose(after["cell"], state.cell, rtol=0, atol=1e-6)


def test_it_suggests_what_it_learned(learner, sizes):
    given = sentences(sizes, [4, 4])
    words = given["sentences"][0, 1:3].tolist()
    before = learner.suggest(words[:1])
    for _ in range(60):
        learner.run("train", **given, learning_rate=np.float32(1.0), clipping_norm=np.float32(1.0))
    assert learner.suggest(words[:1])[0][0] == words[1] != before[0][0]
    padded = np.full((1, sizes.length), PAD, np.int32)
    padded[0, :2] = [BEGIN, words[0]]
    assert learner.run("predict", words=padded)["suggestions"][0, 0] == words[1]
    learner.run("reset", anything=NOTHING)
    assert learner.suggest(words[:1]) == pytest.approx(before)


def test_a_mask_leaves_words_out(learner, weights, sizes):
    given = sentences(sizes, [4, 5])
    given["mask"][:] = 0
    result = learner.run(
        "train", **given, learning_rate=np.float32(1.0), clipping_norm=np.float32(1.0)
    )
    assert result["loss"] == 0
    assert_equal(weights_of(learner), weights)
    counted = learner.run("evaluate", **given)
    assert counted == {"loss": 0, "words": 0, "top1_hits": 0, "top3_hits": 0}


def test_evaluate_counts_words(learner, sizes):
    given = sentences(sizes, [1, 2, 6, 4, 3], seed=3)
    counted = learner.run("evaluate", **given)
    words = top1 = top3 = losses = targets = 0
    for row in given["sentences"]:
        said = learner.log_probabilities(row[np.newaxis])
        real = row[1:][row[1:] != PAD]
        for t, target in enumerate(real):
            suggested = [i for i, _ in learner.suggest(row[1 : t + 1].tolist())]
            words += target != END
            top1 += target == suggested[0]
            top3 += target in suggested
            losses -= said[t, target]
            targets += 1
    assert (counted["words"], counted["top1_hits"], counted["top3_hits"]) == (words, top1, top3)
    assert counted["loss"] == pytest.approx(losses / targets, rel=1e-5)
    assert 0 < words < targets


def test_weights_come_and_go(learner, weights, make_weights, sizes):
    assert_equal(weights_of(learner), weights)
    others = make_weights(sizes, seed=8)
    learner.run("set_weights", **others._asdict())
    assert_equal(weights_of(learner), others)
    learner.run("reset", anything=NOTHING)
    assert_equal(weights_of(learner), weights)


def test_int8_in_the_file_and_float32_in_training(tmp_path, make_weights, monkeypatch):
    sizes = model.Sizes(vocabulary=5000, embedding=24, units=24, length=6)
    weights = make_weights(sizes)
    weights.embedding[7] = 0
    module = signatures.TrainingModule(weights, sizes)
    content = convert.convert(module, signatures.TRAINING_SIGNATURES)
    small = storage.store_int8(content)
    matrices = sum(w.size for w in weights if w.ndim == 2)
    assert len(content) - len(small) > 2.5 * matrices
    convert.check_operators(small)
    file = tmp_path / "small.tflite"
    file.write_bytes(small)
    learner = LiteModel(file)
    opened = weights_of(learner)
    for name, was, now in zip(model.Weights._fields, weights, opened, strict=True):
        # A scale for what a word, or a unit, adds up.
        axis = 1 if name == "embedding" else 0
        step = np.max(np.abs(was), axis, keepdims=True) / 127 if was.ndim == 2 else 0
        assert np.all(np.abs(was - now) <= step / 2 + 1e-7), name
    assert not np.any(opened.embedding[7])
    given = sentences(sizes, [3, 5])
    learner.run("train", **given, learning_rate=np.float32(0.5), clipping_norm=np.float32(9.0))
    settings = LocalTraining(0.5, batch_size=2, clipping_norm=9.0)
    trained = train(
        model.Weights(*map(tf.constant, opened)), tf.constant(given["sentences"]), settings
    )
    assert_equal(weights_of(learner), trained.weights, atol=1e-6)
    learner.run("reset", anything=NOTHING)
    assert_equal(weights_of(learner), opened)


def test_buffers_lie_at_whole_addresses(path):
    content = storage.store_int8(path.read_bytes())
    file = schema.Model.GetRootAs(content, 0)
    buffers = [file.Buffers(i) for i in range(file.BuffersLength())]
    filled = [b for b in buffers if b.DataLength()]
    assert filled and all(b._tab.Vector(b._tab.Offset(4)) % 16 == 0 for b in filled)
