"""How much memory this process takes, as Linux counts it."""

import pathlib
import re

_STATUS = pathlib.Path("/proc/self/status")
# Writing 5 there makes the highest mark what is in use now (proc(5)).
_CLEAR = pathlib.Path("/proc/self/clear_refs")


class Growth:
    """How far memory rises, at most, in a `with` block.

    Attributes:
      megabytes: 10^6 bytes; None before the block's end, and where the kernel does not tell.
    """

    def __init__(self, over: int | None = None):
        """Takes what it rises over, as `in_use` gave it; default, what is in use at the begin."""
        self.megabytes: float | None = None
        self._over = over

    def __enter__(self) -> "Growth":
        try:
            _CLEAR.write_text("5")
        except OSError:
            self._over = None
        else:
            self._over = in_use() if self._over is None else self._over
        return self

    def __exit__(self, *_: object) -> None:
        if self._over is not None:
            self.megabytes = max(0, _kilobytes("VmHWM") - self._over) * 1024 / 1e6


def in_use() -> int | None:
    """Returns what is in use now, in units of 1,024 bytes; None where the kernel does not tell."""
    try:
        return _kilobytes("VmRSS")
    except OSError:
        return None


def _kilobytes(name: str) -> int:
    return int(re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)[1])
