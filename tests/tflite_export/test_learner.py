"""Learning on a phone through LiteRT, against TensorFlow's client work and comparison."""

import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import evaluation, keystrokes, local_training, metrics, model, personalization
from fedkeyboard import update as updates
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.local_training import LocalTraining
from fedkeyboard.tokenizer import PAD
from tflite_export import personalization as on_phones
from tflite_export import signatures
from tflite_export.learner import Learner, weights_sha256
from tflite_export.personalization import Settings

SETTINGS = LocalTraining(0.5, batch_size=4, epochs=2, clipping_norm=1.0)
TEXTS = [
    "how are you",
    "i know that",
    "ok",
    "we can go out on friday",
    "see you at home then",
    "what is it in the home",
    "yes it is",
    "no i don't know",
    "tell me about it when you can",
    "i am good",
    "are you ok",
    "we can go on friday",
]


@pytest.fixture(scope="module")
def path(to_file, weights, sizes):
    return to_file(signatures.TrainingModule(weights, sizes), signatures.TRAINING_SIGNATURES)


@pytest.fixture
def learner(path):
    return Learner(path)


def trained(weights, rows, settings):
    result = local_training.train(
        model.Weights(*map(tf.constant, weights)), tf.constant(rows), settings
    )
    return model.Weights(*(w.numpy() for w in result.weights))


def largest_difference(one, other):
    return max(float(np.max(np.abs(a - b))) for a, b in zip(one, other, strict=True))


def test_several_epochs_are_those_of_a_simulated_phone(learner, weights, tokenizer, sizes):
    """Ten sentences in batches of four: the last of an epoch has two."""
    rows = tokenizer.rows(TEXTS[:10], sizes.length)
    losses = learner.fit(rows, SETTINGS)
    assert len(losses) == 6 and losses[3] < losses[0]
    assert largest_difference(learner.weights(), trained(weights, rows, SETTINGS)) < 2e-6
    assert largest_difference(learner.weights(), weights) > 1e-2
    learner.reset()
    assert weights_sha256(learner.weights()) == weights_sha256(weights)


def test_some_layers_learn_alone(learner, weights, tokenizer, sizes):
    rows = tokenizer.rows(TEXTS[:4], sizes.length)
    one_step = LocalTraining(0.5, batch_size=4, clipping_norm=100.0)
    learner.fit(rows, one_step, ("output_bias", "projection"))
    expected = trained(weights, rows, one_step)
    for name, was, now, all_learn in zip(
        model.Weights._fields, weights, learner.weights(), expected, strict=True
    ):
        alone = all_learn if name in ("output_bias", "projection") else was
        np.testing.assert_allclose(now, alone, rtol=0, atol=1e-6, err_msg=name)


def test_evaluate_is_the_evaluation(learner, tokenizer, sizes):
    text = tokenizer.text(TEXTS, sizes.length)
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    scorer = evaluation.LogProbabilitiesScorer(learner.log_probabilities, prefixes)
    counts = metrics.count(text, scorer.score(text))
    said = learner.evaluate(text.words)
    assert (said.words, said.top1_hits, said.top3_hits) == (counts.words, counts.top1, counts.top3)
    assert said.loss == pytest.approx(counts.cross_entropy / counts.predicted, rel=1e-5)


def test_a_file_that_cannot_learn_is_refused(exported_path):
    with pytest.raises(UserError, match=r"cannot learn: it has no signature train.*model_train"):
        Learner(exported_path)


def test_personalization_is_that_of_tensorflow(learner, weights, tokenizer, sizes):
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    users = [
        tokenizer.text(TEXTS, sizes.length),
        tokenizer.text(TEXTS[:3], sizes.length),
        tokenizer.text([*TEXTS[::-1], *TEXTS[:5]], sizes.length),
    ]
    grid = [Settings(SETTINGS), Settings(LocalTraining(0.1, batch_size=16, clipping_norm=1.0))]
    outcomes = on_phones.personalize(learner, users, prefixes, grid)
    for settings, phones in zip(grid, outcomes, strict=True):
        expected = personalization.personalize(
            weights,
            users,
            settings.training,
            lambda w: evaluation.WeightsScorer(w, prefixes),
        )
        assert phones[1].personal is None and expected[1] is None
        for phone, of_user in zip(phones, expected, strict=True):
            if of_user is None:
                continue
            assert (phone.personal.lost, phone.personal.won) == (of_user.lost, of_user.won)
            for mine, theirs in ((phone.personal[0], of_user[0]), (phone.personal[1], of_user[1])):
                assert mine.numbers() == pytest.approx(theirs.numbers(), rel=1e-5)
    report = on_phones.report(outcomes[0])
    assert (report["users"], report["left_out"]) == (2, 1)
    assert report["cost"]["seconds"]["max"] > 0
    # Nothing is left behind.
    assert weights_sha256(learner.weights()) == weights_sha256(weights)


