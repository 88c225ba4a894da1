"""TFF's real worker: it computes, and it ends in whatever way its parent ends.

Parents that die are processes of their own. They are forked from one that has imported TFF, since
importing takes seconds; none of them shares a worker.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.proto.v0 import executor_pb2

from fedkeyboard import runtime
from fedkeyboard import worker as workers
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.executor import Executor
from fedkeyboard.runtime import tff_runtime

# Nothing may be left that complains when Python collects it, after the worker's end.
pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnraisableExceptionWarning",
    "error::pytest.PytestUnhandledThreadExceptionWarning",
)

REPOSITORY = pathlib.Path(runtime.__file__).parents[1]


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def total(values):
    return tff.federated_sum(values)


@tff.federated_computation(
    tff.FederatedType(np.int32, tff.SERVER), tff.FederatedType(np.int32, tff.CLIENTS)
)
def add(state, values):
    return tff.federated_map(
        tff.tensorflow.computation(lambda a, b: a + b, (np.int32, np.int32)),
        tff.federated_zip((state, tff.federated_sum(values))),
    )


@tff.tensorflow.computation
def endless():
    """Waits for an element of a queue that nobody fills; takes no CPU from the other tests."""
    return tf.queue.FIFOQueue(1, tf.int32, shapes=[[]]).dequeue()


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def endless_at_clients(values):
    wait = tff.tensorflow.computation(
        lambda x: x + tf.queue.FIFOQueue(1, tf.int32, shapes=[[]]).dequeue(), np.int32
    )
    return tff.federated_sum(tff.federated_map(wait, values))


def run(computation, *arguments):
    async def value():
        return await tff.program.materialize_value(computation(*arguments))

    # A retry without end should fail a test, not stop it.
    return asyncio.run(asyncio.wait_for(value(), 20))


def own_workers():
    children = psutil.Process().children()
    return [child.pid for child in children if child.name() == "worker_binary"]


def is_gone(pid, seconds=2.0):
    """Whether process `pid` ends within `seconds`; a zombie has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def accepts(address, port):
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def own_addresses():
    """The addresses of this machine that others could use, those of link-local scope excepted."""
    return [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
        and not entry.address.startswith(("127.", "::1", "fe80"))
    ]


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


