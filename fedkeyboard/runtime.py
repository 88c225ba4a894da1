"""TFF's worker as a child process that cannot outlive its parent, nor be reached from outside.

TFF computes in a process of its own, `worker_binary`, which Python talks to over gRPC. What
`tff.framework.local_cpp_executor_factory` lacks, and why this file starts the worker itself:

- the worker outlives a parent that is killed, and holds the parent's stdout open meanwhile;
- it serves every network address, without authentication;
- when it dies, TFF starts another without a word, or tries again for ever;
- its calls block the event loop, so that `asyncio.run` does not hear a Ctrl-C, nor anything else
  happen, before the round's end; the worker in turn does hear the terminal's Ctrl-C;
- the worker's memory grows with every cohort of another size;
- the start sleeps in steps of a second.

Everything else is TFF's: stub, executor, executor factory, compiler, execution context. Other
users of the same machine can still reach the worker's port.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import ipaddress
import logging
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import grpc
import tensorflow_federated as tff

from fedkeyboard import files
from fedkeyboard.errors import RunFailure, UserError

_LOG = logging.getLogger("fedkeyboard")

_START_SECONDS = 60.0
_POLL_SECONDS = 0.02
# A large process takes a while to be gone after its connections are.
_DEATH_SECONDS = 10.0

_MAX_MESSAGE_BYTES = 2 * 1000 * 1000 * 1000
_CHANNEL_OPTIONS = (
    # As TFF's own channel.
    ("grpc.max_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # An http_proxy in the environment is not for a process on this machine.
    ("grpc.enable_http_proxy", 0),
)

# Runs in a process of its own, which then becomes the worker: `preexec_fn` may deadlock in a
# process with threads. 1 is PR_SET_PDEATHSIG, which execve keeps. A parent that died before the
# prctl sends no signal, hence the look at getppid.
_LAUNCHER = """
import ctypes, os, signal, sys
if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0):
    raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclasses.dataclass(frozen=True)
class Worker:
    """TFF's worker.

    Attributes:
      process: The child process; its `pid` is the worker's.
      port: The TCP port on 127.0.0.1 that it serves.
      log: What it wrote to stderr, an unlinked file.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: BinaryIO

    @property
    def pid(self) -> int:
        """Process id, for instance to measure the worker's memory."""
        return self.process.pid


@contextlib.contextmanager
def tff_runtime(*, concurrent_clients: int | None = None, threads: int = 1) -> Iterator[Worker]:
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
      UserError: If a number is not positive.
      RunFailure: If the worker does not start.
    """
    for name, value in (("concurrent_clients", concurrent_clients), ("threads", threads)):
        if value is not None and value < 1:
            raise UserError(f"{name}: {value} given, must be at least 1")
    worker = _start(concurrent_clients or 2 * len(os.sched_getaffinity(0)), threads)
    channel = grpc.insecure_channel(f"127.0.0.1:{worker.port}", _CHANNEL_OPTIONS)
    executors = weakref.WeakSet[_Executor]()
    loop_thread = _LoopThread()
    try:
        stub = tff.framework.RemoteExecutorGrpcStub(_Calls(channel, worker))

        def executor(cardinalities: tff.framework.CardinalitiesType):
            cardinalities.setdefault(tff.CLIENTS, 0)
            remote = _Executor(stub, dispose_batch_size=1)
            remote.set_cardinalities(cardinalities)
            executors.add(remote)
            return remote

        context = _Context(
            executor_fn=tff.framework.ResourceManagingExecutorFactory(executor),
            compiler_fn=tff.backends.native.desugar_and_transform_to_native,
            transform_args=tff.tensorflow.transform_args,
            transform_result=tff.tensorflow.transform_result,
            loop=loop_thread.loop,
        )
        program_context = tff.program.NativeFederatedContext(context)
        with tff.framework.get_context_stack().install(program_context):
            yield worker
    finally:
        _stop(worker.process)
        # A call that waited for the worker has failed by now, so that the thread can end.
        loop_thread.end()
        # A closed executor does not try to free, in a worker that is gone, the values that
        # Python collects later.
        for remote in executors:
            remote.close()
        channel.close()
        worker.log.close()


class _Executor(tff.framework.RemoteExecutor):
    """TFF's executor, which the worker forgets when Python does.

    TFF keeps one executor a cohort size, ten at most, and lets the worker keep the rest of them,
    each with its last values, 19 by default: memory that grows with every new size.
    """

    def __del__(self):
        self.close()


class _Context(tff.framework.AsyncExecutionContext):
    """TFF's context, with its calls, which block, in another event loop than the caller's."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop, **options: Any):
        super().__init__(**options)
        self._loop = loop

    async def invoke(self, comp: tff.Computation, arg: Any) -> Any:
        invoked = super().invoke(comp, arg)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(invoked, self._loop))


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

    def __init__(self, channel: grpc.Channel, worker: Worker):
        self._channel = channel
        self._worker = worker

    def subscribe(self, callback: Callable[..., None], try_to_connect: bool = False) -> None:
        """Nothing: only TFF's own start asks whether the stub is ready, and the worker listens.

        The thread that gRPC starts for a subscriber complains on stderr when the channel closes.
        """

    def unary_unary(self, method: str, **serializers: Any) -> Callable[[Any], Any]:
        send = self._channel.unary_unary(method, **serializers)
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
        worker.process.wait(_DEATH_SECONDS if unavailable else 0)
    if worker.process.returncode is not None:
        return RunFailure(
            f"TFF's worker died ({_last_words(worker.process, worker.log)}); the usual cause is "
            "too little memory: use fewer concurrent clients or a smaller cohort, "
            "then continue with --resume"
        )
    if unavailable or error.code() is grpc.StatusCode.FAILED_PRECONDITION:
        return RunFailure(f"TFF's worker refused a call: {' '.join(error.details().split())}")
    return None


