"""TFF's real worker: it computes, and it ends in whatever way its parent ends.

Parents that die are processes of their own. They are forked from one that has imported TFF, since
importing takes seconds; none of them shares a worker.

What is waited for is something that happened. A time only keeps a test that fails from hanging.
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
import tempfile
import threading
import time

import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.proto.v0 import computation_pb2, executor_pb2

from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.runtime import preload, session
from fedkeyboard.runtime import worker as workers
from fedkeyboard.runtime.executor import Executor
from fedkeyboard.runtime.session import tff_runtime

# Nothing may be left that complains when Python collects it, after the worker's end.
pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnraisableExceptionWarning",
    "error::pytest.PytestUnhandledThreadExceptionWarning",
)

REPOSITORY = pathlib.Path(session.__file__).parents[2]
AT_MOST = 120.0  # Seconds.


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


def wait_in(begun):
    """Writes the file `begun`, then waits for an element of a queue that nobody fills."""
    with tf.control_dependencies([tf.io.write_file(str(begun), "")]):
        return tf.queue.FIFOQueue(1, tf.int32, shapes=[[]]).dequeue()


def endless(begun):
    return tff.tensorflow.computation(lambda: wait_in(begun))()


def endless_at_clients(begun, clients):
    wait = tff.tensorflow.computation(lambda x: x + wait_in(begun), np.int32)

    @tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
    def computation(values):
        return tff.federated_sum(tff.federated_map(wait, values))

    return computation([1] * clients)


def run(computation, *arguments):
    async def value():
        return await tff.program.materialize_value(computation(*arguments))

    return asyncio.run(asyncio.wait_for(value(), AT_MOST))


def own_workers():
    children = psutil.Process().children()
    return [child.pid for child in children if child.name() == "worker_binary"]


def until(condition):
    """Waits until something is so."""
    deadline = time.monotonic() + AT_MOST
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid):
    """Whether process `pid` has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# Somebody who calls the worker by what `ss` says of it. Imports come before another user's rights,
# since that one may not read where Python is; GetExecutor is the first call of TFF's own stub.
STRANGER = """
import os, sys
import grpc

grpc.insecure_channel("unix:/").close()  # Imports more.
user, request = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
if user != os.getuid():
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
for target in sys.argv[3:]:
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/tensorflow_federated.v0.ExecutorGroup/GetExecutor")
        try:
            call(request, timeout=30)
            print("in")
        except grpc.RpcError as error:
            shut = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            print("out" if shut else f"in: {error}")
"""
NOBODY = 65534
as_another_user = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


def strangers_call(targets, user=None):
    """What a process, of this user or another, gets from each target: "in" or "out"."""
    clients = executor_pb2.Cardinality(
        placement=computation_pb2.Placement(uri="clients"), cardinality=1
    )
    request = executor_pb2.GetExecutorRequest(cardinalities=[clients])
    user = os.getuid() if user is None else user
    return subprocess.run(
        [sys.executable, "-c", STRANGER, str(user), request.SerializeToString().hex(), *targets],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * AT_MOST,
    ).stdout.splitlines()


def targets(worker):
    """All that the worker listens on, as gRPC would name it."""
    network, local = [], []
    for connection in psutil.Process(worker.pid).net_connections("all"):
        if connection.status == psutil.CONN_LISTEN:
            network.append(f"127.0.0.1:{connection.laddr.port}")
        elif connection.family == socket.AF_UNIX and connection.laddr:
            local.append(f"unix:{connection.laddr}")
    return network + local


def served_strangers(worker, user=None):
    """What a stranger gets from all that the worker listens on."""
    found = targets(worker)
    assert found, "the stranger had nothing to call"
    return set(strangers_call(found, user))


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


