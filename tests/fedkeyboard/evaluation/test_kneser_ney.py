import collections
import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.evaluation import kneser_ney
from fedkeyboard.text.tokenizer import BEGIN, END, PAD, UNKNOWN

LENGTH = 9
FALLBACK = [0, 0.5, 1.0, 1.5]


class Definitions:
    """Chen and Goodman's equations one by one, over dicts of tuples."""

    def __init__(self, sentences, vocabulary):
        """Of sentences that begin with BEGIN twice."""
        self.vocabulary = vocabulary
        trigrams = collections.Counter(n for s in sentences for n in ngrams(s))
        pairs = self.continuations(trigrams)
        words = self.continuations(pairs)
        self.discounts, self.followers = {}, {}
        for n, counts in ((1, words), (2, pairs), (3, trigrams)):
            self.discounts[n] = self.estimate(collections.Counter(counts.values()))
            for ngram, count in counts.items():
                self.followers.setdefault(ngram[:-1], {})[ngram[-1]] = count

    @staticmethod
    def continuations(ngrams):
        """N1+(. v w) or N1+(. w): how many words are somewhere before it."""
        before = collections.defaultdict(set)
        for first, *rest in ngrams:
            before[tuple(rest)].add(first)
        return {ngram: len(firsts) for ngram, firsts in before.items()}

    @staticmethod
    def estimate(n):
        if all(n[i] for i in (1, 2, 3, 4)):
            y = n[1] / (n[1] + 2 * n[2])
            d = [0] + [i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)]
            if d[2] > 0 and d[3] > 0:
                return d
        return FALLBACK

    def probability(self, word, context):
        if context == ():
            lower = 0 if word in (PAD, BEGIN) else 1 / (self.vocabulary - 2)
        else:
            lower = self.probability(word, context[1:])
        counts = self.followers.get(context)
        if counts is None:
            return lower
        d = self.discounts[len(context) + 1]
        n = collections.Counter(min(c, 3) for c in counts.values())
        gamma = (d[1] * n[1] + d[2] * n[2] + d[3] * n[3]) / sum(counts.values())
        count = counts.get(word, 0)
        return (count - d[min(count, 3)]) / sum(counts.values()) + gamma * lower


def ngrams(sentence, n=3):
    """The n-grams that end in a target."""
    return [tuple(sentence[i - n + 1 : i + 1]) for i in range(2, len(sentence))]


@pytest.fixture(scope="module")
def sentences(tiny_texts, tiny_tokenizer):
    """The ids of each user's sentences, with BEGIN twice: written without `text`."""
    users = [[tiny_tokenizer.encode(text) for text in texts] for texts in tiny_texts]
    return [[[BEGIN, BEGIN, *s, END] for s in user if s] for user in users]


@pytest.fixture(scope="module")
def rows(tiny_texts, tiny_tokenizer):
    return [tiny_tokenizer.text(texts, LENGTH).words for texts in tiny_texts]


def drawn(count, words, seed):
    """Sentences of few words, some of them often, which begin with BEGIN twice."""
    generator = np.random.default_rng(seed)
    shares = 1 / np.arange(1, words + 1)
    return [
        [
            *(BEGIN, BEGIN),
            *(UNKNOWN + generator.choice(words, generator.integers(1, 8), p=shares / shares.sum())),
            END,
        ]
        for _ in range(count)
    ]


@pytest.mark.parametrize(("count", "estimated"), [(400, True), (4, False)])
def test_small_distributions_are_as_defined(count, estimated):
    """As the heavy test below, of text that is drawn; of little of it with fixed discounts."""
    words = 30
    vocabulary = UNKNOWN + words + 1
    counted, held_out = drawn(count, words, 1), drawn(20, words + 1, 2)

    def as_rows(sentences):
        whole = [sentence[1:] for sentence in sentences]
        width = max(map(len, whole))
        return np.array([row + [PAD] * (width - len(row)) for row in whole], np.int32)

    parts = [counted[: count // 3], counted[count // 3 :]]
    model = kneser_ney.Trigram.fit(map(as_rows, parts), vocabulary)
    defined = Definitions(counted, vocabulary)
    # Of single words there are too few for an estimate.
    assert [defined.discounts[n] != FALLBACK for n in (2, 3)] == [estimated] * 2
    targets = [n for sentence in held_out for n in ngrams(sentence)]
    expected = [[defined.probability(w, n[:2]) for w in range(vocabulary)] for n in targets]
    found = np.exp(model.log_probabilities(as_rows(held_out)))
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=1e-12)
    assert {n[:2] in defined.followers for n in targets} == {True, False}


@pytest.mark.heavy
def test_every_distribution_is_as_defined(sentences, rows, tiny_texts, tiny_tokenizer):
    """Of a user who was not counted, and of a word that nobody has written."""
    unseen = len(tiny_tokenizer)
    vocabulary = unseen + 1
    model = kneser_ney.Trigram.fit(rows[1:], vocabulary)
    defined = Definitions(itertools.chain(*sentences[1:]), vocabulary)
    few = tiny_texts[0][:15]
    held_out = [*sentences[0][: len(few)], [BEGIN, BEGIN, 5, unseen, unseen, 5, END]]
    extra = np.array([[BEGIN, 5, unseen, unseen, 5, END, *[PAD] * (LENGTH - 5)]], np.int32)
    of_few = tiny_tokenizer.text(few, LENGTH).words
    targets = [n for s in held_out for n in ngrams(s)]
    expected = [[defined.probability(w, n[:2]) for w in range(vocabulary)] for n in targets]
    found = np.concatenate([model.log_probabilities(part) for part in (of_few, extra)])
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found), expected, rtol=3e-6)
    # What was to be compared was there: contexts of every kind, and estimated discounts.
    kinds = {tuple(n[i:2] in defined.followers for i in (0, 1)) for n in targets}
    assert kinds == {(True, True), (False, True), (False, False)}
    assert FALLBACK not in defined.discounts.values()


