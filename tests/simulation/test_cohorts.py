import collections

import numpy as np
import pytest

from fedkeyboard.data.population import Population
from fedkeyboard.evaluation import scoring
from fedkeyboard.simulation.cohorts import Reader


@pytest.fixture
def reader(tiny_population, tiny_tokenizer):
    with Population.open(tiny_population) as population:
        yield Reader(population, tiny_tokenizer, length=10, seed=4)


def test_training_rows_are_a_draw_of_the_phones_sentences(reader):
    phone = max(reader.population.phones("train"), key=lambda p: len(reader.text(p).training))
    whole = collections.Counter(map(bytes, reader.text(phone).training))
    some = reader.training_rows(phone, 1, 6)
    assert some.shape == (6, 11)
    assert collections.Counter(map(bytes, some)) <= whole
    np.testing.assert_array_equal(some, reader.training_rows(phone, 1, 6))
    assert not np.array_equal(some, reader.training_rows(phone, 2, 6))
    everything = reader.training_rows(phone, 1, 10**6)
    assert collections.Counter(map(bytes, everything)) == whole


def test_validation_is_on_validation_users_and_always_the_same(reader):
    first, again = (reader.validation_rows(2, 7) for _ in range(2))
    users = {
        scoring.trimmed(reader.text(p).rows[:7]).tobytes()
        for p in reader.population.phones("validation")
    }
    assert [r.tobytes() for r in first] == [r.tobytes() for r in again]
    assert {scoring.trimmed(r).tobytes() for r in first} <= users
    assert len(reader.validation_rows(10**6, 7)) == len(reader.population.phones("validation"))
