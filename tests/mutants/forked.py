"""Tests of one mutant, in a fork of a process that has loaded what takes long to import.

TensorFlow takes ten seconds to import, most mutants are found in less. In the fork the mutant's
source stands in the module's place before anything imports it; the files are as they were. So
a test that starts a process of its own does not see the mutant there.
"""

import collections
import contextlib
import importlib.abc
import importlib.util
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
import time
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
MORE = 3.0  # Seconds that a mutant may take beyond thrice what it takes without the change.
# Bytes, of a mutant that takes more and more.
_MOST_MEMORY, _MOST_OF_FILE = 8 << 30, 1 << 30


class Job(NamedTuple):
    """What is run.

    Attributes:
      module: The name by which tests import it.
      path: Its file.
      source: What stands in its place.
      tests: Files or directories.
      only: Tests that may find it, in this order, and the seconds that each takes without it; if
        there are none, all of them.
      seconds: Of the processor's time that it may take; ten times as much of the clock's, since
        a machine may have other work.
      trace: Whether to tell which tests run which lines.
    """

    module: str
    path: pathlib.Path
    source: str
    tests: Sequence[str]
    only: Mapping[str, float] = types.MappingProxyType({})
    seconds: float = 600.0
    trace: bool = False


class Outcome(NamedTuple):
    """What came of it.

    Attributes:
      result: `KILLED`, `SURVIVED` or `TIMED_OUT`.
      by: The test that failed, if one did.
      seconds: Of the processor.
      tests: By a test's id, its seconds, and the module's lines that it ran.
      shared: The seconds in which fixtures were made that several tests have.
    """

    result: str
    by: str | None
    seconds: float
    tests: dict[str, tuple[float, list[int]]]
    shared: float


def outcomes(jobs: Iterable[Job], at_once: int) -> Iterator[tuple[Job, Outcome]]:
    """Runs jobs, so many at once, and yields each as it ends."""
    waiting, running = iter(jobs), []
    try:
        while True:
            while len(running) < at_once and (job := next(waiting, None)) is not None:
                running.append(_Running(job))
            if not running:
                return
            time.sleep(0.01)
            for one in list(running):
                if (outcome := one.outcome()) is not None:
                    running.remove(one)
                    yield one.job, outcome
    finally:
        for one in running:
            one.end()


class _Running:
    def __init__(self, job: Job):
        self.job = job
        self._began = time.monotonic()
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="mutant-"))
        self._pid = os.fork()
        if not self._pid:
            # Whatever happens, no fork goes on as the runner.
            try:
                code = _child(job, self._folder)
            except BaseException:
                code = 70
            os._exit(code)

    def outcome(self) -> Outcome | None:
        """Returns what came of it, None as long as it runs."""
        late = time.monotonic() - self._began > 10 * self.job.seconds
        if late:
            self._kill()
        pid, status, used = os.wait4(self._pid, 0 if late else os.WNOHANG)
        if not pid:
            return None
        self._kill()  # What it has left running.
        said = {"failed": None, "tests": {}, "shared": 0.0}
        with contextlib.suppress(OSError, ValueError):
            said = json.loads((self._folder / "said.json").read_text())
        shutil.rmtree(self._folder, ignore_errors=True)
        code = os.waitstatus_to_exitcode(status)
        result = KILLED if code else SURVIVED
        if late or code == -signal.SIGXCPU:
            result = TIMED_OUT
        seconds = used.ru_utime + used.ru_stime
        return Outcome(result, said["failed"], seconds, said["tests"], said["shared"])

    def end(self) -> None:
        """Ends it, where nobody waits for it any more."""
        self._kill()
        os.waitpid(self._pid, 0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)


def _child(job: Job, folder: pathlib.Path) -> int:
    """Runs the tests; returns pytest's exit code."""
    os.setsid()
    with open(os.devnull, "r+b") as nothing:
        for number in range(3):
            os.dup2(nothing.fileno(), number)
    # Of Python, where they are not those: within pytest.
    sys.stdout = sys.stderr = os.fdopen(1, "w", closefd=False)
    _limit(job.seconds)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_OF_FILE, _MOST_OF_FILE))
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
    sys.meta_path.insert(0, _Finder(job))
    watch = _Watch(job)
    # To show a failure takes a second, with as many modules as TensorFlow has.
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    code = pytest.main([*options, f"--basetemp={folder / 'tmp'}", *job.tests], plugins=[watch])
    said = {"failed": watch.failed, "tests": watch.tests, "shared": watch.shared}
    (folder / "said.json").write_text(json.dumps(said))
    return int(code)


def _limit(seconds: float) -> None:
    """Has the process end, by SIGXCPU, when it has taken so much of the processor's time."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, resource.RLIM_INFINITY))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the mutant in its module's place."""

    def __init__(self, job: Job):
        self._job = job

    def find_spec(self, name, path=None, target=None):
        if name != self._job.module:
            return None
        where = str(self._job.path.resolve())
        spec = importlib.util.spec_from_loader(name, self, origin=where)
        spec.has_location = True
        return spec

    def get_source(self, fullname):
        return self._job.source

    def get_code(self, fullname):
        return compile(self._job.source, str(self._job.path.resolve()), "exec")


class _Watch:
    """Chooses and orders tests; notes how long each takes, what it runs, the first that fails."""

    def __init__(self, job: Job):
        self.failed: str | None = None
        self.tests: dict[str, tuple[float, list[int]]] = {}
        self.shared = 0.0
        self._job = job
        self._file = str(job.path.resolve())
        self._lines: set[int] = set()
        self._of_fixtures: dict[str, set[int]] = collections.defaultdict(set)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        if self._job.only:
            rank = {name: i for i, name in enumerate(self._job.only)}
            items[:] = sorted(
                (item for item in items if item.nodeid in rank), key=lambda item: rank[item.nodeid]
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self._lines = set()
        began = time.process_time()
        if item.nodeid in self._job.only:
            _limit(began + MORE + 3 * self._job.only[item.nodeid])
        if self._job.trace:
            sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            # What made a fixture counts for all tests that have it, not for the first alone.
            lines = self._lines.union(*(self._of_fixtures[name] for name in item.fixturenames))
            self.tests[item.nodeid] = (time.process_time() - began, sorted(lines))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        outside, self._lines = self._lines, self._of_fixtures[fixturedef.argname]
        began = time.process_time()
        try:
            return (yield)
        finally:
            self._lines = outside
            if fixturedef.scope != "function":
                self.shared += time.process_time() - began

    def pytest_runtest_logreport(self, report):
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report):
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def _trace(self, frame, event, argument: Any):
        if frame.f_code.co_filename != self._file:
            return None
        self._lines.add(frame.f_lineno)
        return self._trace
