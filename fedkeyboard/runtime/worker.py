"""TFF's worker as a child process that cannot outlive its parent, nor be reached by anyone else.

TFF computes in a process of its own, `worker_binary`. Why this file starts it, and not
`tff.framework.local_cpp_executor_factory`:

- it serves every network address, without authentication, and reads and writes files for whoever
  asks;
- the worker outlives a parent that is killed, and holds the parent's stdout open meanwhile;
- it hears the terminal's Ctrl-C;
- the start sleeps in steps of a second.

Here it serves one connection of a Unix socket, which this process makes before the worker starts
and which has no name any more by then; a preloaded library (`parent_only.c`) sees to that.
"""

import contextlib
import dataclasses
import fcntl
import ipaddress
import logging
import os
import pathlib
import re
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import BinaryIO

import grpc
import tensorflow_federated as tff

from fedkeyboard.errors import RunFailure
from fedkeyboard.runtime import preload

_LOG = logging.getLogger("fedkeyboard")

# Set to 1, it lets the worker start where nothing can keep others from it.
_UNPROTECTED = "FEDKEYBOARD_UNPROTECTED_WORKER"

_START_SECONDS = 60.0
_POLL_SECONDS = 0.02
# A large process takes a while to be gone after its connections are.
DEATH_SECONDS = 10.0

