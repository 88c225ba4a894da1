import json

import numpy as np
import pytest

from fedkeyboard.data import statistics
from fedkeyboard.data.population import Population
from fedkeyboard.text.words import words


@pytest.fixture(scope="module")
def opened(tiny_population):
    with Population.open(tiny_population) as population:
        yield population


def test_figures_are_those_of_the_text(opened):
    described = statistics.describe(opened, vocabulary_size=300)
    assert json.loads(json.dumps(described)) == described
    for split in opened.splits:
        counts = [
            sum(len(words(text)) for text in opened.sentences(phone))
            for phone in opened.phones(split)
        ]
        of = described["splits"][split]
        assert of["phones"] == of["users"] == of["phones_read"] == len(counts)
        assert of["words"]["mean"] == pytest.approx(np.mean(counts))
        assert of["words"]["p50"] == np.median(counts)
        at_least = of["histogram"]["at_least"]
        assert (
            of["histogram"]["phones"] == np.histogram(counts, [0, *at_least[1:], 10**9])[0].tolist()
        )
    totals = [of["words"]["mean"] * of["phones"] for of in described["splits"].values()]
    assert described["text_words"] == pytest.approx(sum(totals))


def test_out_of_vocabulary_rate(opened, tiny_tokenizer):
    described = statistics.describe(opened, vocabulary_size=300, minimum_users=2)
    known = set(tiny_tokenizer.vocabulary[4:])
    said = [
        word
        for phone in opened.phones("test")
        for text in opened.sentences(phone)
        for word in words(text)
    ]
    expected = np.mean([word not in known for word in said])
    assert described["splits"]["test"]["oov_rate"] == pytest.approx(expected)


def test_a_sample_is_drawn_by_seed(opened):
    described, again, other = (
        statistics.describe(opened, vocabulary_size=300, sample=12, seed=seed) for seed in (0, 0, 1)
    )
    assert described == again != other
    assert described["splits"]["train"]["phones_read"] == 12
    assert described["splits"]["train"]["phones"] == len(opened.phones("train"))


def test_real_users_differ_more_than_if_sentences_were_dealt(opened):
    differ = statistics.describe(opened, vocabulary_size=300)["heterogeneity"]
    assert differ["users"] > 10
    assert 0 < differ["divergence_if_dealt"] < 0.95 * differ["divergence"] < 1


def test_heterogeneity_of_known_users():
    generator = np.random.default_rng(0)
    same = [[[1, 2, 3, 4]] * 40 for _ in range(5)]
    assert statistics.heterogeneity(same, 10, generator)["divergence"] == pytest.approx(0, abs=1e-9)
    # Two users without a word in common: each is half of everybody.
    apart = [[[1] * 5] * 40, [[2] * 5] * 40]
    found = statistics.heterogeneity(apart, 10, generator)
    # The middle of (1, 0) and (1/2, 1/2) is (3/4, 1/4), of 0.811 bits; less half of 0 and 1 bit.
    assert found["divergence"] == pytest.approx(0.8113 - 0.5, abs=1e-4)
    assert found["divergence_if_dealt"] < 0.1
    assert statistics.heterogeneity([[[1, 2]]], 10, generator)["divergence"] is None


def test_few_users(opened, refuses):
    described = statistics.describe(opened, vocabulary_size=300, sample=1)
    assert described["vocabulary"]["users"] == 1
    with refuses(opened.path, "--minimum-users"):
        statistics.describe(opened, vocabulary_size=300, minimum_users=1000)


def test_text_for_a_reader(opened):
    described = statistics.describe(opened, vocabulary_size=300)
    assert all(len(row) == 4 for row in statistics.rows(described))
    assert len(statistics.bars(described["splits"]["train"]["histogram"])) > 3
    assert any("diverge" in line for line in statistics.sentences(described))
