"""What several tests share: pieces of words; a tiny model, three phones, rounds of them."""

import logging

import numpy as np
import pytest
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.text import subwords


@pytest.fixture(scope="session")
def sizes():
    return model.Sizes(vocabulary=300, embedding=6, units=9, length=8)


@pytest.fixture(scope="session")
def initial(sizes):
    return model.initial_weights(sizes, 1)


@pytest.fixture(scope="session")
def phones(tiny_texts, tiny_tokenizer, sizes):
    """The sentences of three users, one of whom wrote much."""
    users = sorted(tiny_texts, key=len)
    return [tiny_tokenizer.rows(user, sizes.length) for user in (users[0], users[-1], users[1])]


@pytest.fixture
def run_rounds(in_tff, caplog):
    """Returns the weights after `count` rounds with the same client data, and each one's metrics.

    A large cohort must run in subrounds.
    """

    async def rounds(process, data, count):
        state, metrics = process.initialize(), []
        for _ in range(count):
            output = process.next(state, data)
            state = output.state
            metrics.append(await tff.program.materialize_value(output.metrics))
        weights = process.get_model_weights(await tff.program.materialize_value(state))
        return model.Weights(*(await tff.program.materialize_value(weights)).trainable), metrics

    def run(process, data, count):
        result = in_tff(lambda: rounds(process, data, count))
        assert not [r for r in caplog.records if r.name == "fedkeyboard"], caplog.text
        return result

    caplog.set_level(logging.WARNING)
    return run


@pytest.fixture
def assert_same_movement(initial):
    """Asserts that all weights moved from the initial ones, and to the same place."""

    def compare(ours, theirs, share):
        for field, mine, other, first in zip(
            model.Weights._fields, ours, theirs, initial, strict=True
        ):
            moved = np.abs(other - first).max()
            assert moved > 1e-5, f"{field} did not train"
            error = np.abs(np.subtract(mine, other)).max()
            # The last digit of a float32 below 1 is not held against a small movement.
            assert error <= share * moved + 1e-7, f"{field}: {error / moved:.1e} of the movement"

    return compare


@pytest.fixture(scope="session", params=["bpe", "unigram"])
def tiny_subwords(request, tiny_texts):
    """A vocabulary of pieces of each kind, with that of as many words beside it."""
    return subwords.learn(tiny_texts, kind=request.param, vocabulary_size=300, minimum_users=2)
