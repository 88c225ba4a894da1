"""The hashes in a population file; made again as the format has them, since files last."""

import hashlib
import math
import struct

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


def splitmix(number):
    """SplitMix64's finalizer (Steele, Lea and Flood 2014), in Python's integers."""
    number &= 2**64 - 1
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & 2**64 - 1
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & 2**64 - 1
    return number ^ (number >> 31)


@given(st.tuples(NUMBER, NUMBER, NUMBER))
def test_the_hash_of_a_voice(voice):
    mixed = 0
    for value in voice:
        mixed = splitmix(mixed * 0x9E3779B97F4A7C15 + value)
    assert seals.of_voice(*voice) == mixed % 2**24


@given(NUMBER, LINES)
def test_the_hash_of_a_user(number, lines):
    content = struct.pack("<q", number)
    content += b"".join(struct.pack("<q", len(text)) for _, text in lines)
    content += b"".join(struct.pack("<d", math.nan if t is None else t) for t, _ in lines)
    content += b"".join(text.encode() for _, text in lines)
    seal = seals.of_user(number, lines)
    assert seal == hashlib.blake2b(content, digest_size=16).digest()
    row = struct.pack("<q", number) + struct.pack("<q", len(lines)) + seal
    expected = hashlib.blake2b(row, digest_size=4).digest()
    assert seals.of_row(number, len(lines), seal) == expected


def test_the_hash_of_a_description():
    said = {"seed": 1, "a": [1.5, None]}
    expected = hashlib.sha256(b'{"a": [1.5, null], "seed": 1}').hexdigest()
    assert seals.of_meta(said) == seals.of_meta(said | {"sha256": "x"}) == expected
