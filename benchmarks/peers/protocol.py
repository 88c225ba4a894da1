"""A peer's end of the pipes to the benchmark: a line `round` or `save PATH` in, a JSON line out."""

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable


class Benchmark:
    """The process that started this one, at the other end of stdin and stdout."""

    def __init__(self):
        """Takes stdout for the protocol alone: what frameworks print there goes to stderr."""
        self._answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        # The benchmark shall see the pipe close when this process dies, whoever forked from it.
        os.register_at_fork(after_in_child=self._answers.close)

    def ready(self, packages: list[str], setting: str) -> None:
        """Says that the next `round` is nothing but a round."""
        versions = {name: importlib.metadata.version(name) for name in packages}
        self._answer(ready=True, versions=versions, setting=setting)

    def took(self, seconds: float) -> None:
        """Answers a `round`."""
        self._answer(seconds=seconds)

    def wants_round(self, save: Callable[[str], None]) -> bool:
        """Waits for the next `round`; False at the end of the commands.

        Args:
          save: Writes the weights that a round from the initial weights gives, as an `.npz` file.
            It is asked for by `save PATH`, which is answered with `{"saved": PATH}`.
        """
        for line in sys.stdin:
            command, _, path = line.strip().partition(" ")
            if command == "round":
                return True
            if command != "save":
                raise ValueError(f"unknown command {line!r}")
            save(path)
            self._answer(saved=path)
        return False

    def _answer(self, **values) -> None:
        print(json.dumps(values), file=self._answers)
