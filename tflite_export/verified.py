"""What a verification found: checks, timings, sizes."""

from typing import Any, NamedTuple

from fedkeyboard.errors import RunFailure


class Check(NamedTuple):
    """Something that a package must fulfil, whether it does, and what was seen."""

    name: str
    passed: bool
    seen: str


class Timing(NamedTuple):
    """How long something takes in LiteRT on one thread of this machine, in milliseconds."""

    file: str
    what: str
    p50: float
    p99: float


class Report(NamedTuple):
    """What `verify` found.

    Attributes:
      checks: In their order.
      timings: Of a package that passed; empty of others.
      bytes: By file.
    """

    checks: list[Check]
    timings: list[Timing]
    bytes: dict[str, int]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def require(self, name: str) -> None:
        """Raises RunFailure, which names the package and what failed, if a check did not pass."""
        failed = [check for check in self.checks if not check.passed]
        if failed:
            raise RunFailure(
                f"{name}: {len(failed)} of {len(self.checks)} checks failed: "
                + "; ".join(f"{check.name}: {check.seen}" for check in failed)
            )

    def as_dict(self) -> dict[str, Any]:
        """Returns the same in the types of JSON."""
        return {
            "passed": self.passed,
            "checks": [check._asdict() for check in self.checks],
            "timings": [timing._asdict() for timing in self.timings],
            "bytes": self.bytes,
        }

    def check_table(self) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
        """Returns the checks as rows of a table, and its header."""
        rows = [(name, "ok" if passed else "FAILED", seen) for name, passed, seen in self.checks]
        return rows, ("", "", "seen")

    def timing_table(self) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
        """Returns the timings as rows of a table, and its header."""
        rows = [
            (f"{file}, {self.bytes[file]:,} bytes", what, f"{p50:.3f}", f"{p99:.3f}")
            for file, what, p50, p99 in self.timings
        ]
        return rows, ("one thread of this machine", "", "p50 ms", "p99 ms")
