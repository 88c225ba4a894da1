"""What is not finite, and what is left of the mean without it; of a value of two arrays."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard.aggregators import mean

WEIGHTS = [1.0, 3.0, 2.0]


@pytest.fixture(scope="module")
def aggregated(in_tff):
    """Returns a function of values and weights: their aggregate, and how many were rejected."""
    value = tff.to_type(
        collections.OrderedDict(
            matrix=tff.TensorType(np.float32, [2, 3]), bias=tff.TensorType(np.float32, [4])
        )
    )
    process = mean.factory().create(value, tff.TensorType(np.float32))

    async def aggregate(values, weights):
        output = process.next(process.initialize(), values, weights)
        return await tff.program.materialize_value((output.result, output.measurements))

    def of(values, weights=WEIGHTS):
        result, measured = in_tff(
            lambda: aggregate(values, [np.float32(weight) for weight in weights])
        )
        return tf.nest.map_structure(np.asarray, dict(result)), int(measured["rejected"])

    return of


@pytest.fixture
def values():
    generator = np.random.default_rng(0)
    return [
        collections.OrderedDict(
            matrix=generator.normal(size=[2, 3]).astype(np.float32),
            bias=generator.normal(size=4).astype(np.float32),
        )
        for _ in WEIGHTS
    ]


def assert_mean(result, values, weights):
    for name, array in result.items():
        expected = np.average([value[name] for value in values], axis=0, weights=weights)
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6)


def test_finite_values_are_all_in_the_mean(aggregated, values):
    result, rejected = aggregated(values)
    assert rejected == 0
    assert_mean(result, values, WEIGHTS)


@pytest.mark.parametrize(
    ("name", "at", "number"),
    [("matrix", (1, 2), np.nan), ("bias", 0, np.inf), ("bias", 3, -np.inf)],
)
def test_a_value_with_one_number_that_is_not_finite_is_left_out(
    aggregated, values, name, at, number
):
    kept, weights = values[:1] + values[2:], [WEIGHTS[0], WEIGHTS[2]]
    values[1][name][at] = number
    result, rejected = aggregated(values)
    assert rejected == 1
    assert_mean(result, kept, weights)


def test_a_weight_that_is_not_finite_leaves_its_value_out(aggregated, values):
    result, rejected = aggregated(values, [1.0, np.nan, 2.0])
    assert rejected == 1
    assert_mean(result, values[:1] + values[2:], [1.0, 2.0])


def test_if_none_is_finite_the_mean_is_zero(aggregated, values):
    for value in values:
        value["bias"][2] = np.nan
    result, rejected = aggregated(values)
    assert rejected == 3
    assert all(np.all(array == 0) for array in result.values())