def test_the_gate_decides_by_what_the_phone_held_back(learner, tokenizer, sizes, monkeypatch):
    """At a rate that ruins the model, a user with a gate loses nothing."""
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    text = tokenizer.text(TEXTS * 2, sizes.length)
    grid = [Settings(LocalTraining(rate, batch_size=4, epochs=9, clipping_norm=9.0)) for rate in
            (50.0, 0.2)]  # fmt: skip
    seen, evaluate = [], Learner.evaluate

    def watched(self, rows):
        seen.append((rows, evaluate(self, rows)))
        return seen[-1][1]

    monkeypatch.setattr(Learner, "evaluate", watched)
    (ruined,), (learned,) = on_phones.personalize(learner, [text], prefixes, grid)
    cut = metrics.trained_sentences(len(text.words))
    assert all(np.array_equal(rows, text.words[cut - 2 : cut]) for rows, _ in seen)
    assert not ruined.kept and ruined.gated.after == ruined.personal.before
    assert ruined.personal.after.cross_entropy > 100 * ruined.personal.before.cross_entropy
    before, after = seen[2][1], seen[3][1]
    assert learned.kept == ((after.top1_hits, -after.loss) > (before.top1_hits, -before.loss))
    report = on_phones.report([ruined])
    assert report["gate"]["kept"] == report["gate"]["relative_gain"] == 0
    assert report["gate"]["after"] == report["before"] != report["after"]


def test_the_gate_keeps_no_weights_that_are_no_numbers(learner, tokenizer, sizes):
    """Of such logits the first words of the vocabulary come out: frequent ones, which hit."""
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    first = " ".join([tokenizer.vocabulary[4]] * 5)
    text = tokenizer.text([*TEXTS, first, first, "ok", "ok", "ok"], sizes.length)
    grid = [Settings(LocalTraining(1e38, batch_size=4, epochs=3, clipping_norm=1e30))]
    ((phone,),) = on_phones.personalize(learner, [text], prefixes, grid)
    assert not phone.kept and phone.gated.after == phone.personal.before
    with pytest.raises(RunFailure, match="diverged"):
        on_phones.learn(
            learner,
            text.words,
            grid[0].training,
            purpose="update",
            vocabulary_sha256="5" * 64,
        )


@pytest.mark.parametrize("names", ["embeding", "embedding,,bias", ""])
def test_layers_that_are_none_are_named(names):
    with pytest.raises(UserError, match="layers: .* must be among embedding, input_kernel"):
        on_phones.grid([0.1], [1], [16], [names], 1.0)


def test_a_grid_is_every_combination():
    grid = on_phones.grid([0.1, 0.3], [1, 3], [16], ["all", "embedding,output_bias"], 1.0)
    assert len(grid) == len(set(grid)) == 8
    assert grid[0].as_dict()["layers"] == list(model.Weights._fields)
    assert grid[-1].as_dict() == {
        **{"learning_rate": 0.3, "epochs": 3, "batch_size": 16, "clipping_norm": 1.0},
        "layers": ["embedding", "output_bias"],
    }
    with pytest.raises(UserError, match="learning_rate"):
        on_phones.grid([0.1, -1.0], [1], [16], ["all"], 1.0)


def test_a_personal_checkpoint_survives_an_update_of_the_app(
    learner, path, to_file, weights, make_weights, tokenizer, sizes, tmp_path
):
    rows = tokenizer.rows(TEXTS, sizes.length)
    assert np.any(rows == PAD)
    of = {"vocabulary_sha256": "5" * 64}
    learned = on_phones.learn(learner, rows, SETTINGS, purpose="personal", **of)
    personal = learner.weights()
    updates.write(tmp_path / "personal.npz", learned)

    again = Learner(path)
    on_phones.load_personal(again, tmp_path / "personal.npz", **of)
    assert largest_difference(again.weights(), personal) < 1e-6
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
        on_phones.load_personal(newer, tmp_path / "personal.npz", **of)
    assert weights_sha256(newer.weights()) == weights_sha256(new_weights)
    on_phones.load_personal(newer, tmp_path / "personal.npz", **of, migrate=True)
    migrated = updates.add(new_weights, learned.difference)
    assert largest_difference(newer.weights(), migrated) == 0
    loss = newer.evaluate(rows).loss
    newer.reset()
    assert loss < newer.evaluate(rows).loss - 0.1
