"""Memory of a process and all its children, sampled."""

import contextlib
import pathlib
import re
import threading

import psutil


def proportional_mb(pid: int) -> float:
    """Returns the memory of the process tree under `pid`, in 10^6 bytes.

    Proportional set sizes: a page that several processes share counts once in all.
    """
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(OSError):
                rollup = pathlib.Path(f"/proc/{member.pid}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)[1]) * 1024
    return total / 1e6


class Peak:
    """Samples a process tree's memory for the `with` block; `megabytes` is the most it had."""

    def __init__(self, pid: int, seconds: float = 0.05):
        self.megabytes = 0.0
        self._pid = pid
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.megabytes = max(self.megabytes, proportional_mb(self._pid))
            if self._ended.wait(self._seconds):
                return
