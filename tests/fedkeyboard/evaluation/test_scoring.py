import numpy as np
import pytest
import tensorflow as tf

from fedkeyboard import model
from fedkeyboard.algorithms.templates import phone_data
from fedkeyboard.evaluation import federated_evaluation, keystrokes, metrics, scoring
from fedkeyboard.ngrams import counts, fitting
from fedkeyboard.text.tokenizer import END, PAD, UNKNOWN, Text
from fedkeyboard.text.words import words

LENGTH = 7


@pytest.fixture(scope="module")
def prefixes(tiny_tokenizer):
    return keystrokes.prefixes(tiny_tokenizer.vocabulary)


@pytest.fixture(scope="module")
def sizes(tiny_tokenizer):
    return model.Sizes(len(tiny_tokenizer), embedding=6, units=8, length=LENGTH)


@pytest.fixture(scope="module")
def weights(sizes):
    weights = model.initial_weights(sizes, 5)
    # The end of the sentence is the likeliest of all, and must not be suggested.
    weights.output_bias[END] = 3.0
    return weights


def test_weights_scorer_is_the_recurrence_word_by_word(
    tiny_texts, tiny_tokenizer, weights, prefixes
):
    """Each position by one step after another; ranks and letters by sorting the words.

    Messages are longer than a row to train on, and the state goes on through all of them.
    """
    vocabulary = tiny_tokenizer.vocabulary
    long = " ".join(" ".join(tiny_texts[1]).split()[:300])
    messages = [*tiny_texts[0][:9], long, " ".join(long.split()[:45])]
    text = tiny_tokenizer.text(messages, LENGTH)
    assert np.sum(text.letters > 0) == sum(len(words(message)) for message in messages)
    scores = scoring.WeightsScorer(weights, prefixes).score(text)
    i, known = 0, 0
    for row in text.rows:
        state = model.initial_state(weights, 1)
        for word, target in zip(row[:-1], row[1:], strict=True):
            if target == PAD:
                break
            logits, state = model.step(weights, np.array([word]), state)
            logits = np.asarray(logits[0], np.float64)
            assert scores.likeliest[i] == (np.argmax(logits) == target)
            assert scores.cross_entropy[i] == pytest.approx(
                np.log(np.exp(logits).sum()) - logits[target], 1e-4
            )
            assert scores.known[i] == (target > UNKNOWN)
            if target > UNKNOWN:
                best = sorted(range(4, len(vocabulary)), key=lambda j: -logits[j])  # noqa: B023
                assert scores.rank[i] == best.index(target)
                word = vocabulary[target]
                assert min(scores.letters[i], len(word)) == shown_after(vocabulary, best, word)
                known += 1
            i += 1
    assert i == len(scores.rank) and known > 20
    assert np.min(scores.letters) > 0 or len(set(scores.letters)) > 2


def shown_after(vocabulary, best, word):
    """The typing that `keystrokes` describes, letter by letter, until it is typed anyway."""
    for letters in range(len(word)):
        if (
            word
            in [w for w in map(vocabulary.__getitem__, best) if w.startswith(word[:letters])][:3]
        ):
            return letters
    return len(word)


def test_ngrams_are_mixed_as_on_a_phone(tiny_texts, tiny_tokenizer, weights, prefixes):
    """In TensorFlow as by `NGrams.mixed`, of what the model alone says; also of likelihoods."""
    size = len(tiny_tokenizer)
    users = [tiny_tokenizer.text(texts, LENGTH).words for texts in tiny_texts]
    counted = counts.count(users[1:], size, order=4, minimum_users=1)
    ngrams = fitting.ngrams(counted, fitting.fit(counted, []))
    text = tiny_tokenizer.text(tiny_texts[0][:40], LENGTH)

    def said(rows):
        real = rows[:, 1:] != PAD
        outputs = np.asarray(model.states(weights, rows[:, :-1]).output)[real]
        logits = np.asarray(model.logits(weights, outputs))
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    alone = scoring.WeightsScorer(weights, prefixes).score(text)
    mixed = scoring.WeightsScorer(weights, prefixes, ngrams).score(text)
    expected = scoring.LogProbabilitiesScorer(
        lambda rows: ngrams.mixed(said(rows), rows), prefixes
    ).score(text)
    for name in ("known", "rank", "likeliest", "letters"):
        np.testing.assert_array_equal(getattr(mixed, name), getattr(expected, name))
    np.testing.assert_allclose(mixed.cross_entropy, expected.cross_entropy, rtol=1e-4, atol=1e-5)
    assert np.mean(mixed.cross_entropy) < np.mean(alone.cross_entropy) - 0.1
    likelihoods = scoring.log_likelihoods(model.Weights(*map(tf.constant, weights)), text.words)
    np.testing.assert_allclose(likelihoods, -alone.cross_entropy, rtol=1e-4, atol=1e-5)


def test_equal_words_are_suggested_in_the_order_of_the_vocabulary(tiny_tokenizer, prefixes):
    entries = len(tiny_tokenizer)
    rows = np.array([[1, *range(4, 11)]], np.int32)
    text = Text(rows, np.ones([1, 7], np.int32), rows, rows, np.zeros(1, np.int32))

    def alike(rows):
        return np.full((np.sum(rows[:, 1:] != PAD), entries), -np.log(entries), np.float32)

    scores = scoring.LogProbabilitiesScorer(alike, prefixes).score(text)
    assert scores.rank.tolist() == list(range(7))
    unigram = scoring.UnigramScorer(prefixes).score(text)
    assert unigram.rank.tolist() == list(range(7))
    assert unigram.letters.tolist() == scores.letters.tolist()
    assert scores.cross_entropy == pytest.approx(np.log(entries))


