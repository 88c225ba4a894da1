"""Every stream of random numbers, by one registry, so that no two coincide.

A seed gives as many independent streams as there are names here and numbers to tell their parts
apart (a round, a phone). NumPy's own way, `default_rng([seed, 3, n])`, leaves it to each caller
that nobody else takes the 3, and drops zeros at the end: `[0, 2]` and `[0, 2, 0]` are one stream.

Two more kinds of random numbers follow from hashes of their own: a phone's traits
(`fedkeyboard.simulation.fleet.habits`) and dropout (`fedkeyboard.model.Dropout`).
"""

import enum

import numpy as np

_WORD = 32
_WORDS = 2  # Of a number.


class Stream(enum.IntEnum):
    """What is drawn. A number that was given once is never given to another stream."""

    SPLITS = 1
    """Who is held out, and under which number: `fedkeyboard.data.prepare`."""
    VOICE_USERS = 2
    """Whose voice each virtual phone is, a block of phones at a time: `fedkeyboard.data.voices`."""
    VOICE_SHARES = 3
    """How much of the user's text it has; the same blocks."""
    VOICE_POSITIONS = 4
    """Which sentences, by phone: `fedkeyboard.data.population`."""
    STATISTICS = 5
    """Which users are read, and how sentences are dealt: `fedkeyboard.data.statistics`."""
    INITIAL_WEIGHTS = 6
    """`fedkeyboard.model`."""
    SENTENCES = 7
    """What a phone trains on, by round and phone: `fedkeyboard.simulation.cohorts`."""
    VALIDATION = 8
    """On whom a run validates: `fedkeyboard.simulation.cohorts`."""
    FLEET = 9
    """What happens in an attempt at a round: `fedkeyboard.simulation.fleet.fleet`."""
    FLEET_SAMPLE = 10
    """The phones by which a server knows its fleet: `fedkeyboard.simulation.fleet.fleet`."""
    CENTRAL = 11
    """The order of an epoch: `fedkeyboard.evaluation.central_training`."""
    TRIALS = 12
    """A sweep's draws, by trial: `fedkeyboard.simulation.tuning.trials`."""
    BOOTSTRAP = 13
    """Users of an interval: `fedkeyboard.evaluation.intervals`."""
    SUBWORDS = 14
    """The order of the words that pieces are learned from: `fedkeyboard.text.subwords`."""
    BENCHMARKS = 15
    """Phones and cases of a benchmark, by number."""


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """Returns the generator of a stream, from its beginning.

    Args:
      seed: From 0 to 2**64 - 1.
      stream: What is drawn.
      numbers: Which part of it, from 0 to 2**64 - 1 each.

    Raises:
      ValueError: For other numbers.
    """
    return np.random.default_rng(sequence(seed, stream, *numbers))


def sequence(seed: int, stream: Stream, *numbers: int) -> np.random.SeedSequence:
    """Returns what the generator is seeded by; the same arguments and errors."""
    # Words of 32 bits, as many of each number: NumPy takes them as they are, and drops none.
    key = [int(stream), *(word for number in numbers for word in _words(number))]
    return np.random.SeedSequence(_words(seed), spawn_key=key)


def _words(number: int) -> list[int]:
    number = int(number)
    if not 0 <= number < 1 << (_WORD * _WORDS):
        raise ValueError(f"{number} is not from 0 to 2**64 - 1")
    return [number >> (_WORD * i) & ((1 << _WORD) - 1) for i in range(_WORDS)]
