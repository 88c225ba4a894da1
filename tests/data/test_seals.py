"""The hashes in a population file."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.data import seals

NUMBER = st.integers(0, 2**40)
LINES = st.lists(st.tuples(st.none() | st.floats(0, 1e10), st.text(max_size=9)), max_size=9)


@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=9))
def test_one_voice_has_the_hash_that_it_has_among_others(voices):
    of_all = seals.of_voices(*(np.array(values) for values in zip(*voices, strict=True)))
    assert of_all.tolist() == [seals.of_voice(*voice) for voice in voices]


@given(NUMBER, LINES, NUMBER, LINES)
def test_other_sentences_have_another_hash(number, lines, other, others):
    same = (number, lines) == (other, others)
    assert (seals.of_user(number, lines) == seals.of_user(other, others)) == same


def test_text_may_not_move_from_one_sentence_to_the_next():
    moved = (
        seals.of_user(1, [(None, "ab"), (None, "c")]),
        seals.of_user(1, [(None, "a"), (None, "bc")]),
    )
    assert moved[0] != moved[1]
    assert seals.of_user(1, []) != seals.of_user(2, [])
