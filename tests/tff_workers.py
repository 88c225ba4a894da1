"""TFF's real worker in tests: computations, its processes, and strangers that call it."""

import asyncio
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.proto.v0 import computation_pb2, executor_pb2

from fedkeyboard.runtime import preload, session

REPOSITORY = pathlib.Path(session.__file__).parents[2]


AT_MOST = 120.0  # Seconds.


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def total(values):
    return tff.federated_sum(values)


@tff.federated_computation(
    tff.FederatedType(np.int32, tff.SERVER), tff.FederatedType(np.int32, tff.CLIENTS)
)
def add(state, values):
    return tff.federated_map(
        tff.tensorflow.computation(lambda a, b: a + b, (np.int32, np.int32)),
        tff.federated_zip((state, tff.federated_sum(values))),
    )


def wait_in(begun):
    """Writes the file `begun`, then waits for an element of a queue that nobody fills."""
    with tf.control_dependencies([tf.io.write_file(str(begun), "")]):
        return tf.queue.FIFOQueue(1, tf.int32, shapes=[[]]).dequeue()


def endless(begun):
    return tff.tensorflow.computation(lambda: wait_in(begun))()


def endless_at_clients(begun, clients):
    wait = tff.tensorflow.computation(lambda x: x + wait_in(begun), np.int32)

    @tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
    def computation(values):
        return tff.federated_sum(tff.federated_map(wait, values))

    return computation([1] * clients)


def run(computation, *arguments):
    async def value():
        return await tff.program.materialize_value(computation(*arguments))

    return asyncio.run(asyncio.wait_for(value(), AT_MOST))


def own_workers():
    children = psutil.Process().children()
    return [child.pid for child in children if child.name() == "worker_binary"]


def until(condition):
    """Waits until something is so."""
    deadline = time.monotonic() + AT_MOST
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid):
    """Whether process `pid` has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# Somebody who calls the worker by what `ss` says of it. Imports come before another user's rights,
# since that one may not read where Python is; GetExecutor is the first call of TFF's own stub.
STRANGER = """
import os, sys
import grpc

grpc.insecure_channel("unix:/").close()  # Imports more.
user, request = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
if user != os.getuid():
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
for target in sys.argv[3:]:
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/tensorflow_federated.v0.ExecutorGroup/GetExecutor")
        try:
            call(request, timeout=30)
            print("in")
        except grpc.RpcError as error:
            shut = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            print("out" if shut else f"in: {error}")
"""


NOBODY = 65534


as_another_user = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


def strangers_call(targets, user=None):
    """What a process, of this user or another, gets from each target: "in" or "out"."""
    clients = executor_pb2.Cardinality(
        placement=computation_pb2.Placement(uri="clients"), cardinality=1
    )
    request = executor_pb2.GetExecutorRequest(cardinalities=[clients])
    user = os.getuid() if user is None else user
    return subprocess.run(
        [sys.executable, "-c", STRANGER, str(user), request.SerializeToString().hex(), *targets],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * AT_MOST,
    ).stdout.splitlines()


def targets(worker):
    """All that the worker listens on, as gRPC would name it."""
    network, local = [], []
    for connection in psutil.Process(worker.pid).net_connections("all"):
        if connection.status == psutil.CONN_LISTEN:
            network.append(f"127.0.0.1:{connection.laddr.port}")
        elif connection.family == socket.AF_UNIX and connection.laddr:
            local.append(f"unix:{connection.laddr}")
    return network + local


def served_strangers(worker, user=None):
    """What a stranger gets from all that the worker listens on."""
    found = targets(worker)
    assert found, "the stranger had nothing to call"
    return set(strangers_call(found, user))


def install(library, directory, monkeypatch):
    """Makes `library` the installed one; None, that there is none."""
    directory.mkdir(parents=True)
    installed = directory / preload.INSTALLED.name
    if library is not None:
        installed.write_bytes(library)
    monkeypatch.setattr(preload, "INSTALLED", installed)


def without_compiler(directory, monkeypatch):
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
