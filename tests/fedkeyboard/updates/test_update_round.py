"""A round of updates that phones brought, against NumPy's mean of them."""

import numpy as np
import pytest
import tensorflow_federated as tff

from fedkeyboard import model
from fedkeyboard.algorithms import schedules, server_optimizers, templates
from fedkeyboard.updates import update_file, update_round

SIZES = model.Sizes(vocabulary=12, embedding=3, units=4, length=5)
SAID = {
    "purpose": "update", "weights_sha256": "1" * 64, "vocabulary_sha256": "2" * 64,
    "sentences": 7, "steps": 2, "learning_rate": 0.5, "clipping_norm": 2.0, "batch_size": 4,
    "epochs": 1,
}  # fmt: skip


def update(seed, weight):
    generator = np.random.default_rng(seed)
    shapes = model.weight_shapes(SIZES)
    difference = model.Weights(*(generator.normal(size=s).astype(np.float32) for s in shapes))
    return update_file.Update(difference, update_file.Metadata(**SAID, weight=weight))


def test_a_vector_is_all_numbers_and_the_weight():
    made = update(1, 3.0)
    vector = update_round.vector(made)
    assert vector.dtype == np.float32 and vector[-1] == 3
    assert vector[:-1].tolist() == [n for array in made.difference for n in array.ravel()]


@pytest.mark.parametrize("schedule", [None, schedules.schedule(0.5, warmup_rounds=2)])
def test_the_weights_move_by_the_weighted_mean(in_tff, schedule):
    initial = model.initial_weights(SIZES, 4)
    updates = [update(1, 1.0), update(2, 3.0), update(3, 0.5)]
    process = update_round.learning_process(
        initial, optimizer=server_optimizers.build("sgd", 0.5), schedule=schedule
    )

    async def one_round():
        data = [templates.phone_data(update_round.vector(each)) for each in updates]
        output = process.next(process.initialize(), data)
        state = await tff.program.materialize_value(output.state)
        measured = await tff.program.materialize_value(output.metrics)
        found = process.get_model_weights(state)
        return (await tff.program.materialize_value(found)).trainable, measured

    found, measured = in_tff(one_round)
    for mine, first, *parts in zip(
        found, initial, *(each.difference for each in updates), strict=True
    ):
        expected = first + 0.5 * np.average(parts, axis=0, weights=[1, 3, 0.5])
        np.testing.assert_allclose(mine, expected, atol=1e-6)
    assert measured["client_work"]["weight"] == pytest.approx(4.5)
