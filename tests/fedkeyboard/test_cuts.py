from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard import cuts


@given(st.integers(1, 500), st.integers(1, 60))
def test_slices_cover_a_length_and_are_as_equal_as_can_be(length, count):
    parts = cuts.slices(length, count)
    assert [i for part in parts for i in range(length)[part]] == list(range(length))
    lengths = cuts.lengths(parts)
    assert len(lengths) == count and max(lengths) - min(lengths) <= 1
