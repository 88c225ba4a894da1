"""What `verify` measures by: a bound that may be reached, and the clock."""

import math
import time

import pytest

from fedkeyboard.errors import RunFailure
from fedkeyboard.tflite_export import verify


def test_a_bound_may_be_reached_and_not_passed():
    verify._within(0.0, 0.5, "it")
    verify._within(0.5, 0.5, "it")
    for worst in (0.51, math.inf, math.nan):
        with pytest.raises(RunFailure, match="it is off by .* where 0.5 is allowed"):
            verify._within(worst, 0.5, "it")


def test_times_are_milliseconds():
    calls = []
    timing = verify._timed("file", "what", 5, lambda: calls.append(time.sleep(0.02)))
    assert (timing.file, timing.what, len(calls)) == ("file", "what", 6)  # The first is not timed.
    assert 20 <= timing.p50 <= timing.p99 and timing.p50 < 500
