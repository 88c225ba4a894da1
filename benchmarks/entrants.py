"""The frameworks as processes that wait for their turn."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from typing import Any, BinaryIO

from benchmarks.memory_use import Peak
from benchmarks.peers import environments
from fedkeyboard.runtime import worker

_PEERS = pathlib.Path(__file__).parent / "peers"


@dataclasses.dataclass(frozen=True)
class Framework:
    """How a framework is started.

    Attributes:
      name: As it stands in the results.
      command: To which the path of the job is added.
    """

    name: str
    command: tuple[str, ...]


def tff(name: str, which: str, *options: str) -> Framework:
    """Returns a framework in TFF's runtime (`tff_entrant.py`)."""
    return Framework(name, (sys.executable, "-m", "benchmarks.tff_entrant", which, *options))


def peer(name: str, environment: str, processes: int, threads: int) -> Framework:
    """Returns a framework with an environment of its own, which is made if need be.

    Raises:
      environments.PeerMissing: If it cannot be made.
    """
    python = environments.ensure(environment)
    program = _PEERS / f"{environment}_peer.py"
    return Framework(name, (str(python), str(program), str(processes), str(threads)))


def simulate(run: pathlib.Path, *settings: str) -> list[str]:
    """Returns the command that runs the default experiment, but for some `section.key=value`.

    It does not outlive this process.
    """
    command = [*worker.tied(), str(pathlib.Path(sys.executable).with_name("fedkeyboard"))]
    command += ["simulate", "--out", str(run), "--config", "simulation/configs/chitchat.toml"]
    return [*command, *(part for setting in settings for part in ("--set", setting))]


class Entrant:
    """A framework's process, with one cohort."""

    def __init__(self, framework: Framework, job: pathlib.Path):
        """Starts the process; `wait` until it is ready."""
        self.framework = framework
        self._log: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115, closed with the process
        self._process = subprocess.Popen(
            [*framework.command, str(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            bufsize=1,
            process_group=0,
        )

    def wait(self) -> dict[str, Any]:
        """Returns what the process says when it is ready: `versions` and `setting`."""
        return self._answer()

    def round(self) -> float:
        """Runs a round and returns its seconds."""
        return self._ask("round")["seconds"]

    def peak_memory(self) -> float:
        """Runs a round and returns the most memory that the process tree had, in 10^6 bytes."""
        with Peak(self._process.pid) as peak:
            self.round()
        return peak.megabytes

    def save(self, path: pathlib.Path) -> None:
        """Has the weights written that a round from the initial weights gives."""
        self._ask(f"save {path}")

    def close(self) -> None:
        """Ends the process, at first kindly."""
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _ask(self, command: str) -> dict[str, Any]:
        print(command, file=self._process.stdin)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            words = self._log.read().decode(errors="replace").split("\n")
            last = next((w for w in reversed(words) if w.strip()), "without a word")
            raise RuntimeError(f"{self.framework.name} ended: {last}")
        return json.loads(line)
