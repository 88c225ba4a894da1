import collections
import dataclasses

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


def test_training_rows_are_of_all_of_a_long_history(reader):
    """Each of a phone's messages as often as any other; the first ones shuffled are not that."""
    reader = dataclasses.replace(reader, length=60)
    phone = max(reader.population.phones("train"), key=lambda p: len(reader.text(p).training))
    history = [row.tobytes() for row in reader.text(phone).training]
    assert len(history) == len(reader.population.sentences(phone)) > 30  # A row a message.
    rounds, at_most = 400, 6
    drawn = collections.Counter(
        row.tobytes() for i in range(rounds) for row in reader.training_rows(phone, i, at_most)
    )
    share = at_most / len(history)
    for row, times in collections.Counter(history).items():
        expected = rounds * share * times
        # Five standard deviations of a binomial count; drawn without replacement it varies less.
        assert abs(drawn[row] - expected) < 5 * (expected * (1 - share)) ** 0.5


def test_training_rows_are_shuffled_by_seed_round_and_phone(reader):
    reader = dataclasses.replace(reader, length=60)

    def order(of, phone, round_number):
        """In which order a phone's messages come, all of which differ."""
        place = {row.tobytes(): i for i, row in enumerate(of.text(phone).training)}
        return tuple(place[row.tobytes()] for row in of.training_rows(phone, round_number, 1000))

    by_length = collections.defaultdict(list)
    for phone in reader.population.phones("train"):
        rows = reader.text(phone).training
        if len({row.tobytes() for row in rows}) == len(rows):
            by_length[len(rows)].append(phone)
    length, (one, other, *_) = max((n, phones) for n, phones in by_length.items() if phones[1:])
    assert length > 10
    orders = [
        tuple(range(length)),
        order(reader, one, 1),
        order(reader, one, 2),
        order(reader, other, 1),
        order(dataclasses.replace(reader, seed=5), one, 1),
    ]
    assert len(set(orders)) == 5 and len(set(map(frozenset, orders))) == 1


def test_validation_is_on_validation_users_and_always_the_same(reader):
    first, again = (reader.validation_rows(2, 7) for _ in range(2))
    users = {
        scoring.trimmed(reader.text(p).rows[:7]).tobytes()
        for p in reader.population.phones("validation")
    }
    assert [r.tobytes() for r in first] == [r.tobytes() for r in again]
    assert {scoring.trimmed(r).tobytes() for r in first} <= users
    everybody = range(len(reader.population.phones("validation")))
    drawn = collections.Counter(
        rows.tobytes()
        for seed in range(50)
        for rows in dataclasses.replace(reader, seed=seed).validation_rows(1, 7)
    )
    # Not always the first: who of n is not drawn in 50 seeds has the chance (1 - 1 / n)^50.
    assert len(drawn) > len(everybody) / 2
    # Nobody twice.
    everyone = collections.Counter(
        scoring.trimmed(reader.text(p).rows[:7]).tobytes()
        for p in reader.population.phones("validation")
    )
    assert everyone == collections.Counter(
        scoring.trimmed(rows).tobytes() for rows in reader.validation_rows(10**6, 7)
    )
    assert len(reader.validation_rows(10**6, 7)) == len(reader.population.phones("validation"))
