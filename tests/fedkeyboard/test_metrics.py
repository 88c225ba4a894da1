import numpy as np
import pytest

from fedkeyboard import evaluation, metrics, model
from fedkeyboard.tokenizer import BEGIN, END, PAD, UNKNOWN

A, B, C, D, E_ = range(4, 9)


def test_counts_by_hand():
    """Two sentences: "a b ?" and "c c", with suggestions and cross-entropies set by hand."""
    rows = np.array([[BEGIN, A, B, UNKNOWN, END], [BEGIN, C, C, END, PAD]], np.int32)
    scores = metrics.Scores(
        suggested=np.array(
            [
                [[A, B, C], [A, C, B], [A, B, C], [A, B, C]],
                [[D, E_, A], [C, D, E_], [A, B, C], [PAD, PAD, PAD]],
            ],
            np.int32,
        ),
        likeliest=np.array([[END, B, UNKNOWN, END], [C, A, END, PAD]], np.int32),
        cross_entropy=np.array([[1, 2, 3, 4], [5, 6, 7, np.nan]], np.float32),
    )
    counts = metrics.count(rows, scores)
    assert counts == metrics.Counts(
        words=5, unknown=1, top1=2, top3=3, likeliest=2, predicted=7, cross_entropy=28.0
    )
    summary = (counts + counts).summary()
    assert summary == {
        "targets": 10,
        "top1_recall": pytest.approx(2 / 5),
        "top3_recall": pytest.approx(3 / 5),
        "perplexity": pytest.approx(np.exp(4)),
        "oov_rate": pytest.approx(1 / 5),
        "accuracy_no_oov_no_eos": pytest.approx(2 / 4),
    }


def test_unigram_suggests_the_most_frequent_training_words(tiny_texts, tiny_tokenizer):
    rows = tiny_tokenizer.rows(tiny_texts[0], 12)
    counts = metrics.count(rows, metrics.unigram_scores(rows))
    words = [i for i in rows[:, 1:].ravel() if i not in (PAD, END)]
    first = [tiny_tokenizer.encode(w)[0] for w in tiny_tokenizer.vocabulary[4:7]]
    assert counts.words == len(words)
    assert counts.top1 == sum(i == first[0] for i in words) > 0
    assert counts.top3 == sum(i in first for i in words) > counts.top1


def test_report_over_users():
    users = [
        metrics.Counts(words=10, top1=1, top3=2, predicted=10, cross_entropy=10.0),
        metrics.Counts(words=30, top1=9, top3=12, predicted=30, cross_entropy=60.0),
        metrics.Counts(),
    ]
    report = metrics.report(users, {"other": [metrics.Counts(words=40, top1=4)]})
    assert report["users"] == 3
    assert report["top1_recall"] == pytest.approx(10 / 40)
    assert report["perplexity"] == pytest.approx(np.exp(70 / 40))
    assert report["baselines"]["other"]["top1_recall"] == pytest.approx(0.1)
    # The user without a word has no recall, rather than one of 0.
    assert report["per_user"]["top1_recall"]["mean"] == pytest.approx(0.2)
    assert report["per_user"]["top1_recall"]["p50"] == pytest.approx(0.2)


def test_no_users():
    report = metrics.report([], {})
    assert report["top1_recall"] is None and report["per_user"]["top1_recall"]["p50"] is None


def test_weights_scorer_is_softmax_over_the_recurrence(tiny_texts, tiny_tokenizer):
    """Against each position scored on its own, by one step after another."""
    sizes = model.Sizes(len(tiny_tokenizer), embedding=6, units=8, length=7)
    weights = model.initial_weights(sizes, 5)
    # The end of the sentence is the likeliest of all, and must not be suggested.
    weights.output_bias[END] = 3.0
    rows = tiny_tokenizer.rows(tiny_texts[0][:9], sizes.length)
    scores = evaluation.WeightsScorer(weights).score(rows)
    checked = 0
    for r, row in enumerate(rows):
        state = model.initial_state(weights, 1)
        for t, (word, target) in enumerate(zip(row[:-1], row[1:], strict=True)):
            if target == PAD:
                break
            logits, state = model.step(weights, np.array([word]), state)
            logits = np.asarray(logits[0], np.float64)
            probabilities = np.exp(logits) / np.exp(logits).sum()
            best = sorted(range(4, len(tiny_tokenizer)), key=lambda i: -logits[i])[:3]  # noqa: B023
            assert scores.suggested[r, t].tolist() == best
            assert scores.likeliest[r, t] == np.argmax(logits) == END
            assert scores.cross_entropy[r, t] == pytest.approx(-np.log(probabilities[target]), 1e-4)
            checked += 1
    assert checked > 30


def test_evaluate_adds_up_users(tiny_texts, tiny_tokenizer):
    sizes = model.Sizes(len(tiny_tokenizer), embedding=6, units=8, length=7)
    scorer = evaluation.WeightsScorer(model.initial_weights(sizes, 5))
    users = [tiny_tokenizer.rows(texts, sizes.length) for texts in tiny_texts[:3]]
    seen = []
    report = evaluation.evaluate(scorer, [*users, users[0][:0]], on_user=lambda: seen.append(1))
    together = metrics.count(np.concatenate(users), scorer.score(np.concatenate(users)))
    assert len(seen) == report["users"] == 4
    assert report["targets"] == together.words
    assert report["perplexity"] == pytest.approx(together.summary()["perplexity"], rel=1e-6)
    assert report["baselines"]["unigram"]["top1_recall"] > 0
