"""Every benchmark, on a few phones or rounds: what `make benchmark` and `python -m` run."""

import contextlib
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from benchmarks import (
    __main__,
    accuracy,
    baseline_settings,
    cohorts,
    default,
    engine,
    entrants,
    fleet,
    memory,
    phone,
    quality,
    results,
    subwords,
)
from benchmarks.entrants import Entrant, Framework
from benchmarks.peers import environments
from benchmarks.reliability import __main__ as reliability
from benchmarks.reliability import ground
from fedkeyboard import model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.evaluation.central_training import CentralTraining
from fedkeyboard.simulation.comparison import baselines

pytestmark = pytest.mark.heavy

QUIET = Console(quiet=True)
STANDIN = pathlib.Path(__file__).with_name("standin_peer.py")


@pytest.fixture(scope="module")
def made():
    with ground.made() as of:
        yield of


@pytest.fixture(autouse=True)
def written(tmp_path, monkeypatch):
    """Where results go here; returns what reads them."""
    monkeypatch.setattr(results, "DIRECTORY", tmp_path)
    return lambda name: json.loads((tmp_path / f"{name}.json").read_text())


@pytest.fixture
def tiny(made, monkeypatch):
    """Has benchmarks of whole runs run the tiny experiment, on its population."""

    def simulate(run, *settings):
        config = ["--config", str(made.directory / "tiny.toml")]
        population = ["--population", str(made.directory / "tiny.sqlite")]
        chosen = [part for each in settings for part in ("--set", each)]
        command = [str(pathlib.Path(sys.executable).with_name("fedkeyboard")), "simulate"]
        return [*command, *config, *population, "--out", str(run), *chosen]

    for module in (accuracy, memory):
        monkeypatch.setattr(module, "simulate", simulate)
    # Of which the settings of an experiment can say the file.
    text = (made.directory / "tiny.toml").read_text()
    path = made.directory / "full.toml"
    path.write_text(text.replace('corpus = "chitchat"', f'file = "{made.directory}/tiny.sqlite"'))
    monkeypatch.setattr(quality, "CONFIG", str(path))
    monkeypatch.setattr(baselines, "CENTRAL", CentralTraining(2e-3, epochs=1))
    monkeypatch.setattr(baselines, "LOCAL", LocalTraining(1.0, batch_size=4))
    return made.directory


