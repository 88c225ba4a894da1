"""Subrounds and values that stay in the worker: what they compute is what TFF says it is."""

import asyncio
import collections
import gc
import logging

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.proto.v0 import executor_pb2

from fedkeyboard.runtime import context, executor
from fedkeyboard.runtime.session import tff_runtime

VECTOR = tff.TensorType(np.float32, [100])
DATA = tff.SequenceType(tff.TensorType(np.int32, [None, 3]))
STATE = tff.to_type(collections.OrderedDict(weights=VECTOR, rounds=np.int32))


@tff.tensorflow.computation(STATE, np.int32, np.float32)
def advance(state, total, mean):
    return collections.OrderedDict(
        weights=state["weights"] + tf.cast(total, tf.float32) + mean, rounds=state["rounds"] + 1
    )


@tff.tensorflow.computation(DATA)
def sum_of(data):
    return data.reduce(0, lambda total, rows: total + tf.reduce_sum(rows))


@tff.federated_computation(
    tff.FederatedType(STATE, tff.SERVER), tff.FederatedType(DATA, tff.CLIENTS)
)
def round_of(state, data):
    """A round in small: state and two aggregates in, state and metrics out."""
    sums = tff.federated_map(sum_of, data)
    total = tff.federated_sum(sums)
    mean = tff.federated_mean(
        tff.federated_map(
            tff.tensorflow.computation(lambda x: tf.cast(x, tf.float32), np.int32), sums
        )
    )
    return tff.federated_map(advance, (state, total, mean)), tff.federated_zip((total, mean))


@tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
def deviation(values):
    """A sum that needs another sum first."""
    mean = tff.federated_broadcast(tff.federated_mean(values))
    square = tff.tensorflow.computation(lambda x, m: tf.square(x - m), (np.float32, np.float32))
    return tff.federated_mean(tff.federated_map(square, (values, mean)))


@tff.tensorflow.computation(np.float32)
def double(x):
    return 2 * x


@tff.federated_computation(tff.FederatedType(np.float32, tff.SERVER))
def double_at_server(x):
    return tff.federated_map(double, x)


def initial():
    return collections.OrderedDict(weights=np.zeros(100, np.float32), rounds=np.int32(0))


def cohort(size, seed=0):
    generator = np.random.default_rng(seed)
    return [
        [generator.integers(0, 10, (generator.integers(0, 4), 3), np.int32)] for _ in range(size)
    ]


def expected(cohorts):
    weights = np.zeros(100, np.float32)
    for data in cohorts:
        sums = [np.sum(rows[0]) for rows in data]
        weights += np.sum(sums) + np.mean(sums)
    return weights, (np.sum(sums), np.mean(sums))


@pytest.fixture(scope="module")
def worker():
    with tff_runtime() as worker:
        yield worker


@pytest.mark.parametrize("sizes", [[3, 3], [32, 33, 32], [1, 47, 100, 23]])
def test_rounds_of_any_size_give_what_they_should(worker, sizes):
    cohorts = [cohort(size, seed) for seed, size in enumerate(sizes)]

    async def run():
        state = initial()
        for data in cohorts:
            state, metrics = round_of(state, data)
        return await tff.program.materialize_value((state, metrics))

    state, metrics = asyncio.run(run())
    weights, (total, mean) = expected(cohorts)
    np.testing.assert_allclose(state["weights"], weights, rtol=1e-6)
    assert state["rounds"] == len(sizes)
    assert metrics[0] == total
    assert metrics[1] == pytest.approx(mean, rel=1e-6)
    assert isinstance(state, collections.OrderedDict)


def calls(monkeypatch):
    """Counts the values that go to the worker and come back."""
    sent = collections.Counter()
    create, compute = executor.Executor._send, context.RemoteValue.compute
    create_value = tff.framework.RemoteExecutor.create_value

    async def counted_create(self, value, type_spec=None):
        if not isinstance(type_spec, tff.FunctionType):
            sent["created"] += 1
        return await create_value(self, value, type_spec)

    async def counted_compute(self):
        sent["fetched"] += 1
        return await compute(self)

    def counted_send(self, value, type_spec):
        sent["clients" if type_spec.placement is tff.CLIENTS else "moved"] += 1
        return create(self, value, type_spec)

    monkeypatch.setattr(executor.Executor, "_send", counted_send)
    monkeypatch.setattr(tff.framework.RemoteExecutor, "create_value", counted_create)
    monkeypatch.setattr(context.RemoteValue, "compute", counted_compute)
    return sent


def test_the_state_stays_in_the_worker(worker, monkeypatch):
    async def run():
        state, metrics = round_of(initial(), cohort(4))
        await tff.program.materialize_value(metrics)
        sent = calls(monkeypatch)
        for _ in range(3):
            state, metrics = round_of(state, cohort(4))
            await tff.program.materialize_value(metrics)
        assert dict(sent) == {"clients": 3, "fetched": 3}
        # Another number of clients is another executor's.
        state, metrics = round_of(state, cohort(5))
        await tff.program.materialize_value((metrics, state, state))
        assert dict(sent) == {"clients": 4, "fetched": 5, "moved": 1}

    asyncio.run(run())