def test_no_address_but_loopback():
    with tff_runtime() as worker:
        listening = [
            c.laddr
            for c in psutil.Process(worker.pid).net_connections("tcp")
            if c.status == psutil.CONN_LISTEN
        ]
        assert {address.port for address in listening} == {worker.port}
        assert {address.ip for address in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
        assert accepts("127.0.0.1", worker.port)
        assert not any(accepts(address, worker.port) for address in own_addresses())


@pytest.mark.parametrize("trouble", ["no compiler", "compiler fails", "library is no library"])
def test_without_the_preloaded_library_it_runs_and_warns(trouble, tmp_path, monkeypatch, caplog):
    if trouble == "library is no library":
        # The warning must come from what the worker does, not from whether there was a file.
        library = workers._preloaded_library().name
        (tmp_path / "cache/fedkeyboard").mkdir(parents=True)
        (tmp_path / "cache/fedkeyboard" / library).write_bytes(b"not ELF")
    else:
        (tmp_path / "bin").mkdir()
        if trouble == "compiler fails":
            (tmp_path / "bin/cc").write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / "bin/cc").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with caplog.at_level(logging.WARNING, "fedkeyboard"), tff_runtime() as worker:
        assert run(total, [1, 2, 3]) == 6
        addresses = own_addresses()
        assert [accepts(address, worker.port) for address in addresses] == [True] * len(addresses)
    (record,) = caplog.records
    assert record.name == "fedkeyboard"
    assert f"listens on all addresses (port {worker.port})" in record.getMessage()
    assert "apt install gcc" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_the_preloaded_library_is_built_once_and_from_any_directory(tmp_path, monkeypatch, caplog):
    # LD_PRELOAD splits at blanks and colons.
    cache = tmp_path / "Jane Doe: $HOME"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with tff_runtime() as worker:
        assert not any(accepts(address, worker.port) for address in own_addresses())
    (library,) = (cache / "fedkeyboard").iterdir()
    first = library.stat()
    with tff_runtime():
        pass
    assert (library.stat().st_ino, library.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert not caplog.records


def test_a_worker_that_dies_fails_the_run_at_once_and_for_good():
    with tff_runtime() as worker:
        assert run(total, [1, 2, 3]) == 6  # An executor with values, which the death makes stale.
        threading.Timer(0.5, os.kill, (worker.pid, signal.SIGKILL)).start()
        began = time.monotonic()
        with pytest.raises(RunFailure) as failure:
            run(endless)
        assert 0.4 < time.monotonic() - began < 5
        message = str(failure.value)
        assert "worker died (SIGKILL" in message
        assert "--resume" in message
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
        await asyncio.wait_for(tff.program.materialize_value(total([1, 2])), 20)

    with tff_runtime(), pytest.raises(RunFailure, match="refused a call: .*[Ee]xecutor"):
        asyncio.run(lose_executor())


@pytest.mark.parametrize("clients", [None, 3, 40])  # In subrounds from 33 on.
def test_a_computation_can_be_abandoned_and_the_block_left(clients, caplog):
    async def abandon():
        result = endless() if clients is None else endless_at_clients([1] * clients)
        await asyncio.wait_for(tff.program.materialize_value(result), 1.5)

    began = time.monotonic()
    with pytest.raises(TimeoutError), tff_runtime() as worker:
        # Only so that an event loop that is blocked fails the test instead of stopping it.
        rescue = threading.Timer(8, psutil.Process(worker.pid).kill)
        rescue.start()
        asyncio.run(abandon())
    rescue.cancel()
    assert time.monotonic() - began < 5
    gc.collect()
    assert not caplog.records  # Nor does asyncio complain of errors that nobody looked at.


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


def test_a_worker_that_cannot_start_says_why(tmp_path, monkeypatch):
    broken = tmp_path / "data/worker_binary"
    broken.parent.mkdir()
    monkeypatch.setattr(workers.tff, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(RunFailure, match="did not start .*No such file"), tff_runtime():
        pass
    broken.write_text("#!/bin/sh\necho 'out of luck' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(RunFailure, match=r"did not start \(exit status 3: out of luck\)"):
        tff_runtime().__enter__()
    assert not own_workers()


def test_the_launcher_does_not_start_an_orphan(tmp_path):
    """A parent that died before the prctl sends no signal: the launcher must look."""
    made = tmp_path / "made"
    command = [sys.executable, "-I", "-S", "-c", workers._LAUNCHER]
    touch = ["/usr/bin/touch", str(made)]
    assert subprocess.run([*command, "1", *touch], stderr=subprocess.PIPE).returncode != 0
    assert not made.exists()
    assert subprocess.run([*command, str(os.getpid()), *touch]).returncode == 0
    assert made.exists()


@pytest.mark.parametrize("name", ["concurrent_clients", "threads"])
def test_numbers_that_are_not_positive(name):
    with pytest.raises(UserError, match=f"{name}: 0"):
        tff_runtime(**{name: 0}).__enter__()


# --- parents that end ----------------------------------------------------------------------------

# Forks one parent for each name on the command line; parent i writes to the pipe i, as stdout.
PARENTS = """
import asyncio, json, os, signal, sys, traceback
import tensorflow as tf
import tensorflow_federated as tff
from fedkeyboard.runtime import tff_runtime


def say(**what):
    os.write(1, (json.dumps(what) + "\\n").encode())


async def compute(endless):
    say(pid=os.getpid(), worker=worker.pid, port=worker.port)
    await tff.program.materialize_value(endless())


async def main():
    global worker
    with tff_runtime() as worker:
        await compute(endless)


pipes = [int(argument) for argument in sys.argv[1:]]
for pipe in pipes:
    if os.fork() == 0:
        os.setpgid(0, 0)
        os.dup2(pipe, 1)
        for other in pipes:
            os.close(other)

        @tff.tensorflow.computation
        def endless():
            queue = tf.queue.FIFOQueue(1, tf.int32, shapes=[[]])
            return {"a": queue.dequeue(), "b": tf.constant(1)}

        try:
            if pipe == pipes[0]:
                asyncio.run(main())  # The runtime within the event loop, and around it.
            else:
                with tff_runtime() as worker:
                    asyncio.run(compute(endless))
        except BaseException as error:
            say(end=type(error).__name__)
        os._exit(0)
for pipe in pipes:
    os.close(pipe)
for _ in pipes:
    os.wait()
"""
ENDINGS = ["ctrl-c", "sigint", "sigterm", "sigkill"]


class Parent:
    def __init__(self, pipe):
        self.pipe = pipe

    def line(self, seconds):
        """The next line of its stdout; None at the end of it."""
        assert select.select([self.pipe], [], [], seconds)[0], "nothing came through the pipe"
        line = self.pipe.readline()
        return json.loads(line) if line else None


@pytest.fixture(scope="module")
def parents():
    """Processes that are in the middle of a computation; started once, all at the same time."""
    pipes = [os.pipe() for _ in ENDINGS]
    writes = [write for _, write in pipes]
    forker = subprocess.Popen(
        [sys.executable, "-c", PARENTS, *map(str, writes)],
        pass_fds=writes,
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    for write in writes:
        os.close(write)
    # Unbuffered: select sees every line.
    everyone = {
        name: Parent(open(read, "rb", buffering=0))  # noqa: SIM115
        for name, (read, _) in zip(ENDINGS, pipes, strict=True)
    }
    try:
        for parent in everyone.values():
            started = parent.line(60)
            parent.pid, parent.worker, parent.port = (
                started["pid"],
                started["worker"],
                started["port"],
            )
        time.sleep(1)  # Until each is inside its computation.
        yield everyone
    finally:
        for parent in everyone.values():
            if hasattr(parent, "pid") and psutil.pid_exists(parent.pid):
                os.kill(parent.pid, signal.SIGKILL)
            parent.pipe.close()
        forker.kill()
        forker.wait()


def test_runtimes_of_several_processes_do_not_share_a_worker(parents):
    everyone = parents.values()
    assert len({parent.worker for parent in everyone}) == len(ENDINGS)
    assert len({parent.port for parent in everyone}) == len(ENDINGS)
    for parent in everyone:
        assert [child.pid for child in psutil.Process(parent.pid).children()] == [parent.worker]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_worker_ends_with_its_parent(parents, ending):
    parent = parents[ending]
    assert psutil.Process(parent.worker).is_running()
    if ending == "ctrl-c":
        os.killpg(parent.pid, signal.SIGINT)
    else:
        number = {"sigint": signal.SIGINT, "sigterm": signal.SIGTERM, "sigkill": signal.SIGKILL}
        os.kill(parent.pid, number[ending])
    # The first Ctrl-C counts, in the middle of a computation too.
    if ending in ("ctrl-c", "sigint"):
        assert parent.line(5) == {"end": "KeyboardInterrupt"}
    # Whoever reads the parent's stdout sees its end: the worker does not hold it open.
    assert parent.line(5) is None
    assert is_gone(parent.pid)
    assert is_gone(parent.worker)