def _last_words(process: subprocess.Popen[bytes], log: BinaryIO) -> str:
    """How a process ended and the last thing it complained of, on one line."""
    code = process.returncode
    try:
        words = [signal.Signals(-code).name] if code < 0 else [f"exit status {code}"]
    except ValueError:  # A real-time signal has no name.
        words = [f"signal {-code}"]
    # pread, since a seek would move the place where the worker writes as well.
    tail = os.pread(log.fileno(), 4096, max(0, os.fstat(log.fileno()).st_size - 4096))
    lines = [" ".join(line.split()) for line in tail.decode(errors="replace").splitlines()]
    # TensorFlow's lines say after date and time how grave they are; I is information.
    words += [line for line in lines if line and not re.match(r"\S+ \S+: I ", line)][-1:]
    return ": ".join(words)[:400]


def _stop(process: subprocess.Popen[bytes]) -> None:
    # The worker holds nothing that is worth a gentler end.
    process.kill()
    process.wait()


def _start(concurrent_clients: int, threads: int) -> Worker:
    """Starts the worker, waits until it listens, and warns if others can reach it."""
    binary = pathlib.Path(tff.__file__).parent / "data" / "worker_binary"
    environment = dict(os.environ)
    environment["TF_NUM_INTRAOP_THREADS"] = str(threads)
    with contextlib.ExitStack() as until_started:
        try:
            library = _loopback_library()
            handle = until_started.enter_context(open(library, "rb"))
            # LD_PRELOAD cannot quote a blank or a colon, which a home directory may have; this
            # name of the open file has neither.
            preload = [f"/proc/{os.getpid()}/fd/{handle.fileno()}", environment.get("LD_PRELOAD")]
            environment["LD_PRELOAD"] = ":".join(filter(None, preload))
            why_reachable = f"preloading {library} had no effect"
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            why_reachable = f"cannot build fedkeyboard/loopback.c ({error})"
        log = tempfile.TemporaryFile()  # noqa: SIM115, closed with the runtime
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
                str(binary),
                # The kernel picks the port. A port picked here could be taken before the worker
                # binds it, and gRPC's SO_REUSEPORT would let two workers share it in silence.
                "--port=0",
                f"--max_concurrent_computation_calls={concurrent_clients}",
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # A terminal's Ctrl-C is for the parent alone.
        )
        try:
            address, port = _wait_until_listening(process, log)
        except BaseException:
            _stop(process)
            log.close()
            raise
    if not address.is_loopback:
        _LOG.warning(
            "TFF's worker listens on all addresses (port %d) without authentication: %s; install "
            "a C compiler (apt install gcc) or keep the machine behind a firewall",
            port,
            why_reachable,
        )
    return Worker(process=process, port=port, log=log)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _wait_until_listening(process: subprocess.Popen[bytes], log: BinaryIO) -> tuple[_Address, int]:
    """Returns the address and port that the process listens on."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RunFailure(f"TFF's worker did not start ({_last_words(process, log)})")
        listening = _listening(process.pid)
        if listening is not None:
            return listening
        time.sleep(_POLL_SECONDS)
    raise RunFailure(f"TFF's worker did not start within {_START_SECONDS:.0f} s")


def _listening(pid: int) -> tuple[_Address, int] | None:
    """The address and port on which process `pid` listens, from Linux' /proc."""
    process = pathlib.Path("/proc", str(pid))
    try:
        own = {os.readlink(descriptor) for descriptor in (process / "fd").iterdir()}
        # A kernel without IPv6 has no tcp6.
        tables = [path.read_text() for path in sorted((process / "net").glob("tcp*"))]
    except OSError:  # A descriptor closed meanwhile, or the process ended: the caller looks again.
        return None
    for line in "".join(tables).splitlines():
        fields = line.split()
        # Local address, state (0A: listening), inode.
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
            digits, port = fields[1].split(":")
            # The kernel prints 32-bit words in the machine's order, which is little-endian here.
            words = bytes.fromhex(digits)
            packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
            address = ipaddress.ip_address(packed)
            return getattr(address, "ipv4_mapped", None) or address, int(port, 16)
    return None


def _loopback_library() -> pathlib.Path:
    """Compiles loopback.c, once a user, and returns the library.

    Raises:
      OSError, RuntimeError, subprocess.SubprocessError: If it cannot be built.
    """
    source = pathlib.Path(__file__).with_name("loopback.c")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    library = pathlib.Path(cache, "fedkeyboard", f"loopback-{digest}.so")
    if not library.exists():
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise FileNotFoundError("no C compiler: neither cc, gcc nor clang is on the PATH")
        with files.replacing(library) as temporary:
            command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(temporary), str(source)]
            subprocess.run(
                command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
            )
    return library
