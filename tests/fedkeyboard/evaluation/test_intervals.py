import numpy as np
import pytest
import scipy.stats

from fedkeyboard.evaluation import intervals


def ratio(sums):
    return sums[:, 0] / sums[:, 1]


def test_as_scipys_bootstrap_of_a_ratio():
    generator = np.random.default_rng(1)
    words = generator.integers(20, 500, 80)
    hits = generator.binomial(words, generator.beta(4, 16, 80))
    ours = intervals.interval(np.stack([hits, words], axis=1).astype(float), ratio)
    theirs = scipy.stats.bootstrap(
        (hits, words),
        lambda hits, words, axis: hits.sum(axis) / words.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        method="percentile",
        random_state=2,
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.1 * width)
    assert intervals.interval(np.stack([hits, words], axis=1).astype(float), ratio) == ours


def test_the_level_is_95_percent():
    """Of a mean over many users, whose bootstrap is normal: 1.96 standard errors on each side.

    An end is a quantile of 2,000 draws, which has a standard deviation of 0.06 standard errors;
    the mean over twenty figures that have nothing to do with each other, of 0.014. At a level of
    94% it would be 1.88, at 96% 2.05.
    """
    users, figures = 300, 20
    numbers = scipy.stats.norm.ppf((np.arange(users) + 0.5) / users)
    columns = [np.random.default_rng(seed).permutation(numbers) for seed in range(figures)]
    ends = [
        intervals.interval(np.stack([column, np.ones(users)], axis=1), ratio) for column in columns
    ]
    low, high = np.mean(ends, axis=0) / (numbers.std() / users**0.5)
    expected = scipy.stats.norm.ppf(0.975)
    assert -low == pytest.approx(expected, abs=0.05) and high == pytest.approx(expected, abs=0.05)


def test_a_ratio_of_two_models_on_the_same_users_is_paired():
    """Users differ a lot, the models' ratio does not: only a pairing sees that."""
    hits = np.random.default_rng(3).integers(1, 1000, 50).astype(float)
    low, high = intervals.interval(np.stack([1.1 * hits, hits], axis=1), ratio)
    assert low == pytest.approx(1.1) and high == pytest.approx(1.1)


def test_undefined_figures_have_no_interval():
    assert intervals.interval(np.ones([1, 2]), ratio) is None
    assert intervals.interval(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]), ratio) is None
