"""Personalization through LiteRT, against that of TensorFlow."""

import numpy as np
import pytest

from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import keystrokes, metrics, personalization, scoring
from fedkeyboard.tflite_export.files import signatures
from fedkeyboard.tflite_export.phone import personalization as on_phones
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.tflite_export.phone.personalization import Settings
from fedkeyboard.updates.update_file import weights_sha256

SETTINGS = LocalTraining(0.5, batch_size=4, epochs=2, clipping_norm=1.0)


def test_personalization_is_that_of_tensorflow(learner, ngrams, weights, tokenizer, sizes, texts):
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    users = [
        tokenizer.text(texts, sizes.length),
        tokenizer.text(texts[:3], sizes.length),
        tokenizer.text([*texts[::-1], *texts[:5]], sizes.length),
    ]
    grid = [Settings(SETTINGS), Settings(LocalTraining(0.1, batch_size=16, clipping_norm=1.0))]
    outcomes = on_phones.personalize(learner, ngrams, users, prefixes, grid)
    for settings, phones in zip(grid, outcomes, strict=True):
        expected = personalization.personalize(
            weights,
            users,
            settings.training,
            lambda w: scoring.WeightsScorer(w, prefixes, ngrams),
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


def test_the_gate_decides_by_what_the_phone_held_back_in_turn(
    learner, ngrams, to_file, tokenizer, sizes, monkeypatch, texts
):
    """At a rate that ruins a model that knows the text, a user with a gate loses nothing."""
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    text = tokenizer.text(texts * 2, sizes.length)
    learner.fit(text.training, LocalTraining(0.5, batch_size=4, epochs=20, clipping_norm=5.0))
    knowing = signatures.TrainingModule(learner.weights(), sizes)
    learner = Learner(to_file(knowing, signatures.TRAINING_SIGNATURES))
    grid = [Settings(LocalTraining(rate, batch_size=4, epochs=9, clipping_norm=9.0)) for rate in
            (50.0, 0.2)]  # fmt: skip
    seen, evaluate = [], Learner.evaluate

    def watched(self, rows):
        seen.append((rows, evaluate(self, rows)))
        return seen[-1][1]

    monkeypatch.setattr(Learner, "evaluate", watched)
    (ruined,), (learned,) = on_phones.personalize(learner, ngrams, [text], prefixes, grid)
    cut = metrics.trained_sentences(len(text.words))
    # Before any training, and after that of each of the two settings: each message once.
    assert len(seen) == 3 * 3
    for i in range(3):
        rows = np.concatenate([rows for rows, _ in seen[3 * i : 3 * i + 3]])
        np.testing.assert_array_equal(rows, text.part(0, cut).training)
    assert not ruined.kept and ruined.gated.after == ruined.personal.before
    assert ruined.personal.after.cross_entropy > 100 * ruined.personal.before.cross_entropy

    def of_all(looks):
        targets = [np.count_nonzero(rows[:, 1:]) for rows, _ in looks]
        losses = [said.loss for _, said in looks]
        return sum(said.top1_hits for _, said in looks), -np.dot(losses, targets)

    before, after = of_all(seen[:3]), of_all(seen[6:])
    # No constant suggestion, however lucky, wins.
    assert before[0] > sum(said.words for _, said in seen[:3]) / 2
    assert learned.kept == (after > before)
    report = on_phones.report([ruined])
    assert report["gate"]["kept"] == report["gate"]["relative_gain"] == 0
    assert report["gate"]["after"] == report["before"] != report["after"]


def test_the_gate_keeps_no_weights_that_are_no_numbers(learner, ngrams, tokenizer, sizes, texts):
    """Of such logits the first words of the vocabulary come out: frequent ones, which hit."""
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    first = " ".join([tokenizer.vocabulary[4]] * 5)
    text = tokenizer.text([*texts, first, first, "ok", "ok", "ok"], sizes.length)
    grid = [Settings(LocalTraining(1e38, batch_size=4, epochs=3, clipping_norm=1e30))]
    ((phone,),) = on_phones.personalize(learner, ngrams, [text], prefixes, grid)
    assert not phone.kept and phone.gated.after == phone.personal.before


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
