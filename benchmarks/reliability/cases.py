"""What the parts have in common: a case, and how many are run at once."""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console


@dataclasses.dataclass(frozen=True)
class Case:
    """One attempt to break something.

    Attributes:
      name: What is done, for the record.
      attempt: Does it; returns how it ended, in a word or two, and the fault or None.
    """

    name: str
    attempt: Callable[[], tuple[str, str | None]]


@dataclasses.dataclass(frozen=True)
class Result:
    """How a case ended."""

    name: str
    ended: str
    fault: str | None


def run(part: str, cases: Iterable[Case], jobs: int, console: Console) -> Iterator[list[Result]]:
    """Runs cases, some at once, and tells of each fault as it is found.

    Yields:
      The results so far, in the order of the cases: after every ten, and at the end.
    """
    cases = list(cases)
    results = []

    def one(case: Case) -> Result:
        try:
            return Result(case.name, *case.attempt())
        except Exception as error:  # noqa: BLE001, the case's own: it counts as a fault.
            return Result(case.name, "case failed", f"{type(error).__name__}: {error}"[:300])

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done, result in enumerate(pool.map(one, cases), 1):
            results.append(result)
            if result.fault:
                console.print(f"{part}: {result.name}: {result.fault}", markup=False, style="red")
            if done % 10 == 0 or done == len(cases):
                faults = sum(r.fault is not None for r in results)
                console.print(f"{part}: {done} of {len(cases)}, {faults} faults", markup=False)
                yield results
