"""What a phone learns, keeps and sends."""

import numpy as np
import pytest

from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.text.tokenizer import PAD
from fedkeyboard.tflite_export.files import signatures
from fedkeyboard.tflite_export.phone import phone
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.updates import update_file
from fedkeyboard.updates.update_file import weights_sha256

SETTINGS = LocalTraining(0.5, batch_size=4, epochs=2, clipping_norm=1.0)
OF = {"vocabulary_sha256": "5" * 64}


def test_what_has_diverged_is_no_update(learner, texts, tokenizer, sizes):
    rows = tokenizer.rows(texts, sizes.length)
    diverging = LocalTraining(1e38, batch_size=4, epochs=3, clipping_norm=1e30)
    with pytest.raises(RunFailure, match="diverged"):
        phone.learn(learner, rows, diverging, purpose="update", **OF)


def test_a_personal_checkpoint_survives_an_update_of_the_app(
    learner,
    training_path,
    to_file,
    weights,
    make_weights,
    tokenizer,
    sizes,
    tmp_path,
    texts,
    weights_apart,
):
    rows = tokenizer.rows(texts, sizes.length)
    assert np.any(rows == PAD)
    learned = phone.learn(learner, rows, SETTINGS, purpose="personal", **OF)
    personal = learner.weights()
    update_file.write(tmp_path / "personal.npz", learned)

    again = Learner(training_path)
    phone.load_personal(again, tmp_path / "personal.npz", **OF)
    assert weights_apart(again.weights(), personal) < 1e-6
    assert again.suggest([5, 6])[0][0] == learner.suggest([5, 6])[0][0]

    # What a few rounds more make of a model.
    others = make_weights(sizes, seed=4)
    new_weights = model.Weights(
        *(w + np.float32(0.02) * o for w, o in zip(weights, others, strict=True))
    )
    newer = Learner(
        to_file(signatures.TrainingModule(new_weights, sizes), signatures.TRAINING_SIGNATURES)
    )
    with pytest.raises(UserError, match="learned on top of another model"):
        phone.load_personal(newer, tmp_path / "personal.npz", **OF)
    assert weights_sha256(newer.weights()) == weights_sha256(new_weights)
    phone.load_personal(newer, tmp_path / "personal.npz", **OF, migrate=True)
    migrated = update_file.add(new_weights, learned.difference)
    assert weights_apart(newer.weights(), migrated) == 0
    loss = newer.evaluate(rows).loss
    newer.reset()
    assert loss < newer.evaluate(rows).loss - 0.1


def test_a_line_ends_where_lines_end_and_nowhere_else(tmp_path):
    """Not at a form feed or at U+2028, which stand within messages."""
    text = tmp_path / "typed.txt"
    text.write_bytes("how are\fyou to\u2028day\r\nyou and i\rok then\nyes".encode())
    assert phone.typed(text) == ["how are\fyou to\u2028day", "you and i", "ok then", "yes"]


def test_no_sentence_is_no_step(learner, sizes):
    """LiteRT's kernels take no arrays without rows."""
    nothing = np.zeros((0, sizes.length + 1), np.int32)
    assert learner.fit(nothing, SETTINGS) == []
    assert learner.evaluate(nothing).words == 0
    with pytest.raises(ValueError, match="needs a sentence"):
        learner.train(nothing, learning_rate=0.1, clipping_norm=1.0)
