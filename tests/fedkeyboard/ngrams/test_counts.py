import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.ngrams import counts
from fedkeyboard.text.tokenizer import BEGIN, END, PAD

VOCABULARY = 9
messages = st.lists(st.integers(END + 1, VOCABULARY - 1), max_size=5)
users = st.lists(st.lists(messages, max_size=4), max_size=6)


def as_rows(said):
    rows = [[BEGIN, *message, END] for message in said]
    width = max(map(len, rows), default=2)
    return np.array([[*row, *[PAD] * (width - len(row))] for row in rows] or [[PAD] * 2], np.int32)


def written(said, length):
    """The n-grams of a user's messages, over tuples."""
    rows = [(BEGIN, *message, END) for message in said]
    return [row[i : i + length] for row in rows for i in range(len(row) - length + 1)]


def as_tuples(counted):
    """What was counted: of each n-gram the times and the users."""
    trie = counted.trie
    ngrams = [(word,) for word in range(VOCABULARY)]
    found = {}
    for length in range(2, trie.order + 1):
        nodes, words = np.divmod(trie.keys[length - 2], VOCABULARY)
        ngrams = [(*ngrams[node], word) for node, word in zip(nodes, words.tolist(), strict=True)]
        of = zip(
            counted.counts[length - 1].tolist(), counted.users[length - 2].tolist(), strict=True
        )
        found |= dict(zip(ngrams, of, strict=True))
    return found


def by_hand(users, order, minimum_users):
    found = {}
    for length in range(2, order + 1):
        times = collections.Counter(n for said in users for n in written(said, length))
        whose = collections.Counter(n for said in users for n in set(written(said, length)))
        found |= {n: (times[n], whose[n]) for n in times if whose[n] >= minimum_users}
    return found


@given(users, st.integers(2, 5), st.integers(1, 3))
def test_what_enough_users_wrote_is_counted(users, order, minimum_users):
    counted = counts.count(map(as_rows, users), VOCABULARY, order, minimum_users)
    assert as_tuples(counted) == by_hand(users, order, minimum_users)
    words = collections.Counter(n for said in users for n in written(said, 1))
    assert counted.counts[0].tolist() == [words[(i,)] for i in range(VOCABULARY)]


@given(users, st.integers(1, 2), st.integers(1, 4))
def test_what_more_users_wrote_is_what_is_left(users, minimum_users, more):
    counted = counts.count(map(as_rows, users), VOCABULARY, 4, minimum_users)
    left = counted.of_users(more)
    assert as_tuples(left) == by_hand(users, 4, max(minimum_users, more))
    assert left.minimum_users == max(minimum_users, more)


def test_an_ngram_ends_with_its_message():
    """The second message's words do not follow the first's."""
    counted = counts.count([as_rows([[5, 6], [7]])], VOCABULARY, 4, 1)
    assert all(END not in ngram[:-1] and BEGIN not in ngram[1:] for ngram in as_tuples(counted))


@pytest.mark.parametrize("seed", range(3))
def test_a_user_counts_once_whatever_they_wrote(seed):
    generator = np.random.default_rng(seed)
    loud = [generator.integers(END + 1, VOCABULARY, 8).tolist()] * 1000
    counted = counts.count(map(as_rows, [loud, [[5]]]), VOCABULARY, 3, 2)
    assert set(as_tuples(counted)) <= {(BEGIN, 5), (5, END), (BEGIN, 5, END)}