@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=as_another_user)])
def test_nobody_but_the_parent_is_served(user, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with tff_runtime() as worker:
        assert served_strangers(worker, user) == {"out"}
        assert not any(target[0].isdigit() for target in targets(worker)), "on the network"
        assert not list(tmp_path.iterdir())  # Its socket has no name any more.
        assert run(total, [1, 2, 3]) == 6


def test_the_worker_closes_all_connections_but_its_parents(monkeypatch):
    with contextlib.ExitStack() as stack:
        # The socket's name stays, for everybody, as if a stranger had been faster.
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        os.chmod(directory, 0o755)
        monkeypatch.setattr(
            tempfile, "TemporaryDirectory", lambda prefix: contextlib.nullcontext(directory)
        )
        stack.enter_context(tff_runtime())
        (name,) = filter(pathlib.Path.is_socket, pathlib.Path(directory).iterdir())
        name.chmod(0o777)

        def is_served():
            """Whether the worker greets, as HTTP/2 does, who connects."""
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(AT_MOST)
                connection.connect(str(name))
                try:
                    return bool(connection.recv(9))
                except ConnectionResetError:
                    return False

        assert is_served()  # A second connection of the parent's.
        assert strangers_call([f"unix:{name}"]) == ["out"]
        if os.getuid() == 0:
            assert strangers_call([f"unix:{name}"], NOBODY) == ["out"]
        if (child := os.fork()) == 0:
            try:
                os._exit(is_served())
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert is_served()
        assert run(total, [1, 2, 3]) == 6


def install(library, directory, monkeypatch):
    """Makes `library` the installed one; None, that there is none."""
    directory.mkdir(parents=True)
    installed = directory / preload.INSTALLED.name
    if library is not None:
        installed.write_bytes(library)
    monkeypatch.setattr(preload, "INSTALLED", installed)


def without_compiler(directory, monkeypatch):
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))


def flipped(library):
    middle = len(library) // 2
    return library[:middle] + bytes([library[middle] ^ 1]) + library[middle + 1 :]


