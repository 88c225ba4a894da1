"""TFF's runtime for a `with` block: its worker, and the context that sends it computations.

What `tff.backends.native.set_async_local_cpp_execution_context` lacks:

- when the worker dies, TFF starts another without a word, or tries again for ever;
- its calls block the event loop, so that `asyncio.run` does not hear a Ctrl-C, nor anything else
  happen, before the round's end.

How the worker starts is in `worker.py`, how computations run in `context.py`.
"""

import asyncio
import concurrent.futures
import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import tensorflow_federated as tff

from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.runtime import worker as workers
from fedkeyboard.runtime.context import FederatedContext
from fedkeyboard.runtime.executor import Executor
from fedkeyboard.runtime.worker import Worker

_M_MMAP_THRESHOLD = -3  # Of glibc's malloc.h.
_LARGE_BYTES = 1_000_000

# The worker makes a thread for each; at 100,000 of them it hangs, at a billion it aborts.
_MOST_AT_A_TIME = 1024


@contextlib.contextmanager
def tff_runtime(
    *, concurrent_clients: int | None = None, threads: int | None = None
) -> Iterator[Worker]:
    """Runs TFF's worker for the `with` block, as the context that `tff.program` asks for.

    Inside the block a TFF computation returns references at once, and needs a running event loop;
    `await tff.program.materialize_value(...)` gives the values. The context holds for this thread
    only, like all of TFF's, and the previous one returns with the block's end.

    The worker ends with the block; if the process is killed, the kernel kills the worker. The
    kernel counts the thread that entered the block as the parent: leave the block in that thread.

    A worker that dies inside the block makes the computations that use it raise `RunFailure`; it
    is not started again. Computations run one at a time. One whose task is cancelled, as Ctrl-C
    does, returns at once, but the worker goes on with it until it is done or the block ends.

    Args:
      concurrent_clients: How many phones compute at the same time; default, two a core. Memory
        grows with it. (One a core leaves cores idle while phones of unequal size begin and end: on
        2 cores, a cohort of 10 with 5 to 128 sentences took 1.5 times as long.)
      threads: How many threads one TensorFlow operation may use (intra-op) in the worker, shared
        by all phones; default 1, since the phones keep the cores busy.

    Yields:
      The worker.

    Raises:
      UserError: If a number is not positive, or beyond any machine.
      RunFailure: If the worker does not start, or could not be kept from others.
    """
    for name, value in (("concurrent_clients", concurrent_clients), ("threads", threads)):
        if value is not None and not 1 <= value <= _MOST_AT_A_TIME:
            raise UserError(f"runtime.{name}: {value} given, must be 1 to {_MOST_AT_A_TIME}")
    # States come and go as messages of megabytes. glibc takes the first one's size for usual and
    # puts the next into its heaps, which fragment; by this they return as soon as they are freed.
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    worker = workers.start(concurrent_clients or 2 * len(os.sched_getaffinity(0)), threads or 1)
    executors = weakref.WeakSet[Executor]()
    loop_thread = _LoopThread()
    stub = tff.framework.RemoteExecutorGrpcStub(_Calls(worker))

    def executor(clients: int) -> Executor:
        remote = Executor(stub, clients)
        executors.add(remote)
        return remote

    context = FederatedContext(executor, loop_thread.loop)
    try:
        with tff.framework.get_context_stack().install(context):
            yield worker
    finally:
        workers.stop(worker.process)
        # A call that waited for the worker has failed by now, so that the thread can end.
        loop_thread.end()
        # A closed executor does not try to free, in a worker that is gone, the values that
        # Python collects later.
        for remote in executors:
            remote.close()
        context.close()
        worker.channel.close()
        worker.log.close()


class _LoopThread:
    """An event loop, `loop`, that runs in a thread of its own until `end`."""

    def __init__(self):
        started = concurrent.futures.Future()

        async def live():
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            started.set_result((loop, ended))
            await ended.wait()

        # A daemon: a program that never leaves the block can still exit.
        self._thread = threading.Thread(target=asyncio.run, args=(live(),), daemon=True)
        self._thread.start()
        self.loop, self._ended = started.result()

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()


class _Calls:
    """The part of a `grpc.Channel` that TFF's stub uses; a call fails for good with the worker."""

    def __init__(self, worker: Worker):
        self._worker = worker

    def subscribe(self, callback: Callable[..., None], try_to_connect: bool = False) -> None:
        """Nothing: only TFF's own start asks whether the stub is ready, and the worker listens.

        The thread that gRPC starts for a subscriber complains on stderr when the channel closes.
        """

    def unary_unary(self, method: str, **serializers: Any) -> Callable[[Any], Any]:
        send = self._worker.channel.unary_unary(method, **serializers)
        # TFF frees values while it handles an error, or from a finalizer, and expects no other
        # error there than gRPC's. In a worker that is gone all values are free.
        frees = method.rpartition("/")[2].startswith("Dispose")

        def call(request: Any) -> Any:
            try:
                return send(request)
            except grpc.RpcError as error:
                if frees and error.code() is grpc.StatusCode.UNAVAILABLE:
                    return None
                failure = None if frees else _failure(self._worker, error)
                if failure is None:
                    raise
                raise failure from error

        return call


def _failure(worker: Worker, error: grpc.RpcError) -> RunFailure | None:
    """What to raise instead of `error`; None for an error of the computation itself.

    TFF would retry UNAVAILABLE and FAILED_PRECONDITION for ever; with one worker, on this machine,
    the next try fails as this one did.
    """
    unavailable = error.code() is grpc.StatusCode.UNAVAILABLE
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.process.wait(workers.DEATH_SECONDS if unavailable else 0)
    if worker.process.returncode is not None:
        words = workers.last_words(worker.process, worker.log)
        cause = ""
        # What the kernel's out-of-memory killer sends, or what C++ says of its own accord.
        if worker.process.returncode == -signal.SIGKILL or "bad_alloc" in words:
            cause = (
                "the usual cause is too little memory: use fewer concurrent clients or a smaller "
                "cohort, then "
            )
        return RunFailure(
            f"TFF's worker died ({words}); {cause}give the same command again (simulate: --resume)"
        )
    if unavailable or error.code() is grpc.StatusCode.FAILED_PRECONDITION:
        return RunFailure(f"TFF's worker refused a call: {' '.join(error.details().split())}")
    return None