def test_with_one_discount_it_is_nltks(sentences, rows, tiny_tokenizer, monkeypatch):
    """NLTK has the plain method with one discount, and none for single words.

    It is given the n-grams that end in a target only. With those of `padded_everygram_pipeline`,
    which pads with BEGIN, it counts (BEGIN, BEGIN) among the pairs and sums to more than 1.
    """
    # Here, since it takes a second, and every process loads this file.
    from nltk.lm import KneserNeyInterpolated

    discount = 0.7
    by_order = iter([discount, discount, 1e-12])  # Trigrams are smoothed first.
    monkeypatch.setattr(kneser_ney, "estimate_discounts", lambda _: np.full(3, next(by_order)))
    vocabulary = len(tiny_tokenizer)
    model = kneser_ney.Trigram.fit(rows[1:7], vocabulary)
    nltk = KneserNeyInterpolated(3, discount)
    text = [
        [tuple(map(str, n)) for length in (1, 2, 3) for n in ngrams(s, length)]
        for s in itertools.chain(*sentences[1:7])
    ]
    nltk.fit(text, vocabulary_text=map(str, range(vocabulary)))
    targets = [n for s in sentences[0] for n in ngrams(s)]
    found = np.exp(model.log_probabilities(rows[0]))
    score = functools.cache(lambda n: nltk.score(str(n[2]), [str(n[0]), str(n[1])]))
    of_targets = found[np.arange(len(targets)), [n[2] for n in targets]]
    np.testing.assert_allclose(of_targets, [*map(score, targets)], rtol=3e-6, atol=1e-12)
    whole = [score((*targets[1][:2], w)) for w in range(vocabulary)]
    np.testing.assert_allclose(found[1], whole, rtol=3e-6, atol=1e-12)


VOCABULARY = 9
texts = st.lists(st.lists(st.integers(UNKNOWN, VOCABULARY - 1), min_size=1, max_size=5), max_size=9)


def as_rows(texts):
    rows = np.full((len(texts), 6), PAD, np.int32)
    for row, words in zip(rows, texts, strict=True):
        whole = [BEGIN, *words, END][:6]
        row[: len(whole)] = whole
    return rows


@given(st.lists(texts, max_size=4), texts)
def test_sums_to_one(users, unseen):
    model = kneser_ney.Trigram.fit(map(as_rows, users), VOCABULARY)
    rows = as_rows(unseen)
    log_probabilities = model.log_probabilities(rows)
    assert log_probabilities.shape == (np.sum(rows[:, 1:] != PAD), VOCABULARY)
    np.testing.assert_allclose(np.exp(log_probabilities).sum(axis=1), 1, rtol=1e-5)
    assert np.all(log_probabilities[:, [PAD, BEGIN]] == -np.inf)
    assert np.all(np.isfinite(log_probabilities[:, END:]))


def test_the_order_of_users_does_not_matter(rows, tiny_tokenizer):
    models = [
        kneser_ney.Trigram.fit(users, len(tiny_tokenizer))
        for users in (rows, reversed(rows), [row[np.newaxis] for of in rows for row in of])
    ]
    first, *others = (model.log_probabilities(rows[0]) for model in models)
    assert all(np.array_equal(first, other) for other in others)


def test_a_sentence_may_be_cut_after_its_first_word():
    model = kneser_ney.Trigram.fit([as_rows([[5, 6], [7]])], VOCABULARY)
    found = model.log_probabilities(np.array([[BEGIN, 5]], np.int32))
    np.testing.assert_array_equal(found, model.log_probabilities(as_rows([[5, 6]]))[:1])


@pytest.mark.parametrize("users", [[], [as_rows([])]])
def test_of_no_text_it_is_uniform(users):
    model = kneser_ney.Trigram.fit(users, VOCABULARY)
    found = model.log_probabilities(as_rows([[5]]))
    np.testing.assert_allclose(found[:, END:], -math.log(VOCABULARY - 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("threes", "expected"), [(2, [5 / 9, 7 / 6, 17 / 9]), (4, [5 / 9, 1 / 3, 22 / 9])]
)
def test_discounts_by_hand(threes, expected):
    counts = np.repeat([1, 2, 3, 4, 17], [10, 4, threes, 1, 3])
    np.testing.assert_allclose(kneser_ney.estimate_discounts(counts), expected)


@pytest.mark.parametrize(
    "numbers",
    [
        *((0, 0, 0, 0), (9, 0, 2, 1), (0, 4, 2, 1), (10, 4, 0, 1), (10, 4, 2, 0), (10, 1, 9, 1)),
        (4, 1, 1, 1),
    ],
    ids=["none", "no 2", "no 1", "no 3", "no 4", "D2 below 0", "D2 of 0"],
)
def test_discounts_that_cannot_be_estimated(numbers):
    counts = np.repeat([1, 2, 3, 4], numbers)
    assert kneser_ney.estimate_discounts(counts).tolist() == FALLBACK[1:]
