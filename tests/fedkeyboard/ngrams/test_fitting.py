import itertools

import numpy as np
import pytest

from fedkeyboard.ngrams import counts, fitting, model
from fedkeyboard.text.tokenizer import BEGIN, END, PAD

VOCABULARY = 30


def drawn(seed, count):
    """Messages in which a word tells the next one, most of the time."""
    generator = np.random.default_rng(seed)
    rows = np.full((count, 9), PAD, np.int32)
    for row in rows:
        length = generator.integers(1, 7)
        row[0], word = BEGIN, 4
        for i in range(1, length + 1):
            word = 4 + ((word * 7 + 1) % 26 if generator.random() < 0.7 else generator.integers(26))
            row[i] = word
        row[length + 1] = END
    return rows


@pytest.fixture(scope="module")
def counted():
    return counts.count([drawn(seed, 150) for seed in range(4)], VOCABULARY, 3, 2)


@pytest.fixture(scope="module")
def held_out():
    return drawn(9, 600)


def likelihood(ngrams, rows, said):
    targets = rows[:, 1:][rows[:, 1:] != PAD]
    log_probabilities = np.full((len(targets), VOCABULARY), np.log(1 / VOCABULARY), np.float32)
    log_probabilities[np.arange(len(targets)), targets] = said
    mixed = ngrams.mixed(log_probabilities, rows)
    return float(np.sum(mixed[np.arange(len(targets)), targets], dtype=np.float64))


def test_the_shares_make_the_text_likeliest(counted, held_out):
    """Of each length's own share no twentieth does better, by the file itself."""
    said = np.full(np.count_nonzero(held_out[:, 1:]), np.log(1 / VOCABULARY), np.float32)
    shares = fitting.fit(counted, [(held_out, said)])
    assert shares.shape == (2, 5) and np.all((shares >= 0) & (shares < 1))
    best = likelihood(fitting.ngrams(counted, shares), held_out, said)
    told = [(0, band) for band in range(5)] + [(1, band) for band in range(5)]
    for length, band in told:
        for moved in (-0.15, 0.15):
            others = shares.copy()
            others[length, band] = np.clip(others[length, band] + moved, 0, 0.95)
            # Codes round by 3%.
            assert likelihood(fitting.ngrams(counted, others), held_out, said) <= best + 2.0
    assert best > likelihood(model.NGrams.none(VOCABULARY), held_out, said) + 100


def test_a_model_that_knows_it_all_is_believed(counted, held_out):
    sure = np.full(np.count_nonzero(held_out[:, 1:]), np.log(0.999), np.float32)
    assert np.all(fitting.fit(counted, [(held_out, sure)]) == 0)


def test_bands_with_few_targets_have_their_lengths_share(counted, held_out):
    few = held_out[:20]
    said = np.full(np.count_nonzero(few[:, 1:]), np.log(1 / VOCABULARY), np.float32)
    shares = fitting.fit(counted, [(few, said)])
    assert all(len(set(of_length)) == 1 for of_length in shares.tolist())


def test_without_users_to_fit_on_there_are_shares(counted):
    shares = fitting.fit(counted, [])
    assert shares.tolist() == [[0.15] * 5, [0.35] * 5]


def test_q_is_the_discounted_share(counted):
    shares = np.array([[0.5] * 5, [0.25] * 5])
    ngrams = fitting.ngrams(counted, shares)
    for place, share in enumerate((0.5, 0.25)):
        nodes = counted.trie.keys[place] // VOCABULARY
        for i in range(0, len(nodes), 17):
            times, begin = counted.counts[place + 1][i], counted.counts[place][nodes[i]]
            expected = share * (times - min(times / 2, 1.5)) / begin
            assert np.exp(ngrams.codes[place][i] / -16) == pytest.approx(expected, rel=0.032)


def test_what_fits_is_what_more_users_wrote(counted):
    whole = model.size(counted.trie)
    for most in (whole, whole - 1, whole // 2):
        fits = fitting.fitting_in(counted, most)
        assert model.size(fits.trie) <= most
        fewer = counted.of_users(fits.minimum_users - 1)
        assert most == whole or model.size(fewer.trie) > most
    nothing = fitting.fitting_in(counted, 10)
    assert not any(map(len, itertools.chain(nothing.users, nothing.trie.keys)))
