"""TFF's real worker: it computes, or says why not."""

import asyncio
import contextlib
import gc
import os
import pathlib
import signal
import threading

import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.proto.v0 import executor_pb2
from tff_workers import (
    AT_MOST,
    add,
    endless,
    endless_at_clients,
    own_workers,
    run,
    total,
    until,
)

from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.runtime.executor import Executor
from fedkeyboard.runtime.session import tff_runtime

# Nothing may be left that complains when Python collects it, after the worker's end.
pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnraisableExceptionWarning",
    "error::pytest.PytestUnhandledThreadExceptionWarning",
)


# --- in this process -----------------------------------------------------------------------------


def test_sums_keep_values_and_leave_no_worker():
    inheritable, other_end = os.pipe()
    os.set_inheritable(inheritable, True)
    stack = tff.framework.get_context_stack()
    before = stack.current
    with tff_runtime(concurrent_clients=2) as worker:
        assert run(total, [1, 2, 3]) == 6

        async def two_rounds():
            # The first round's result is a reference when it goes into the second.
            return await tff.program.materialize_value(add(add(10, [1, 2]), [3, 4, 5]))

        assert asyncio.run(two_rounds()) == 25
        assert run(total, list(range(100))) == 4950

        assert own_workers() == [worker.pid]
        assert "--max_concurrent_computation_calls=2" in psutil.Process(worker.pid).cmdline()
        assert os.getsid(worker.pid) == worker.pid  # A terminal's Ctrl-C does not reach it.
        opened = {
            path.name: os.readlink(path)
            for path in pathlib.Path(f"/proc/{worker.pid}/fd").iterdir()
        }
        assert opened["0"] == opened["1"] == "/dev/null"
        assert opened["2"].endswith("(deleted)")
        assert os.readlink(f"/proc/self/fd/{inheritable}") not in opened.values()
    os.close(inheritable)
    os.close(other_end)
    assert stack.current is before
    assert not psutil.pid_exists(worker.pid)

    # Once more, in a block that fails.
    with pytest.raises(ZeroDivisionError), tff_runtime() as second:
        assert second.pid != worker.pid
        assert run(total, [4, 5]) == 9
        raise ZeroDivisionError
    assert stack.current is before
    assert not psutil.pid_exists(second.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_fails_the_run_at_once_and_for_good(number, tmp_path):
    begun = tmp_path / "begun"
    with tff_runtime() as worker:
        assert run(total, [1, 2, 3]) == 6  # An executor with values, which the death makes stale.

        def kill():
            until(begun.exists)
            os.kill(worker.pid, number)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(RunFailure) as failure:
            run(endless, begun)
        killer.join()
        message = str(failure.value)
        assert f"worker died ({number.name}" in message
        assert "--resume" in message
        assert ("memory" in message) == (number == signal.SIGKILL)
        assert "\n" not in message
        with pytest.raises(RunFailure, match="worker died"):
            run(total, [1, 2, 3])
        assert own_workers() in ([], [worker.pid])  # psutil may still see the dead one.
    with tff_runtime():  # A new runtime is not touched by the old one's death.
        assert run(total, [1, 2, 3]) == 6


def test_an_error_of_the_computation_is_raised_as_it_is():
    @tff.tensorflow.computation(np.int32)
    def checked(x):
        with tf.control_dependencies([tf.debugging.assert_equal(x, 1, message="not one")]):
            return tf.identity(x)

    with tff_runtime():
        with pytest.raises(Exception, match="not one") as error:
            run(checked, 2)
        assert not isinstance(error.value, RunFailure)
        assert run(checked, 1) == 1


def test_a_call_that_tff_would_retry_for_ever_fails():
    async def lose_executor():
        await tff.program.materialize_value(total([1, 2]))
        # Behind the back of Python's executor the worker forgets it.
        executor = tff.framework.get_context_stack().current._executor(2)
        executor._stub.dispose_executor(
            executor_pb2.DisposeExecutorRequest(executor=executor._executor_id)
        )
        await asyncio.wait_for(tff.program.materialize_value(total([1, 2])), AT_MOST)

    with tff_runtime(), pytest.raises(RunFailure, match="refused a call: .*[Ee]xecutor"):
        asyncio.run(lose_executor())


@pytest.mark.parametrize("clients", [None, 3, 40])  # In subrounds from 33 on.
def test_a_computation_can_be_abandoned_and_the_block_left(clients, tmp_path, caplog):
    begun = tmp_path / "begun"

    async def abandon():
        result = endless(begun) if clients is None else endless_at_clients(begun, clients)
        waiting = asyncio.create_task(tff.program.materialize_value(result))
        while not begun.exists():
            await asyncio.sleep(0.02)
        waiting.cancel()
        await waiting

    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(asyncio.CancelledError))
        worker = stack.enter_context(tff_runtime())
        # Only so that an event loop that is blocked fails the test instead of stopping it.
        rescue = threading.Timer(AT_MOST, psutil.Process(worker.pid).kill)
        rescue.start()
        asyncio.run(abandon())
    assert rescue.is_alive()
    rescue.cancel()
    gc.collect()
    assert not caplog.records  # Nor does asyncio complain of errors that nobody looked at.


@pytest.mark.heavy
def test_cohorts_of_ever_other_sizes_do_not_fill_the_worker(monkeypatch):
    closed, close = [], Executor.close
    monkeypatch.setattr(Executor, "close", lambda self: (closed.append(1), close(self)))
    vector = tff.TensorType(np.float32, [1_000_000])

    @tff.federated_computation(
        tff.FederatedType(vector, tff.SERVER), tff.FederatedType(np.int32, tff.CLIENTS)
    )
    def update(weights, values):
        increment = tff.tensorflow.computation(
            lambda w, total: w + tf.cast(total, tf.float32), (vector, np.int32)
        )
        return tff.federated_map(increment, tff.federated_zip((weights, tff.federated_sum(values))))

    with tff_runtime() as worker:
        weights, resident = np.zeros(1_000_000, np.float32), []
        for size in range(1, 46):
            weights = run(update, weights, [1] * size)
            resident.append(psutil.Process(worker.pid).memory_info().rss)
        gc.collect()
        # Sizes to 16 have an executor each; those above share subrounds of 9 to 16.
        assert len(closed) >= 16 - 4
    assert weights[0] == sum(range(1, 46))
    # TFF alone keeps more than 8 MB of each of the 30 rounds.
    assert resident[-1] - resident[14] < 100e6


def test_threads_sizes_the_pool_of_an_operation():
    def threads_of_worker(threads):
        with tff_runtime(threads=threads) as worker:
            run(total, [1, 2, 3])
            return psutil.Process(worker.pid).num_threads()

    # gRPC's own threads come and go, a few of them.
    assert threads_of_worker(41) - threads_of_worker(1) >= 30


@pytest.mark.parametrize("name", ["concurrent_clients", "threads"])
@pytest.mark.parametrize("number", [0, 1025, 10**9, 10**30])
def test_numbers_that_no_machine_has(name, number):
    with pytest.raises(UserError, match=f"runtime.{name}: {number} given, must be 1 to 1024"):
        tff_runtime(**{name: number}).__enter__()


def test_the_largest_numbers_allowed_compute():
    with tff_runtime(concurrent_clients=1024, threads=1024):
        assert run(total, list(range(40))) == 780
