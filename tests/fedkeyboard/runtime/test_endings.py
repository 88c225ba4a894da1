"""The worker ends in whatever way its parent ends.

Parents that die are processes of their own. They are forked from one that has imported TFF, since
importing takes seconds; none of them shares a worker.

What is waited for is something that happened. A time only keeps a test that fails from hanging.
"""

import json
import os
import pathlib
import select
import signal
import subprocess
import sys

import psutil
import pytest
from tff_workers import AT_MOST, REPOSITORY, is_gone, until

# Nothing may be left that complains when Python collects it, after the worker's end.
pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnraisableExceptionWarning",
    "error::pytest.PytestUnhandledThreadExceptionWarning",
)


# Forks one parent for each pipe on the command line, which is its stdout. A parent's computation
# writes a file, whose name is the pipe's number, into the directory that comes first.
PARENTS = """
import asyncio, json, os, sys
import tensorflow as tf
import tensorflow_federated as tff
from fedkeyboard.runtime.session import tff_runtime


def say(**what):
    os.write(1, (json.dumps(what) + "\\n").encode())


async def compute(endless):
    say(pid=os.getpid(), worker=worker.pid, begun=begun)
    await tff.program.materialize_value(endless())


async def main():
    global worker
    with tff_runtime() as worker:
        await compute(endless)


pipes = [int(argument) for argument in sys.argv[2:]]
for pipe in pipes:
    if os.fork() == 0:
        os.setpgid(0, 0)
        os.dup2(pipe, 1)
        for other in pipes:
            os.close(other)

        begun = os.path.join(sys.argv[1], str(pipe))

        @tff.tensorflow.computation
        def endless():
            with tf.control_dependencies([tf.io.write_file(begun, "")]):
                queue = tf.queue.FIFOQueue(1, tf.int32, shapes=[[]])
                return {"a": queue.dequeue(), "b": tf.constant(1)}

        try:
            if pipe == pipes[0]:
                asyncio.run(main())  # The runtime within the event loop, and around it.
            else:
                with tff_runtime() as worker:
                    asyncio.run(compute(endless))
        except BaseException as error:
            say(end=type(error).__name__)
        os._exit(0)
for pipe in pipes:
    os.close(pipe)
for _ in pipes:
    os.wait()
"""


ENDINGS = ["ctrl-c", "sigint", "sigterm", "sigkill"]


class Parent:
    def __init__(self, pipe):
        self.pipe = pipe

    def line(self):
        """The next line of its stdout; None at the end of it."""
        assert select.select([self.pipe], [], [], 2 * AT_MOST)[0], "nothing came through the pipe"
        line = self.pipe.readline()
        return json.loads(line) if line else None


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    """Processes that are in the middle of a computation; started once, all at the same time."""
    pipes = [os.pipe() for _ in ENDINGS]
    writes = [write for _, write in pipes]
    forker = subprocess.Popen(
        [sys.executable, "-c", PARENTS, tmp_path_factory.mktemp("begun"), *map(str, writes)],
        pass_fds=writes,
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    for write in writes:
        os.close(write)
    # Unbuffered: select sees every line.
    everyone = {
        name: Parent(open(read, "rb", buffering=0))  # noqa: SIM115
        for name, (read, _) in zip(ENDINGS, pipes, strict=True)
    }
    try:
        for parent in everyone.values():
            started = parent.line()
            parent.pid, parent.worker = started["pid"], started["worker"]
            until(pathlib.Path(started["begun"]).exists)
        yield everyone
    finally:
        for parent in everyone.values():
            if hasattr(parent, "pid") and psutil.pid_exists(parent.pid):
                os.kill(parent.pid, signal.SIGKILL)
            parent.pipe.close()
        forker.kill()
        forker.wait()


def test_runtimes_of_several_processes_do_not_share_a_worker(parents):
    everyone = parents.values()
    assert len({parent.worker for parent in everyone}) == len(ENDINGS)
    for parent in everyone:
        assert [child.pid for child in psutil.Process(parent.pid).children()] == [parent.worker]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_worker_ends_with_its_parent(parents, ending):
    parent = parents[ending]
    assert psutil.Process(parent.worker).is_running()
    if ending == "ctrl-c":
        os.killpg(parent.pid, signal.SIGINT)
    else:
        number = {"sigint": signal.SIGINT, "sigterm": signal.SIGTERM, "sigkill": signal.SIGKILL}
        os.kill(parent.pid, number[ending])
    # The first Ctrl-C counts, in the middle of a computation too.
    if ending in ("ctrl-c", "sigint"):
        assert parent.line() == {"end": "KeyboardInterrupt"}
    # Whoever reads the parent's stdout sees its end: the worker does not hold it open.
    assert parent.line() is None
    until(lambda: is_gone(parent.pid) and is_gone(parent.worker))