def test_weights_that_are_no_numbers_suggest_nothing(tiny_texts, tiny_tokenizer, weights, prefixes):
    text = tiny_tokenizer.text(tiny_texts[0], LENGTH)
    broken = weights._replace(projection=np.full_like(weights.projection, np.nan))
    counts = metrics.count(text, scoring.WeightsScorer(broken, prefixes).score(text))
    assert counts.words > 20 and counts.top1 == counts.top5 == counts.likeliest == 0
    assert counts.summary()["perplexity"] is None


def test_a_long_word_that_never_shows_saves_nothing():
    """Three likelier words begin with more letters than the table has."""
    long = ["".join([*"ha" * 12, last]) for last in "abcd"]
    table = keystrokes.prefixes(["", "", "", "", *long])
    better = np.array([[True, True, True, False], [True, True, False, False]])
    shown = keystrokes.letters_typed(better, np.array([7, 6], np.int32), table)
    assert shown[0] >= len(long[0]) and shown[1] == 0


def test_unigram_suggests_the_most_frequent_training_words(tiny_texts, tiny_tokenizer, prefixes):
    text = tiny_tokenizer.text(tiny_texts[0], LENGTH)
    counts = metrics.count(text, scoring.UnigramScorer(prefixes).score(text))
    typed = [i for i in text.rows[:, 1:].ravel() if i not in (PAD, END)]
    first = [tiny_tokenizer.encode(w)[0] for w in tiny_tokenizer.vocabulary[4:9]]
    assert counts.words == len(typed)
    assert counts.top1 == sum(i == first[0] for i in typed) > 0
    assert counts.top3 == sum(i in first[:3] for i in typed) > counts.top1
    assert counts.top5 == sum(i in first for i in typed)


def test_letters_of_words_outside_the_vocabulary_count(tiny_tokenizer):
    text = tiny_tokenizer.text(["how are zzyzxq", "!", "you'll see"], LENGTH)
    assert text.letters.tolist() == [[3, 3, 6, 0], [6, 3, 0, 0]]
    assert text.rows[0, 3] == UNKNOWN
    np.testing.assert_array_equal(
        text.training, tiny_tokenizer.rows(["how are zzyzxq", "!", "you'll see"], LENGTH)
    )


@pytest.mark.parametrize("at_most", [1, 7, 100, 10**6])
def test_parts_are_put_together_in_the_order_of_the_rows(at_most):
    generator = np.random.default_rng(1)
    rows = np.zeros((23, 60), np.int32)
    for row in rows:
        length = generator.integers(1, 60)
        row[:length] = generator.integers(4, 99, length)
    rows[:, :2] = 4  # No message is without a word.
    seen = []

    def score(chosen):
        part = scoring.trimmed(rows[chosen])
        targets = part[:, 1:][part[:, 1:] != PAD]
        seen.append((len(chosen), len(targets)))
        return metrics.Scores(targets > 9, targets, None, targets / 2, None)

    scores = scoring.in_parts(score, rows, at_most)
    expected = rows[:, 1:][rows[:, 1:] != PAD]
    np.testing.assert_array_equal(scores.rank, expected)
    np.testing.assert_array_equal(scores.cross_entropy, expected / 2)
    assert scores.likeliest is scores.letters is None
    assert all(rows == 1 or targets <= at_most for rows, targets in seen)


def test_users_add_up(tiny_texts, tiny_tokenizer, weights, prefixes):
    """Also with more sentences than are scored at once."""
    scorer = scoring.WeightsScorer(weights, prefixes)
    texts = [*tiny_texts[:6], [], [s for user in tiny_texts for s in user][:300]]
    users = [tiny_tokenizer.text(t, LENGTH) for t in texts]
    counted = scoring.count_users({"model": scorer}, users)["model"]
    assert [user.sentences for user in counted] == [len(user.rows) for user in users]
    assert counted[6] == metrics.User()
    by_sentence = [
        metrics.count(part, scorer.score(part))
        for i in range(len(users[-1].rows))
        for part in [users[-1].part(i, i + 1)]
    ]
    whole, parts = counted[-1].total.numbers(), sum(by_sentence, metrics.Counts()).numbers()
    assert whole == pytest.approx(parts, rel=1e-6)


def test_federated_evaluation_counts_as_evaluation_does(
    in_tff, tiny_texts, tiny_tokenizer, sizes, weights, prefixes
):
    """A cohort with a phone of no sentence and one of more than are scored at once."""
    import tensorflow_federated as tff

    everything = [s for user in tiny_texts for s in user][:150]
    everything.insert(50, " ".join(everything))
    users = [tiny_tokenizer.text(t, LENGTH) for t in (*tiny_texts[:3], [], everything)]
    scorer = scoring.WeightsScorer(weights, prefixes)
    counted = scoring.count_users({"model": scorer}, users)["model"]
    expected = sum((user.total for user in counted), metrics.Counts())

    async def sums():
        evaluate = federated_evaluation.computation(sizes)
        result = evaluate(weights, [phone_data(user.rows) for user in users])
        return await tff.program.materialize_value(result)

    counts = in_tff(sums)
    assert counts.pop("cross_entropy") == pytest.approx(expected.cross_entropy, rel=1e-5)
    assert counts == {name: getattr(expected, name) for name in counts}
    assert counts["top3"] > counts["top1"] > 0
