"""A command in a process of its own, watched: how it ended, what it said, the memory it took.

A fault is what no input and no signal may lead to: a traceback, an internal error, a hang, memory
without bound, a process left behind, more than a line of complaint.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence

import psutil

FEDKEYBOARD = pathlib.Path(sys.executable).with_name("fedkeyboard")
SECONDS = 300.0  # An honest command takes a tenth of it, beside two busy processes.
MEGABYTES = 4000  # The worker and its parent take a third of it with the tiny model.
_MARK = "FEDKEYBOARD_RELIABILITY"
_GONE_SECONDS = 15.0
_POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
      arguments: The command's.
      code: Its exit code; negative, the signal that ended it; None if it had to be ended.
      out: What it wrote to stdout.
      err: To stderr.
      megabytes: The most memory that it and its children had.
      left: Processes that were there after it.
      struck: Whether it was still running when the signal was sent.
    """

    arguments: tuple[str, ...]
    code: int | None
    out: str
    err: str
    megabytes: float
    left: int
    struck: bool

    @property
    def fault(self) -> str | None:
        """What may never be, in a few words; None if nothing of it is."""
        if self.code is None:
            return f"hangs: more than {SECONDS:.0f} s"
        if self.left:
            return f"{self.left} processes left behind"
        if self.megabytes > MEGABYTES:
            return f"{self.megabytes:.0f} MB"
        for sign in ("Traceback", "internal error", "Segmentation fault", "terminate called"):
            if sign in self.err:
                return f"{sign}: {self.err[-300:]}"
        if self.struck:
            return None
        if self.code not in (0, 1, 2):
            return f"exit code {self.code}: {self.err[-300:]}"
        # Without a command it is the help.
        if self.code and len(self.complaints) != 1 and self.arguments:
            return f"{len(self.complaints)} lines of complaint: {self.err[-300:]}"
        return None

    @property
    def complaints(self) -> list[str]:
        """The lines by which the command says why it failed."""
        return [line for line in self.err.splitlines() if line.startswith("fedkeyboard: ")]


Strike = Callable[[psutil.Process], bool]
"""Does something to a running command; returns whether there was anything to do it to."""


def run(
    arguments: Sequence[str | os.PathLike[str]],
    directory: pathlib.Path,
    *,
    stdin: bytes = b"",
    after: float | None = None,
    strike: Strike | None = None,
) -> Outcome:
    """Runs `fedkeyboard` with arguments in a directory; at `after` seconds, `strike` is called."""
    mark = uuid.uuid4().hex
    environment = os.environ | {_MARK: mark, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "120"}
    words = tuple(map(str, arguments))
    with contextlib.ExitStack() as files:
        out, err, given = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin)
        given.seek(0)
        child = psutil.Popen(
            [str(FEDKEYBOARD), *words],
            cwd=directory,
            env=environment,
            stdin=given,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        began, megabytes, struck = time.monotonic(), 0.0, False
        while child.poll() is None:
            now = time.monotonic() - began
            if strike is not None and not struck and now >= after:
                struck = strike(child)
            megabytes = max(megabytes, _megabytes(child))
            if now > SECONDS or megabytes > 2 * MEGABYTES:
                break
            time.sleep(_POLL_SECONDS)
        code = child.poll()
        left = _left(mark, 0.0 if code is None else _GONE_SECONDS)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if code is None:
            child.kill()
            child.wait()
            left = []
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(10_000_000).decode(errors="replace"))
    return Outcome(words, code, *texts, megabytes, len(left), struck)


def strikes() -> dict[str, Strike]:
    """Returns the ways to end a command, by name."""

    def signalled(number: signal.Signals) -> Strike:
        def send(child: psutil.Process) -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(number)
            return True

        return send

    def worker(child: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in child.children(recursive=True):
                if "worker_binary" in " ".join(process.cmdline()):
                    process.kill()
                    return True
        return False

    numbers = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    return {number.name: signalled(number) for number in numbers} | {"worker": worker}


def _megabytes(child: psutil.Process) -> float:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (child, *child.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total / 1e6


def _left(mark: str, seconds: float) -> list[psutil.Process]:
    """Returns the processes of a command that are there after some seconds."""
    deadline = time.monotonic() + seconds
    while True:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == mark:
                    found.append(process)
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_SECONDS)
