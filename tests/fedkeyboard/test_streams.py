"""No two streams of random numbers coincide."""

import ast
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard import streams
from fedkeyboard.streams import Stream

NUMBER = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**64 - 1])
PLACES = st.tuples(NUMBER, st.sampled_from(list(Stream)), st.lists(NUMBER, max_size=3).map(tuple))


def first(place):
    seed, stream, numbers = place
    return streams.generator(seed, stream, *numbers).integers(0, 2**63, 4).tolist()


@given(PLACES, PLACES)
def test_two_places_have_two_streams(one, other):
    assert (first(one) == first(other)) == (one == other)


def test_zeros_at_the_end_count():
    """As they do not for NumPy alone."""
    alike = [np.random.default_rng(of).random() for of in ([0, 2], [0, 2, 0])]
    assert alike[0] == alike[1]
    of_streams = [first((0, Stream.VALIDATION, numbers)) for numbers in ((), (0,), (0, 0))]
    assert len(set(map(tuple, of_streams))) == 3
    # One number of two words is not two of one.
    assert first((0, Stream.FLEET, (5 + 7 * 2**32, 3))) != first((0, Stream.FLEET, (5, 7, 3)))


def test_numbers_beyond_64_bits_are_refused():
    for seed, number in ((-1, 0), (2**64, 0), (0, -1), (0, 2**64)):
        with pytest.raises(ValueError, match="not from 0"):
            streams.generator(seed, Stream.FLEET, number)


def test_nobody_draws_otherwise():
    """A new stream that is not in the registry may be another's."""
    root = pathlib.Path(__file__).parents[2]
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for package in ("benchmarks", "data", "fedkeyboard", "simulation", "tflite_export")
        for path in sorted((root / package).rglob("*.py"))
        if path.name != "streams.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("default_rng", "RandomState", "SeedSequence")
    ]
    assert not found