@pytest.mark.parametrize("size", [2, 40])
def test_a_state_is_copied_after_some_rounds(worker, monkeypatch, size):
    async def run():
        sent, state, moved = calls(monkeypatch), initial(), []
        for _ in range(20):
            state, metrics = round_of(state, cohort(size))
            await tff.program.materialize_value(metrics)
            moved.append(sent["moved"])
        return moved, await tff.program.materialize_value(state)

    moved, state = asyncio.run(run())
    # Nothing else moves, since the subrounds of 40 are of one size.
    assert moved == [0] * 8 + [1] * 8 + [2] * 4
    np.testing.assert_allclose(state["weights"], expected([cohort(size)] * 20)[0], rtol=1e-5)


def test_parts_of_a_state_make_another(worker):
    async def run():
        (one, _), (other, _) = round_of(initial(), cohort(2)), round_of(initial(), cohort(40))
        mixed = collections.OrderedDict(weights=one["weights"], rounds=np.int32(40))
        state, _ = round_of(mixed, cohort(2))
        swapped, _ = round_of(other, cohort(2))
        return await tff.program.materialize_value((state, swapped))

    state, swapped = asyncio.run(run())
    np.testing.assert_allclose(state["weights"], expected([cohort(2)] * 2)[0], rtol=1e-6)
    assert state["rounds"] == 41
    np.testing.assert_allclose(swapped["weights"], expected([cohort(40), cohort(2)])[0], rtol=1e-6)


def test_sums_that_depend_on_each_other_run_whole(worker, caplog):
    values = [float(i) for i in range(40)]

    async def run():
        return await tff.program.materialize_value([deviation(values), deviation(values[:20])])

    with caplog.at_level(logging.WARNING, "fedkeyboard"):
        assert asyncio.run(run()) == pytest.approx([np.var(values), np.var(values[:20])])
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "whole" in caplog.text


def test_an_error_is_raised_wherever_its_result_is_used(worker):
    bad = [*cohort(40), [np.zeros([2, 4], np.int32)]]

    async def run():
        state, metrics = round_of(initial(), bad)
        after, _ = round_of(state, cohort(3))
        for value in (metrics, state, after):
            with pytest.raises(Exception, match="4"):
                await tff.program.materialize_value(value)
        state, _ = round_of(initial(), cohort(3))
        assert (await tff.program.materialize_value(state))["rounds"] == 1

    asyncio.run(run())


def test_who_no_longer_waits_leaves_the_value_to_others(worker):
    async def run():
        result = double_at_server(np.float32(4))
        waiting = asyncio.create_task(result.get_value())
        await asyncio.sleep(0)
        waiting.cancel()
        assert await result.get_value() == 8

    asyncio.run(run())


def test_nobody_complains_of_an_error_that_nobody_waited_for(worker):
    """As when another of the values that are fetched together has failed already."""
    complaints = []

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        state, metrics = round_of(initial(), [[np.zeros([2, 4], np.int32)]])
        waiting = asyncio.create_task(metrics[0].get_value())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(Exception, match="4"):
            await tff.program.materialize_value(state)
        with pytest.raises(Exception, match="4"):
            await metrics[0].get_value()
        del state, metrics, waiting
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(run())
    assert complaints == []


def test_values_for_different_numbers_of_clients(worker):
    both = tff.federated_computation(
        lambda a, b: tff.federated_sum(tff.federated_map(double, a)),
        [tff.FederatedType(np.float32, tff.CLIENTS)] * 2,
    )

    async def run():
        await tff.program.materialize_value(both([1.0, 2.0], [1.0]))

    with pytest.raises(ValueError, match="different numbers of clients"):
        asyncio.run(run())


def test_a_result_at_the_clients_is_refused(worker):
    at_clients = tff.federated_computation(
        lambda x: tff.federated_map(double, x), tff.FederatedType(np.float32, tff.CLIENTS)
    )
    with pytest.raises(ValueError, match="must be at the server"):
        at_clients([1.0])


@pytest.mark.parametrize("clients", [*range(33, 140), 997, 1000])
def test_subrounds_cover_the_cohort_in_few_sizes(clients):
    subrounds = context._subrounds(clients)
    assert [i for s in subrounds for i in range(s.start, s.stop)] == list(range(clients))
    sizes = {s.stop - s.start for s in subrounds}
    assert max(sizes) <= 32
    assert len(sizes) <= 2
    assert len(subrounds) < 2 * -(-clients // 32)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_data_is_written_as_tff_would(rows):
    """The worker gets a data set of the same elements as from TFF's own serialisation."""
    array = np.arange(3 * rows, dtype=np.int32).reshape(rows, 3)
    written = executor._one_array_each([[array]], tff.FederatedType(DATA, tff.CLIENTS))
    own, _ = tff.framework.serialize_value([[array]], tff.FederatedType(DATA, tff.CLIENTS))
    assert written.federated.type == own.federated.type
    assert isinstance(written, executor_pb2.Value)
    ours, theirs = (
        tf.raw_ops.DatasetFromGraph(graph_def=v.federated.value[0].sequence.serialized_graph_def)
        for v in (written, own)
    )
    for variant in (ours, theirs):
        spec = tf.TensorSpec([rows, 3], tf.int32)
        elements = list(tf.data.experimental.from_variant(variant, spec).as_numpy_iterator())
        assert len(elements) == 1
        np.testing.assert_array_equal(elements[0], array)
