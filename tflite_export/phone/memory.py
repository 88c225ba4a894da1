"""How much memory this process takes, as Linux counts it."""

import pathlib
import re

_STATUS = pathlib.Path("/proc/self/status")
# Writing 5 there makes the highest mark what is in use now (proc(5)).
_CLEAR = pathlib.Path("/proc/self/clear_refs")


class Growth:
    """How far memory rises, at most, over what is in use when a `with` block begins.

    Attributes:
      megabytes: 10^6 bytes; None before the block's end, and where the kernel does not tell.
    """

    def __init__(self):
        self.megabytes: float | None = None

    def __enter__(self) -> "Growth":
        try:
            _CLEAR.write_text("5")
            self._before = _kilobytes("VmRSS")
        except OSError:
            self._before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            self.megabytes = max(0, _kilobytes("VmHWM") - self._before) * 1024 / 1e6


def _kilobytes(name: str) -> int:
    return int(re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)[1])
