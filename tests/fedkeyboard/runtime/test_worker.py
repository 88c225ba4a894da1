"""Whom the worker serves: its parent, and nobody else."""

import contextlib
import logging
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import pytest
from tff_workers import (
    AT_MOST,
    NOBODY,
    as_another_user,
    install,
    own_workers,
    run,
    served_strangers,
    strangers_call,
    targets,
    total,
    without_compiler,
)

from fedkeyboard.errors import RunFailure
from fedkeyboard.runtime import preload
from fedkeyboard.runtime import worker as workers
from fedkeyboard.runtime.session import tff_runtime

# Nothing may be left that complains when Python collects it, after the worker's end.
pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnraisableExceptionWarning",
    "error::pytest.PytestUnhandledThreadExceptionWarning",
)


@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=as_another_user)])
def test_nobody_but_the_parent_is_served(user, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with tff_runtime() as worker:
        assert served_strangers(worker, user) == {"out"}
        assert not any(target[0].isdigit() for target in targets(worker)), "on the network"
        assert not list(tmp_path.iterdir())  # Its socket has no name any more.
        assert run(total, [1, 2, 3]) == 6


def test_the_worker_closes_all_connections_but_its_parents(monkeypatch):
    with contextlib.ExitStack() as stack:
        # The socket's name stays, for everybody, as if a stranger had been faster.
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        os.chmod(directory, 0o755)
        monkeypatch.setattr(
            tempfile, "TemporaryDirectory", lambda prefix: contextlib.nullcontext(directory)
        )
        stack.enter_context(tff_runtime())
        (name,) = filter(pathlib.Path.is_socket, pathlib.Path(directory).iterdir())
        name.chmod(0o777)

        def is_served():
            """Whether the worker greets, as HTTP/2 does, who connects."""
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(AT_MOST)
                connection.connect(str(name))
                try:
                    return bool(connection.recv(9))
                except ConnectionResetError:
                    return False

        assert is_served()  # A second connection of the parent's.
        assert strangers_call([f"unix:{name}"]) == ["out"]
        if os.getuid() == 0:
            assert strangers_call([f"unix:{name}"], NOBODY) == ["out"]
        if (child := os.fork()) == 0:
            try:
                os._exit(is_served())
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert is_served()
        assert run(total, [1, 2, 3]) == 6


def test_told_so_it_runs_unprotected_and_warns(tmp_path, monkeypatch, caplog):
    install(None, tmp_path / "installed", monkeypatch)
    without_compiler(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("FEDKEYBOARD_UNPROTECTED_WORKER", "0")
    with pytest.raises(RunFailure, match="no C compiler"):
        tff_runtime().__enter__()
    monkeypatch.setenv("FEDKEYBOARD_UNPROTECTED_WORKER", "1")
    with caplog.at_level(logging.WARNING, "fedkeyboard"), tff_runtime() as worker:
        assert run(total, [1, 2, 3]) == 6
        assert served_strangers(worker) == {"in"}  # So the strangers above do know the way.
    (record,) = caplog.records
    assert "listens on all addresses" in record.getMessage()
    assert "no C compiler" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_told_so_it_is_protected_all_the_same_where_that_works(monkeypatch, caplog):
    monkeypatch.setenv("FEDKEYBOARD_UNPROTECTED_WORKER", "1")
    with tff_runtime() as worker:
        assert served_strangers(worker) == {"out"}
    assert not caplog.records


def test_a_library_without_effect_is_noticed(monkeypatch):
    monkeypatch.setattr(preload, "_SOURCES", preload._SOURCES[1:])
    with pytest.raises(RunFailure, match="had no effect; FEDKEYBOARD_UNPROTECTED_WORKER=1"):
        tff_runtime().__enter__()
    assert not own_workers()


def test_a_worker_that_listens_on_the_network_is_ended(tmp_path, monkeypatch):
    source = tmp_path / "listen.c"
    source.write_text("""
#include <netinet/in.h>
#include <sys/socket.h>
__attribute__((constructor)) static void all_addresses(void) {
  listen(socket(AF_INET, SOCK_STREAM, 0), 1);
}
""")
    monkeypatch.setattr(preload, "_SOURCES", [*preload._SOURCES, source])
    with pytest.raises(RunFailure, match="listens on the network"):
        tff_runtime().__enter__()
    assert not own_workers()


def test_a_worker_that_cannot_start_says_why(tmp_path, monkeypatch):
    broken = tmp_path / "data/worker_binary"
    broken.parent.mkdir()
    monkeypatch.setattr(workers.tff, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(RunFailure, match="did not start .*No such file"), tff_runtime():
        pass
    broken.write_text("#!/bin/sh\necho 'out of luck' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(RunFailure, match=r"did not start \(exit status 3: out of luck\)"):
        tff_runtime().__enter__()
    assert not own_workers()


def test_the_launcher_does_not_start_an_orphan(tmp_path):
    """A parent that died before the prctl sends no signal: the launcher must look."""
    made = tmp_path / "made"
    command = [sys.executable, "-I", "-S", "-c", workers._LAUNCHER]
    touch = ["/usr/bin/touch", str(made)]
    assert subprocess.run([*command, "1", *touch], stderr=subprocess.PIPE).returncode != 0
    assert not made.exists()
    assert subprocess.run([*command, str(os.getpid()), *touch]).returncode == 0
    assert made.exists()
