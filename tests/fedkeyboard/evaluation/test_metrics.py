import re

import numpy as np
import pytest

from fedkeyboard.evaluation import metrics
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, UNKNOWN, Text

A, B, C, D, E_ = range(4, 9)
NOT = 99  # Means nothing: the entry is no word, or unknown.


def by_hand():
    """Two sentences: "a b ?" and "c c", with what a model says of each target set by hand."""
    words = np.array([[BEGIN, A, B, UNKNOWN, END], [BEGIN, C, C, END, PAD]], np.int32)
    text = Text(
        words,
        np.array([[1, 3, 6, 0], [2, 2, 0, 0]], np.int32),
        rows=words,
        training=words,
        message=np.arange(2),
    )
    scores = metrics.Scores(
        known=np.array([True, True, False, False, True, True, False]),
        rank=np.array([0, 2, 0, 0, 4, 0, 0]),
        likeliest=np.array([False, True, True, True, True, False, True]),
        cross_entropy=np.array([1, 2, 3, 4, 5, 6, 7], np.float32),
        letters=np.array([0, 2, NOT, NOT, NOT, 0, NOT]),
    )
    return text, scores


def test_counts_by_hand():
    text, scores = by_hand()
    counts = metrics.count(text, scores)
    # Keys: 2 + 4 + 7 + 3 + 3; with suggestions 1 + 3 + 7 (unknown) + 3 (never shown) + 1.
    assert counts == metrics.Counts(
        words=5,
        unknown=1,
        top1=2,
        top3=3,
        top5=4,
        likeliest=2,
        predicted=7,
        cross_entropy=28.0,
        keys=19,
        keys_saved=4,
    )
    assert metrics.hits(text, scores).tolist() == [True, *[False] * 4, True, False]
    assert (counts + counts).summary() == {
        "targets": 10,
        "top1_recall": pytest.approx(2 / 5),
        "top3_recall": pytest.approx(3 / 5),
        "top5_recall": pytest.approx(4 / 5),
        "keystroke_savings": pytest.approx(4 / 19),
        "perplexity": pytest.approx(np.exp(4)),
        "oov_rate": pytest.approx(1 / 5),
        "accuracy_no_oov_no_eos": pytest.approx(2 / 4),
    }


def test_the_first_one_three_and_five_suggestions():
    text, scores = by_hand()
    for rank in range(7):
        all_so = scores._replace(rank=np.full(7, rank))
        counts = metrics.count(text, all_so)
        assert (counts.top1, counts.top3, counts.top5) == tuple(4 * (rank < n) for n in (1, 3, 5))
        assert metrics.hits(text, all_so).sum() == 4 * (rank < 1)
    # A keyboard shows as many as one of these figures is of.
    assert metrics.SUGGESTIONS == 3


def test_a_word_outside_the_vocabulary_that_can_be_spelled():
    """By a model that tells neither its likeliest entry nor what letters save."""
    text, scores = by_hand()
    known = scores.known | (text.words[:, 1:][text.words[:, 1:] != PAD] == UNKNOWN)
    user = metrics.count_user(text, scores._replace(known=known, likeliest=None, letters=None))
    outside = user.by["frequency"]["out of vocabulary"]
    assert (outside.words, outside.unknown, outside.top1) == (1, 0, 1)
    assert (user.total.unknown, user.total.top1, user.total.keys) == (0, 3, 19)
    report = metrics.report([user, user], {})
    assert report["oov_rate"] == 0 and report["top1_recall"] == pytest.approx(3 / 5)
    for name in ("keystroke_savings", "accuracy_no_oov_no_eos"):
        assert report[name] is None and report["intervals"][name] is None
    assert report["by"]["frequency"]["out of vocabulary"]["keystroke_savings"] is None