_MAX_MESSAGE_BYTES = 2 * 1000 * 1000 * 1000
_CHANNEL_OPTIONS = (
    # As TFF's own channel.
    ("grpc.max_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # An http_proxy in the environment is not for a process on this machine.
    ("grpc.enable_http_proxy", 0),
    # There is no second connection: the first one waits for the worker as long as the start may
    # take, and is never given up for being idle.
    ("grpc.min_reconnect_backoff_ms", int(_START_SECONDS * 1000)),
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
)

# Runs in a process of its own, which then becomes the command's: `preexec_fn` may deadlock in a
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
      channel: The only connection to it.
      log: What it wrote to stderr, an unlinked file.
    """

    process: subprocess.Popen[bytes]
    channel: grpc.Channel
    log: BinaryIO

    @property
    def pid(self) -> int:
        """Process id, for instance to measure the worker's memory."""
        return self.process.pid


def tied() -> list[str]:
    """Returns what to put before a command so that the kernel kills it with this process.

    The command begins with a path. The kernel counts the thread that starts it as its parent.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]


def start(concurrent_clients: int, threads: int) -> Worker:
    """Starts the worker and waits until it serves this process, and no other.

    Args:
      concurrent_clients: How many computations, of phones, run at the same time.
      threads: How many threads one TensorFlow operation may use.

    Raises:
      RunFailure: If it does not start, or others could reach it and the environment variable
        FEDKEYBOARD_UNPROTECTED_WORKER is not 1. Nothing of it is left then.
    """
    environment = dict(os.environ)
    environment["TF_NUM_INTRAOP_THREADS"] = str(threads)
    # The worker has dozens of threads, and by default nearly as many heaps, which fragment.
    environment.setdefault("MALLOC_ARENA_MAX", str(len(os.sched_getaffinity(0))))
    # Huge pages for the weights and logits, which are megabytes (from glibc 2.35 on).
    environment.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    flags = [f"--max_concurrent_computation_calls={concurrent_clients}"]
    try:
        return _start_protected(flags, environment, preload.library())
    except OSError as error:
        if os.environ.get(_UNPROTECTED) != "1":
            raise RunFailure(
                f"TFF's worker was not started, since it cannot be kept from others: {error}; "
                f"{_UNPROTECTED}=1 starts it all the same, and whoever reaches an address of this "
                "machine can then read and write your files"
            ) from error
        return _start_unprotected(flags, environment, error)


def _start_protected(flags: list[str], environment: dict[str, str], library: bytes) -> Worker:
    """Starts the worker with the library preloaded.

    Raises:
      OSError: If others could reach it.
      RunFailure: If it does not start for a reason of its own.
    """
    with contextlib.ExitStack() as while_starting, contextlib.ExitStack() as unless_started:
        listener, channel, answer = _only_connection()
        while_starting.enter_context(listener)
        unless_started.callback(channel.close)
        # Its name, in LD_PRELOAD, has no blank and no colon, as a directory's may have.
        code = os.memfd_create("fedkeyboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        while_starting.callback(os.close, code)
        os.write(code, library)
        # The worker runs what is in it, so that nobody may write into it any more.
        fcntl.fcntl(code, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK)
        # Without the library's effect the worker wants this port, and ends since it is taken.
        port = while_starting.enter_context(_taken_port()).getsockname()[1]
        preloaded = [f"/proc/self/fd/{code}", environment.get("LD_PRELOAD")]
        process, log = _launch(
            [f"--port={port}", *flags],
            {
                # TensorFlow then asks posix_memalign, which blocks.c answers.
                "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1",
                **environment,
                "LD_PRELOAD": ":".join(filter(None, preloaded)),
                "FEDKEYBOARD_LISTENER": str(listener.fileno()),
            },
            [code, listener.fileno()],
        )
        unless_started.callback(log.close)
        unless_started.callback(stop, process)
        listener.close()  # The worker has it now, and ends the connection when it ends.
        if answer.code() is not grpc.StatusCode.UNIMPLEMENTED:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(DEATH_SECONDS)
            if process.returncode == 0:  # As said above; nothing else ends it with 0.
                raise OSError(f"preloading {preload.INSTALLED.name} had no effect")
            raise _not_started(process, log)
        if _listening(process.pid) is not None:
            raise OSError(f"it listens on the network, {preload.INSTALLED.name} notwithstanding")
        unless_started.pop_all()
        return Worker(process=process, channel=channel, log=log)


def _start_unprotected(flags: list[str], environment: dict[str, str], why: OSError) -> Worker:
    # The kernel picks the port. A port picked here could be taken before the worker binds it, and
    # gRPC's SO_REUSEPORT would let two workers share it in silence.
    process, log = _launch(["--port=0", *flags], environment)
    with contextlib.ExitStack() as unless_started:
        unless_started.callback(log.close)
        unless_started.callback(stop, process)
        deadline = time.monotonic() + _START_SECONDS
        listening = None
        while listening is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise _not_started(process, log)
            time.sleep(_POLL_SECONDS)
            with contextlib.suppress(OSError):  # It may have ended: the next look tells.
                listening = _listening(process.pid)
        unless_started.pop_all()
    address, port = listening
    _LOG.warning(
        "TFF's worker listens on %s, port %d, without authentication, as %s=1 allows: whoever "
        "reaches it can read and write your files (%s)",
        "all addresses" if address.is_unspecified else address,
        port,
        _UNPROTECTED,
        why,
    )
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", _CHANNEL_OPTIONS)
    return Worker(process=process, channel=channel, log=log)


def _only_connection() -> tuple[socket.socket, grpc.Channel, grpc.Future]:
    """Returns a listening Unix socket, the only connection to it, and a first call.

    Nobody else can connect, since the socket's name is gone. Whoever gets the socket answers the
    call when it serves, with UNIMPLEMENTED, for TFF has no such method.

    Raises:
      OSError: If there is no place for the socket's name.
    """
    listener = socket.socket(socket.AF_UNIX)
    with tempfile.TemporaryDirectory(prefix="fedkeyboard-") as directory:  # The user's alone.
        # A directory's own name could be longer than a socket's may be.
        handle = os.open(directory, os.O_PATH)
        try:
            # A name of its own: gRPC lets channels to the same name share a connection.
            path = f"/proc/self/fd/{handle}/{secrets.token_hex(8)}"
            listener.bind(path)
            listener.listen()
            listener.setblocking(False)  # As gRPC's own.
            channel = grpc.insecure_channel(f"unix:{path}", _CHANNEL_OPTIONS)
            answer = channel.unary_unary("/fedkeyboard/ready").future(b"", timeout=_START_SECONDS)
            connected = select.poll()
            connected.register(listener, select.POLLIN)
            if not connected.poll(_START_SECONDS * 1000):
                raise OSError(f"no connection to a socket in {directory}")
        finally:
            os.close(handle)
    return listener, channel, answer


def _taken_port() -> socket.socket:
    """Returns a socket whose port nobody else can have, on any address, until it is closed."""
    dual = socket.has_dualstack_ipv6()
    taken = socket.socket(socket.AF_INET6 if dual else socket.AF_INET)
    if dual:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    taken.bind(("", 0))
    return taken


def _launch(
    flags: Sequence[str], environment: dict[str, str], descriptors: Sequence[int] = ()
) -> tuple[subprocess.Popen[bytes], BinaryIO]:
    """Starts the worker's process, which inherits the descriptors, and returns it with its log."""
    binary = pathlib.Path(tff.__file__).parent / "data" / "worker_binary"
    try:
        log = tempfile.TemporaryFile()  # noqa: SIM115, closed with the runtime
        process = subprocess.Popen(
            [*tied(), str(binary), *flags],
            env=environment,
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # A terminal's Ctrl-C is for the parent alone.
        )
    except OSError as error:
        raise RunFailure(f"TFF's worker did not start ({error})") from error
    return process, log


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the worker."""
    # The worker holds nothing that is worth a gentler end.
    process.kill()
    process.wait()


def last_words(process: subprocess.Popen[bytes], log: BinaryIO) -> str:
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


def _not_started(process: subprocess.Popen[bytes], log: BinaryIO) -> RunFailure:
    if process.returncode is None:
        return RunFailure(f"TFF's worker did not start within {_START_SECONDS:.0f} s")
    return RunFailure(f"TFF's worker did not start ({last_words(process, log)})")


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _listening(pid: int) -> tuple[_Address, int] | None:
    """The network address and port on which process `pid` listens, from Linux' /proc.

    Raises:
      OSError: If /proc does not tell, for instance since the process has ended.
    """
    process = pathlib.Path("/proc", str(pid))
    own = set()
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # Closed meanwhile.
            own.add(os.readlink(descriptor))
    tables = [(process / "net/tcp").read_text()]
    with contextlib.suppress(FileNotFoundError):  # A kernel without IPv6.
        tables.append((process / "net/tcp6").read_text())
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
