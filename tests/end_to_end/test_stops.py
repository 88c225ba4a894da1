"""Commands that are stopped, killed, or that diverge."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from commands import FEDKEYBOARD, fails, process, succeeds
from tiny_runs import rounds, simulate

from fedkeyboard import __main__
from fedkeyboard.cli import app


@pytest.mark.heavy
def test_killed_and_resumed_is_as_unbroken(run, place, population):
    """SIGKILL after the first checkpoint; the rest of the run must be the same."""
    out = place / "killed"
    begun = subprocess.Popen(
        [FEDKEYBOARD, *map(str, simulate(population, out))],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 600
    while not (out / "weights.npz").exists():
        assert begun.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    children = psutil.Process(begun.pid).children(recursive=True)
    assert any(child.name() == "worker_binary" for child in children)
    os.kill(begun.pid, signal.SIGKILL)
    begun.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive, "TFF's worker outlived its parent"
    assert not (out / "metrics.json").exists()

    # A newer checkpoint that the disk damaged: the one before is used, and we are told.
    damaged = out / "checkpoints/round_8"
    damaged.mkdir()
    (damaged / "saved_model.pb").write_bytes(b"half a")
    resumed = process("simulate", "--resume", "--out", out, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert "round_8: damaged" in resumed.stderr

    for ours, theirs in zip(rounds(out), rounds(run), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert (ours[name] == "") == (value == "")
            if value:
                assert float(ours[name]) == pytest.approx(float(value), rel=1e-4), name
    with np.load(out / "weights.npz") as ours, np.load(run / "weights.npz") as theirs:
        for name in theirs.files:
            np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4, err_msg=name)
    ours = json.loads((out / "metrics.json").read_text())
    theirs = json.loads((run / "metrics.json").read_text())
    assert ours["perplexity"] == pytest.approx(theirs["perplexity"], rel=1e-3)


@pytest.mark.heavy
def test_training_that_diverges_fails(population, place, tmp_path):
    out = tmp_path / "diverged"
    settings = ["client.learning_rate=1e6", "client.clipping_norm=1e12", "server.optimizer=sgd"]
    settings += ["server.learning_rate=1e6", "rounds.count=60"]
    rate = [word for setting in settings for word in ("--set", setting)]
    line = fails(1, *simulate(population, out), *rate, cwd=place)
    assert "diverged" in line and "client.learning_rate" in line
    assert not (out / "export").exists()


def test_a_signal_in_a_finalizer_is_not_lost(monkeypatch):
    """There, and in what the garbage collector calls, exceptions are thrown away."""

    class Final:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)

    monkeypatch.setattr(sys, "unraisablehook", app._thrown_away)
    handlers = [signal.signal(number, app._stop) for number in (signal.SIGTERM, signal.SIGALRM)]
    try:
        with pytest.raises(KeyboardInterrupt):
            Final()
            time.sleep(60)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGALRM), handlers, strict=True):
            signal.signal(number, handler)


def test_a_stop_before_the_command_begins_is_a_line(monkeypatch, capsys):
    monkeypatch.setattr(app, "main", lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 1 and capsys.readouterr().err == "fedkeyboard: stopped\n"


@pytest.mark.heavy
def test_a_killed_build_of_virtual_phones_goes_on(tmp_path):
    build = ["prepare", "--corpus", "chitchat", "--phones", 1_500_000, "--out", "big.sqlite"]
    begun = subprocess.Popen(
        [FEDKEYBOARD, *map(str, build)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    partial = tmp_path / ".big.sqlite.partial"

    def voices():
        with contextlib.closing(sqlite3.connect(partial)) as connection:
            return connection.execute("SELECT coalesce(max(phone) + 1, 0) FROM voice").fetchone()[0]

    deadline = time.monotonic() + 600
    while not partial.exists() or partial.stat().st_size < 15e6:
        assert begun.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(begun.pid, signal.SIGKILL)
    begun.wait()
    kept = voices()
    assert 0 < kept < 1_500_000 and kept % 100_000 == 0
    summary = json.loads(succeeds(*build, "--json", cwd=tmp_path))
    assert summary["phones"]["train"] == 1_500_000
    assert summary["users"]["train"] == 768
    assert [path.name for path in tmp_path.iterdir()] == ["big.sqlite"]