DAMAGES = {
    "missing": lambda library: None,
    "empty": lambda library: b"",
    "half of it": lambda library: library[: len(library) // 2],
    "a bit flipped": flipped,
    "no library": lambda library: b"not ELF" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_replaced_or_the_run_refused(damage, tmp_path, monkeypatch, caplog):
    install(DAMAGES[damage](preload.library()), tmp_path / "installed", monkeypatch)
    monkeypatch.setenv("HOME", "/nonexistent")
    with tff_runtime() as worker:
        assert served_strangers(worker) == {"out"}
    without_compiler(tmp_path / "bin", monkeypatch)
    with pytest.raises(RunFailure, match="no C compiler.*apt install gcc") as failure:
        tff_runtime().__enter__()
    assert "FEDKEYBOARD_UNPROTECTED_WORKER=1" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not own_workers()
    assert not caplog.records


def test_an_installed_library_needs_no_compiler_no_home_and_is_no_other_codes(
    tmp_path, monkeypatch, caplog
):
    install(preload.build(), tmp_path / "Jane Doe: $HOME", monkeypatch)
    without_compiler(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("HOME", "/nonexistent")
    with tff_runtime() as worker:
        assert served_strangers(worker) == {"out"}
    assert not caplog.records
    edited = tmp_path / "blocks.c"
    edited.write_bytes(preload._SOURCES[1].read_bytes() + b"\n")
    monkeypatch.setattr(preload, "_SOURCES", [preload._SOURCES[0], edited])
    with pytest.raises(RunFailure, match="no C compiler"):
        tff_runtime().__enter__()


def test_told_so_it_runs_unprotected_and_warns(tmp_path, monkeypatch, caplog):
    install(None, tmp_path / "installed", monkeypatch)
    without_compiler(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("FEDKEYBOARD_UNPROTECTED_WORKER", "0")
    with pytest.raises(RunFailure, match="no C compiler"):
        tff_runtime().__enter__()
    monkeypatch.setenv("FEDKEYBOARD_UNPROTECTED_WORKER", "1")
    with caplog.at_level(logging.WARNING, "fedkeyboard"), tff_runtime() as worker:
        assert run(total, [1, 2, 3]) == 6
        assert served_strangers(worker) == {"in"}  # So the strangers above do know the way.
    (record,) = caplog.records
    assert "listens on all addresses" in record.getMessage()
    assert "no C compiler" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_told_so_it_is_protected_all_the_same_where_that_works(monkeypatch, caplog):
    monkeypatch.setenv("FEDKEYBOARD_UNPROTECTED_WORKER", "1")
    with tff_runtime() as worker:
        assert served_strangers(worker) == {"out"}
    assert not caplog.records


def test_a_library_without_effect_is_noticed(monkeypatch):
    monkeypatch.setattr(preload, "_SOURCES", preload._SOURCES[1:])
    with pytest.raises(RunFailure, match="had no effect; FEDKEYBOARD_UNPROTECTED_WORKER=1"):
        tff_runtime().__enter__()
    assert not own_workers()


def test_a_worker_that_listens_on_the_network_is_ended(tmp_path, monkeypatch):
    source = tmp_path / "listen.c"
    source.write_text("""
#include <netinet/in.h>
#include <sys/socket.h>
__attribute__((constructor)) static void all_addresses(void) {
  listen(socket(AF_INET, SOCK_STREAM, 0), 1);
}
""")
    monkeypatch.setattr(preload, "_SOURCES", [*preload._SOURCES, source])
    with pytest.raises(RunFailure, match="listens on the network"):
        tff_runtime().__enter__()
    assert not own_workers()


def test_a_compiler_that_fails(tmp_path, monkeypatch):
    install(None, tmp_path / "installed", monkeypatch)
    without_compiler(tmp_path / "bin", monkeypatch)
    (tmp_path / "bin/cc").write_text("#!/bin/sh\necho 'out of luck' >&2\nexit 1\n")
    (tmp_path / "bin/cc").chmod(0o755)
    with pytest.raises(RunFailure, match="cc failed: out of luck; FEDKEYBOARD"):
        tff_runtime().__enter__()


def test_a_full_disk(tmp_path, monkeypatch):
    tmp_path = tmp_path / "full"
    tmp_path.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=8k", "fedkeyboard-test", str(tmp_path)]
    if os.getuid() != 0 or subprocess.run(mounted, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        with contextlib.suppress(OSError):
            (tmp_path / "filler").write_bytes(bytes(1 << 20))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with tff_runtime():  # It needs no space.
            assert run(total, [1, 2, 3]) == 6
        monkeypatch.setattr(preload, "INSTALLED", tmp_path / "missing.so")
        with pytest.raises(RunFailure, match="[Nn]o space left on device") as failure:
            tff_runtime().__enter__()
        assert "\n" not in str(failure.value)
        assert [path.name for path in tmp_path.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


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
@pytest.mark.parametrize("number", [0, 1025, 10**9, 10**30])
def test_numbers_that_no_machine_has(name, number):
    with pytest.raises(UserError, match=f"runtime.{name}: {number} given, must be 1 to 1024"):
        tff_runtime(**{name: number}).__enter__()


def test_the_largest_numbers_allowed_compute():
    with tff_runtime(concurrent_clients=1024, threads=1024):
        assert run(total, list(range(40))) == 780


# --- parents that end ----------------------------------------------------------------------------

# Forks one parent for each pipe on the command line, which is its stdout. A parent's computation
# writes a file, whose name is the pipe's number, into the directory that comes first.
PARENTS = """
import asyncio, json, os, sys
import tensorflow as tf
import tensorflow_federated as tff
from fedkeyboard.runtime.session import tff_runtime


def say(**what):
    os.write(1, (json.dumps(what) + "\\n").encode())


async def compute(endless):
    say(pid=os.getpid(), worker=worker.pid, begun=begun)
    await tff.program.materialize_value(endless())


async def main():
    global worker
    with tff_runtime() as worker:
        await compute(endless)


pipes = [int(argument) for argument in sys.argv[2:]]
for pipe in pipes:
    if os.fork() == 0:
        os.setpgid(0, 0)
        os.dup2(pipe, 1)
        for other in pipes:
            os.close(other)

        begun = os.path.join(sys.argv[1], str(pipe))

        @tff.tensorflow.computation
        def endless():
            with tf.control_dependencies([tf.io.write_file(begun, "")]):
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

    def line(self):
        """The next line of its stdout; None at the end of it."""
        assert select.select([self.pipe], [], [], 2 * AT_MOST)[0], "nothing came through the pipe"
        line = self.pipe.readline()
        return json.loads(line) if line else None


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    """Processes that are in the middle of a computation; started once, all at the same time."""
    pipes = [os.pipe() for _ in ENDINGS]
    writes = [write for _, write in pipes]
    forker = subprocess.Popen(
        [sys.executable, "-c", PARENTS, tmp_path_factory.mktemp("begun"), *map(str, writes)],
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
            started = parent.line()
            parent.pid, parent.worker = started["pid"], started["worker"]
            until(pathlib.Path(started["begun"]).exists)
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
        assert parent.line() == {"end": "KeyboardInterrupt"}
    # Whoever reads the parent's stdout sees its end: the worker does not hold it open.
    assert parent.line() is None
    until(lambda: is_gone(parent.pid) and is_gone(parent.worker))