def called(module, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


@pytest.fixture
def two_phones():
    rows = np.array([[1, *[4 + i % 7 for i in range(8)], 2]] * 5, np.int32)
    return cohorts.Cohort("typical", model.Sizes(20, 6, 9, 9), [rows, rows[:2]])


def stand_in(name, *settings):
    return Framework(name, (sys.executable, str(STANDIN), *settings))


def test_speed_of_ours_and_of_plain_tff_beside_peers(two_phones, written, monkeypatch, capsys):
    def peer(name, environment, processes, threads):
        if environment == "flower":
            raise environments.PeerMissing("no such wheel")
        return stand_in(name, str(processes), str(threads))

    monkeypatch.setattr(engine, "peer", peer)
    monkeypatch.setattr(cohorts, "draw", lambda *, quick: [two_phones])
    # The command's own end of it: `python -m benchmarks --quick`.
    with pytest.raises(SystemExit) as ended:
        called(__main__, "--quick", monkeypatch=monkeypatch)
    # A stand-in moves no weight, which is said, as is a peer that is not there.
    first, second = str(ended.value).splitlines()
    assert first.startswith("pfl-research, typical: its update differs")
    assert second == "Flower is missing: no such wheel"
    rows = {row["framework"]: row for row in written("engine-quick")["rows"]}
    assert set(rows) == {"fedkeyboard", "fedkeyboard, bfloat16", "TFF", "pfl-research"}
    assert rows["fedkeyboard"]["update_difference"] < engine.TOLERANCE
    assert rows["pfl-research"]["measurements"] == [0.25, 0.25]
    assert rows["pfl-research"]["setting"] == f"{engine.CORES} processes, 1 threads"
    assert "ours is faster by" in capsys.readouterr().out


def test_plain_tff_has_its_better_setting(two_phones, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "PLAIN_SETTINGS", ((2, 1), (1, 2)))
    two_phones.write(tmp_path / "job.npz")
    best, tried = engine.best_plain(tmp_path / "job.npz", QUIET)
    assert best.name == engine.PLAIN and len(tried) == 2


def test_a_peer_that_ends_is_an_error_with_its_last_line(two_phones, tmp_path):
    two_phones.write(tmp_path / "job.npz")
    entrant = Entrant(stand_in("a peer", "0", "1"), tmp_path / "job.npz")
    with pytest.raises(RuntimeError, match="a peer ended: a stand-in that cannot start"):
        entrant.wait()
    entrant.close()


def test_a_peers_environment_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("no-such-package-of-anybody==1.0\n")
    monkeypatch.setattr(environments, "__file__", str(tmp_path / "environments.py"))
    monkeypatch.setattr(environments, "_ROOT", tmp_path)
    monkeypatch.setattr(environments, "_UV", tmp_path / "no-uv")
    with pytest.raises(environments.PeerMissing, match="a: .*No such file"):
        environments.ensure("a")


def test_memory(two_phones, tiny, written, monkeypatch):
    monkeypatch.setattr(memory, "COHORTS", (2, 3))
    monkeypatch.setattr(memory, "ROUNDS", (2, 4))
    monkeypatch.setattr(memory, "OVER", 2)
    memory.run(two_phones, QUIET)
    assert [row["phones"] for row in written("memory")["by_cohort"]] == [2, 3]
    assert all(row["memory_mb"] > 100 for row in written("memory")["by_round"])


def test_what_bfloat16_costs(tiny, written, monkeypatch):
    monkeypatch.setattr(accuracy, "SEEDS", (0,))
    accuracy.run(QUIET)
    assert [row["bfloat16"] for row in written("bfloat16")["rows"]] == [False, True]


def test_fleets(written, monkeypatch):
    for name, value in {"SMALL": 1000, "MIDDLE": 1500, "LARGE": 2000, "COHORT": 3}.items():
        monkeypatch.setattr(fleet, name, value)
    monkeypatch.setattr(fleet, "DRAWS", 10)
    monkeypatch.setattr(fleet, "ROUNDS", 5)
    config = pathlib.Path(fleet.__file__).parents[1] / "simulation/configs/gboard.toml"
    toy = config.read_text().replace("cohort = ", "cohort = 3 #")
    toy = "\n".join(
        "minimum_reports = 2" if line.startswith("minimum_reports") else line
        for line in toy.splitlines()
    )
    path = results.DIRECTORY / "gboard.toml"
    path.write_text(toy)
    monkeypatch.setattr(fleet, "CONFIG", str(path))
    monkeypatch.setattr(fleet, "IDEAL", str(config.with_name("chitchat.toml")))
    fleet.run(QUIET)
    assert written("fleet")["rounds"]["phones"] == 1500
    assert written("fleet")["hold"]["peak_memory_mb"] > 10


def test_phone(tiny, written, monkeypatch):
    called(phone, tiny / "run", monkeypatch=monkeypatch)
    rows = written("phone")["rows"]
    assert {(row["file"], row["stored"]) for row in rows} >= {
        ("model_infer.tflite", "int8"),
        ("model_train.tflite", "float32"),
    }
    assert set(written("phone")["accuracy"]["inference"]) == {"float32", "float16", "int8"}


def test_default(tiny, written, monkeypatch):
    """The lines are those with which `fedkeyboard simulate` ends, but for where things are."""
    run = tiny / "run"
    command = [pathlib.Path(sys.executable).with_name("fedkeyboard"), "simulate", "--resume"]
    again = [*command, "--out", run, "--population", tiny / "tiny.sqlite"]
    done = subprocess.run(again, check=True, capture_output=True, text=True)
    called(default, run, monkeypatch=monkeypatch)
    simulated = [line.rstrip() for line in done.stdout.splitlines()]
    printed = written("default")["printed"]
    assert simulated[: len(printed)] == printed
    assert simulated[len(printed)].startswith("run ")
    assert len(printed) == 8 + len(written("default")["suggestions"])


def test_quality(tiny, written, tmp_path, monkeypatch):
    where = ("--directory", tmp_path / "quality")
    called(quality, "--seeds", 1, *where, monkeypatch=monkeypatch)
    of_one = written("quality")
    assert [row["seed"] for row in of_one["rows"]] == [1]
    # What stands is not measured again.
    called(quality, "--keep", "--seeds", 1, *where, monkeypatch=monkeypatch)
    assert written("quality")["rows"] == of_one["rows"]


def test_quality_on_any_population(tiny, written, tmp_path, monkeypatch):
    where = ("--directory", tmp_path / "quality", "--population", tiny / "tiny.sqlite")
    of_tiny = ("--config", tiny / "tiny.toml", "--minutes", 30)
    called(quality, "--seeds", 1, *where, *of_tiny, monkeypatch=monkeypatch)
    of_one = written("quality-tiny")
    assert of_one["rows"][0]["asked"]["minutes"] == 30
    assert of_one["heterogeneity"]["divergence"] > 0
    # Asked for otherwise, it is not the same.
    asked = quality.Asked(str(tiny / "tiny.toml"), tiny / "tiny.sqlite", 30.0)
    assert quality.kept_rows(asked) == of_one["rows"]
    assert quality.kept_rows(asked._replace(minutes=31.0)) == []


def test_subwords(tiny, written, tmp_path, monkeypatch):
    monkeypatch.setattr(subwords, "SETTINGS", ("rounds.count=2",))
    called(subwords, "--directory", tmp_path / "subwords", monkeypatch=monkeypatch)
    assert [row["kind"] for row in written("subwords")["rows"]] == ["word", "bpe", "unigram"]


def test_baseline_settings(tiny, written, monkeypatch):
    for name in ("CENTRAL", "LOCAL", "PERSONAL"):
        monkeypatch.setattr(baseline_settings, name, getattr(baseline_settings, name)[:1])
    called(baseline_settings, tiny / "run", "local", "personalized", monkeypatch=monkeypatch)
    assert set(written("baseline_settings")) >= {"local", "personalized"}


def test_reliability(written, tmp_path, monkeypatch, made):
    """A case of each part but the disks', which mount."""
    monkeypatch.setattr(ground, "made", lambda: contextlib.nullcontext(made))
    monkeypatch.setattr(reliability, "FILE", tmp_path / "results.json")
    parts = {name: (of, 1) for name, (of, _) in reliability.PARTS.items()}
    monkeypatch.setattr(reliability, "PARTS", parts)
    arguments = ["--only", "inputs", "hostile", "flips", "kills", "--seed", 7]
    for more in ([], ["--resume"]):
        with pytest.raises(SystemExit) as ended:
            called(reliability, *arguments, *more, monkeypatch=monkeypatch)
        assert ended.value.code == 0
        assert written("results")["kills"]["cases"] == 1


def test_the_default_experiment_is_what_whole_runs_run(tmp_path):
    command = entrants.simulate(tmp_path / "run", "rounds.count=2")
    assert command[-4:] == [
        "--config",
        "simulation/configs/chitchat.toml",
        "--set",
        "rounds.count=2",
    ]
