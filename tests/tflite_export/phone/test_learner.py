"""The file that learns, through LiteRT, against TensorFlow's client work and evaluation."""

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.algorithms import local_training
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import keystrokes, metrics, scoring
from fedkeyboard.text.words import words
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.updates.update_file import weights_sha256

SETTINGS = LocalTraining(0.5, batch_size=4, epochs=2, clipping_norm=1.0)


def trained(weights, rows, settings):
    result = local_training.train(
        model.Weights(*map(tf.constant, weights)), tf.constant(rows), settings
    )
    return model.Weights(*(w.numpy() for w in result.weights))


def test_several_epochs_are_those_of_a_simulated_phone(
    learner, weights, tokenizer, sizes, texts, weights_apart
):
    """Ten sentences in batches of four: the last of an epoch has two."""
    rows = tokenizer.rows(texts[:10], sizes.length)
    losses = learner.fit(rows, SETTINGS)
    assert len(losses) == 6 and losses[3] < losses[0]
    assert weights_apart(learner.weights(), trained(weights, rows, SETTINGS)) < 2e-6
    assert weights_apart(learner.weights(), weights) > 1e-2
    learner.reset()
    assert weights_sha256(learner.weights()) == weights_sha256(weights)


def test_some_layers_learn_alone(learner, weights, tokenizer, sizes, texts):
    rows = tokenizer.rows(texts[:4], sizes.length)
    one_step = LocalTraining(0.5, batch_size=4, clipping_norm=100.0)
    learner.fit(rows, one_step, ("output_bias", "projection"))
    expected = trained(weights, rows, one_step)
    for name, was, now, all_learn in zip(
        model.Weights._fields, weights, learner.weights(), expected, strict=True
    ):
        alone = all_learn if name in ("output_bias", "projection") else was
        np.testing.assert_allclose(now, alone, rtol=0, atol=1e-6, err_msg=name)


def test_evaluate_is_the_evaluation(learner, tokenizer, sizes, texts):
    """Of messages that fit into a row: the file has as many positions as it trains on."""
    text = tokenizer.text([t for t in texts if len(words(t)) < sizes.length], sizes.length)
    assert len(text.words) == len(text.training) > 3
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    scorer = scoring.LogProbabilitiesScorer(learner.log_probabilities, prefixes)
    counts = metrics.count(text, scorer.score(text))
    said = learner.evaluate(text.training)
    assert (said.words, said.top1_hits, said.top3_hits) == (counts.words, counts.top1, counts.top3)
    assert said.loss == pytest.approx(counts.cross_entropy / counts.predicted, rel=1e-5)


def test_a_file_that_cannot_learn_is_refused(exported_path):
    with pytest.raises(UserError, match=r"cannot learn: it has no signature train.*model_train"):
        Learner(exported_path)
