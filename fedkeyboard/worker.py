"""TFF's worker as a child process that cannot outlive its parent, nor be reached from outside.

TFF computes in a process of its own, `worker_binary`. Why this file starts it, and not
`tff.framework.local_cpp_executor_factory`:

- the worker outlives a parent that is killed, and holds the parent's stdout open meanwhile;
- it serves every network address, without authentication;
- it hears the terminal's Ctrl-C;
- the start sleeps in steps of a second.

Other users of the same machine can still reach the worker's port.
"""

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
import time
from typing import BinaryIO

import tensorflow_federated as tff

from fedkeyboard import files
from fedkeyboard.errors import RunFailure

_LOG = logging.getLogger("fedkeyboard")

_START_SECONDS = 60.0
_POLL_SECONDS = 0.02

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


def tied() -> list[str]:
    """Returns what to put before a command so that the kernel kills it with this process.

    The command begins with a path. The kernel counts the thread that starts it as its parent.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]


def start(concurrent_clients: int, threads: int) -> Worker:
    """Starts the worker, waits until it listens, and warns if others can reach it.

    Args:
      concurrent_clients: How many computations, of phones, run at the same time.
      threads: How many threads one TensorFlow operation may use.

    Raises:
      RunFailure: If it does not start.
    """
    binary = pathlib.Path(tff.__file__).parent / "data" / "worker_binary"
    environment = dict(os.environ)
    environment["TF_NUM_INTRAOP_THREADS"] = str(threads)
    # The worker has dozens of threads, and by default nearly as many heaps, which fragment.
    environment.setdefault("MALLOC_ARENA_MAX", str(len(os.sched_getaffinity(0))))
    # Huge pages for the weights and logits, which are megabytes (from glibc 2.35 on).
    environment.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    with contextlib.ExitStack() as until_started:
        try:
            library = _preloaded_library()
            handle = until_started.enter_context(open(library, "rb"))
            # LD_PRELOAD cannot quote a blank or a colon, which a home directory may have; this
            # name of the open file has neither.
            preload = [f"/proc/{os.getpid()}/fd/{handle.fileno()}", environment.get("LD_PRELOAD")]
            environment["LD_PRELOAD"] = ":".join(filter(None, preload))
            # TensorFlow then asks posix_memalign, which blocks.c answers.
            environment.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
            why_reachable = f"preloading {library} had no effect"
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            why_reachable = f"cannot build fedkeyboard/*.c ({error})"
        log = tempfile.TemporaryFile()  # noqa: SIM115, closed with the runtime
        process = subprocess.Popen(
            [
                *tied(),
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
            stop(process)
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


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _wait_until_listening(process: subprocess.Popen[bytes], log: BinaryIO) -> tuple[_Address, int]:
    """Returns the address and port that the process listens on."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RunFailure(f"TFF's worker did not start ({last_words(process, log)})")
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


def _preloaded_library() -> pathlib.Path:
    """Compiles loopback.c and blocks.c, once a user, and returns the library.

    Raises:
      OSError, RuntimeError, subprocess.SubprocessError: If it cannot be built.
    """
    sources = [pathlib.Path(__file__).with_name(name) for name in ("loopback.c", "blocks.c")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    library = pathlib.Path(cache, "fedkeyboard", f"worker-{digest}.so")
    if not library.exists():
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise FileNotFoundError("no C compiler: neither cc, gcc nor clang is on the PATH")
        with files.replacing(library) as temporary:
            subprocess.run(
                [compiler, "-shared", "-fPIC", "-O2", "-o", temporary, *sources],
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
            )
    return library