def test_a_users_groups_by_hand():
    text, scores = by_hand()
    user = metrics.count_user(text, scores)
    assert user.total == metrics.count(text, scores) and user.sentences == 2
    assert user.later == metrics.Counts()  # Too few sentences for a personal model.
    position, frequency = user.by["position"], user.by["frequency"]
    assert [position[band].words for band in ("1", "2", "3", "4-5")] == [2, 2, 1, 0]
    assert [position[band].top1 for band in ("1", "2", "3")] == [1, 1, 0]
    assert [position[band].predicted for band in ("1", "2", "3")] == [2, 2, 1]  # No ends.
    assert frequency["1-10"].words == 4 and frequency["1-10"].top3 == 3
    assert frequency["out of vocabulary"] == metrics.Counts(
        words=1, unknown=1, predicted=1, cross_entropy=3.0, keys=7
    )
    for bands in user.by.values():
        assert sum(counts.words for counts in bands.values()) == 5
    report = metrics.report([user, user], {})["by"]
    assert report["position"]["1"]["targets"] == 4 and report["frequency"]["1-10"]["targets"] == 8

    # Ten times the second sentence: the last two of them test a personal model.
    ten = Text(*(np.repeat(values[1:], 10, axis=0) for values in text))._replace(
        message=np.arange(10)
    )
    scores = metrics.Scores(*(np.tile(values[4:], 10) for values in scores))
    assert metrics.count_user(ten, scores).later == metrics.count(
        ten.part(8, 10), metrics.Scores(*(v[24:] for v in scores))
    )


def test_report_over_users():
    users = [
        metrics.User(metrics.Counts(10, top1=1, top3=2, predicted=10, cross_entropy=10.0)),
        metrics.User(
            metrics.Counts(30, top1=9, top3=12, predicted=30, cross_entropy=60.0), sentences=40
        ),
        metrics.User(),
    ]
    other = [metrics.User(metrics.Counts(40, top1=4))]
    report = metrics.report(users, {"other": other})
    assert report["users"] == 3
    assert report["top1_recall"] == pytest.approx(10 / 40)
    # Drawn again, it may be the first user alone, whose recall is 0.1, or the second, with 0.3.
    assert report["intervals"]["top1_recall"] is None  # Or the third, who has none.
    low, high = metrics.report(users[:2], {})["intervals"]["top1_recall"]
    assert (low, high) == pytest.approx((0.1, 0.3))
    assert report["perplexity"] == pytest.approx(np.exp(70 / 40))
    assert report["baselines"]["other"]["top1_recall"] == pytest.approx(0.1)
    assert report["baselines"]["other"]["keystroke_savings"] is None
    # The user without a word has no recall, rather than one of 0.
    assert report["per_user"]["top1_recall"]["mean"] == pytest.approx(0.2)
    assert report["per_user"]["top1_recall"]["p50"] == pytest.approx(0.2)
    assert report["per_user"]["top1_recall"]["worst_decile"] == pytest.approx(0.1)
    assert report["by"]["sentences"]["32-99"]["top1_recall"] == pytest.approx(0.3)
    assert report["by"]["sentences"]["32-99"]["users"] == 1


@pytest.mark.parametrize("bands", ["_POSITIONS", "_RANKS", "_SENTENCES"])
def test_bands_are_what_their_names_say(bands):
    """Each number from 1 is in one of them; 0 is in none."""
    numbers = np.arange(2000)
    found = metrics._by_band(getattr(metrics, bands), numbers)
    for name, chosen in found.items():
        first, *last = [int(n) for n in re.findall(r"\d+", name.replace(",", ""))]
        if not last:
            last = [first] if name == str(first) else [2000]
        assert numbers[chosen].tolist() == list(range(first, min(last[0], 1999) + 1)), name
    np.testing.assert_array_equal(np.sum(list(found.values()), axis=0), numbers > 0)


@pytest.mark.parametrize(
    ("sentences", "trained"), [(9, None), (10, 8), (11, 8), (14, 11), (15, 12), (100, 80)]
)
def test_four_fifths_of_ten_or_more_sentences_train(sentences, trained):
    assert metrics.trained_sentences(sentences) == trained


def test_a_user_who_wrote_nothing():
    nobody = metrics.User()
    assert nobody.sentences == 0 and nobody.by == {}
    assert nobody.total == nobody.later == metrics.Counts(*[0] * 10)


def test_distribution_by_hand():
    values = np.random.default_rng(0).permutation(np.arange(1.0, 102)).tolist()
    assert metrics.distribution(values) == {
        "mean": 51,
        "worst_decile": 5.5,  # Of 101 values the lowest ten.
        **{f"p{p}": 1 + p for p in (10, 25, 50, 75, 90)},
    }


@pytest.mark.parametrize(
    ("users", "lowest"), [(1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (29, 2), (30, 3)]
)
def test_the_worst_decile_is_a_tenth_and_one_at_least(users, lowest):
    values = [float(2**i) for i in range(users)]
    assert metrics.distribution(values)["worst_decile"] == sum(values[:lowest]) / lowest


def test_no_users():
    report = metrics.report([], {})
    assert report["top1_recall"] is None and report["per_user"]["top1_recall"]["p50"] is None
    assert set(report["intervals"].values()) == {None}
