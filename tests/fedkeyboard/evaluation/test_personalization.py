import numpy as np
import pytest

from fedkeyboard import model
from fedkeyboard.algorithms import local_training
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.evaluation import keystrokes, metrics, personalization, scoring
from fedkeyboard.evaluation.personalization import Compared
from fedkeyboard.text.tokenizer import Text

SETTINGS = LocalTraining(3.0, batch_size=4, epochs=2, clipping_norm=1.0)
LENGTH = 7


@pytest.fixture(scope="module")
def weights(tiny_tokenizer):
    return model.initial_weights(model.Sizes(len(tiny_tokenizer), 6, 8, LENGTH), 5)


@pytest.fixture(scope="module")
def text(tiny_texts, tiny_tokenizer):
    return tiny_tokenizer.text([s for user in tiny_texts for s in user][:20], LENGTH)


@pytest.fixture
def personalize(weights, tiny_tokenizer):
    """Returns what comes of a user, and the personal weights."""
    prefixes = keystrokes.prefixes(tiny_tokenizer.vocabulary)

    def personalize(text, settings=SETTINGS):
        scored = []

        def scorer(weights):
            scored.append(weights)
            return scoring.WeightsScorer(weights, prefixes)

        (compared,) = personalization.personalize(weights, [text], settings, scorer)
        before, after = scored
        assert before is weights
        return compared, after

    return personalize


def test_trains_on_the_first_sentences_alone(personalize, weights, text):
    compared, personal = personalize(text)
    learned = text.part(0, 16)
    assert len(learned.training) > 16
    expected = local_training.train(weights, learned.training, SETTINGS).weights
    again = text.part(0, 4)
    other = Text(*(np.concatenate(both) for both in zip(learned, again, strict=True)))._replace(
        message=np.concatenate([learned.message, 16 + again.message])
    )
    of_other, same = personalize(other)
    for ours, theirs, again, before in zip(personal, expected, same, weights, strict=True):
        moved = np.max(np.abs(theirs - before))
        np.testing.assert_allclose(ours, theirs, atol=1e-2 * moved)
        np.testing.assert_array_equal(ours, again)
    assert compared.before.words == int(np.sum(text.letters[16:] > 0))
    assert of_other.before.words == int(np.sum(text.letters[:4] > 0))


def test_a_phone_throws_away_what_diverged(personalize, weights, text):
    compared, personal = personalize(text, LocalTraining(1e20, batch_size=4, clipping_norm=1e9))
    assert personal is weights and compared.after == compared.before
    assert compared.lost == compared.won == 0


def hits(before, after, lost, won, words=10):
    counts = (metrics.Counts(words=words, top1=top1) for top1 in (before, after))
    return Compared(*counts, lost, won)


def test_gains_by_hand():
    """Exact binomial tests: 2 / 2^6 = 0.031 for six of six words lost, 2 / 2^5 = 0.063 for five."""
    users = [
        hits(7, 1, lost=6, won=0),
        hits(6, 1, lost=5, won=0),
        None,
        hits(2, 9, lost=0, won=7),
        hits(0, 0, lost=0, won=0, words=0),
    ]
    assert [of.significant() for of in users if of] == [True, False, True, False]
    gains = personalization.gains(users)
    assert (gains["users"], gains["left_out"], gains["targets"]) == (4, 1, 30)
    assert gains["before"]["top1_recall"] == pytest.approx(15 / 30)
    assert gains["after"]["top1_recall"] == pytest.approx(11 / 30)
    assert gains["relative_gain"] == pytest.approx(11 / 15 - 1)
    assert gains["users_worse"] == 2 / 4
    assert gains["users_worse_beyond_noise"] == 1 / 4
    assert gains["per_user"]["top1_recall_gain"]["p50"] == pytest.approx(-0.5)
    # Who wrote nothing can be all who are drawn.
    assert gains["relative_gain_interval"] is None
    low, high = personalization.gains(users[:4])["relative_gain_interval"]
    assert low < -0.5 and high > 1


def test_nobody_to_compare():
    gains = personalization.gains([None])
    assert gains["users"] == 0 and gains["left_out"] == 1
    assert gains["relative_gain"] is gains["users_worse"] is None
