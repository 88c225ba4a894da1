"""SplitMix64 against the numbers that its public implementations agree on."""

import numpy as np

from fedkeyboard import splitmix

SEED = 1234567
EXPECTED = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]


def test_the_generator_of_the_paper():
    states = [SEED + n * splitmix.GOLDEN for n in range(1, 5)]
    assert [splitmix.mixed_one(state) for state in states] == EXPECTED
    wrapped = np.array([state % 2**64 for state in states], np.uint64)
    assert splitmix.mixed(wrapped).tolist() == EXPECTED
