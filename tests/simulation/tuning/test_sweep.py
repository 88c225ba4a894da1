"""A sweep on a tiny population, with the real TFF: killed, gone on with, held against its files."""

import contextlib
import csv
import json
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest
from commands import FEDKEYBOARD, command, fails, process

from fedkeyboard import files
from fedkeyboard.data.population import Population
from fedkeyboard.simulation import config_files
from fedkeyboard.simulation.tuning import ranges, trials

EXPERIMENT = """
seed = 2
population.file = "tiny.sqlite"
tokenizer.vocabulary_size = 300
model = { embedding = 8, units = 16, length = 10 }
client = { batch_size = 4, maximum_sentences = 12, clipping_norm = 1e12 }
rounds = { count = 2000, cohort = 4, checkpoint_every = 3, validate_every = 2 }
"""
# Under this seed the second draw diverges, and the first and third do not.
SWEEP = """
experiment = "tiny.toml"
trials = 3
seed = 4
[set]
rounds = { count = 8, validation_users = 3 }
server.optimizer = "sgd"
[ranges]
client.learning_rate = [0.5, 1e6]
server.learning_rate = { low = 0.5, high = 1.0, log = true }
"""


pytestmark = pytest.mark.heavy

ARGUMENTS = ["sweep", "--config", "rates.toml", "--out", "out"]


def stop(place, signum, trial):
    """Begins, or goes on with, a sweep and sends a signal after a trial's first checkpoint."""
    begun = subprocess.Popen(
        [FEDKEYBOARD, *ARGUMENTS],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 600
    while not (place / "out/trials" / trial / "weights.npz").exists():
        assert begun.poll() is None and time.monotonic() < deadline, begun.stderr.read()
        time.sleep(0.005)
    begun.send_signal(signum)
    return begun.wait(300), begun.stderr.read()


def rounds(place, trial):
    with open(place / "out/trials" / trial / "rounds.csv", newline="") as file:
        return [row for row in csv.reader(file) if row[0].isdigit()]


@pytest.fixture(scope="module")
def place(tiny_population, tmp_path_factory):
    """Where the test users of the population have no text: nothing that reads it would work."""
    directory = tmp_path_factory.mktemp("sweep")
    (directory / "tiny.toml").write_text(EXPERIMENT)
    (directory / "rates.toml").write_text(SWEEP)
    shutil.copy(tiny_population, directory / "tiny.sqlite")
    with Population.open(tiny_population) as population:
        test = population.users("test")
    with contextlib.closing(sqlite3.connect(directory / "tiny.sqlite")) as connection, connection:
        deleted = connection.execute(
            "DELETE FROM sentence WHERE user BETWEEN ? AND ?", (test[0], test[-1])
        )
        assert deleted.rowcount > 10
    return directory


@pytest.fixture(scope="module")
def killed(place):
    """A sweep that was killed in its first trial: the trial's rounds and settings until then."""
    code, _ = stop(place, signal.SIGKILL, "001")
    assert code == -signal.SIGKILL
    assert not (place / "out/trials/001/trial.json").exists()
    return rounds(place, "001"), (place / "out/trials/001/config.toml").read_text()


@pytest.fixture(scope="module")
def swept(place, killed):
    """The same sweep, stopped by Ctrl-C in its third trial, and gone on with to its end."""
    code, errors = stop(place, signal.SIGINT, "003")
    assert code == 1, errors
    assert errors.splitlines()[-1] == (
        "fedkeyboard: stopped; go on with: fedkeyboard sweep --config rates.toml --out out"
    )
    done = process(*ARGUMENTS, "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "trial 3/3" in done.stderr and "trial 1/3" not in done.stderr
    return json.loads(done.stdout)


def test_a_killed_trial_goes_on_from_its_checkpoint(place, killed, swept):
    before, settings = killed
    after = rounds(place, "001")
    assert [int(row[0]) for row in after] == list(range(1, 9))
    # The rounds up to the checkpoint are the same to the time that they took.
    assert after[:3] == before[:3]
    assert (place / "out/trials/001/config.toml").read_text() == settings


def test_the_trials_are_those_that_the_file_says(place, swept):
    of = ranges.load(place / "rates.toml")
    known = trials.read(place / "out")
    assert [json.loads(known[n].model_dump_json()) for n in known] == swept["trials"]
    assert [trial.state for trial in known.values()] == ["complete", "diverged", "complete"]
    assert known[2].reason.endswith("is not finite") or known[2].reason.endswith("is finite")
    for number, trial in known.items():
        assert trials.study(of, known, number).ask(of.ranges).params == trial.settings
    for number in (1, 3):
        directory = trials.directory(place / "out", number)
        metrics = json.loads((directory / "metrics.json").read_text())
        assert metrics["split"] == "validation"
        assert metrics["top1_recall"] == known[number].top1_recall
        assert list(known[number].validated) == [2, 4, 6, 8]
        population = json.loads((directory / "population.json").read_text())
        assert list(population["phones"]) == list(population["users"]) == ["train", "validation"]
        assert not (directory / "checkpoints").exists()


def test_the_best_is_ready_to_be_simulated(place, swept):
    with open(place / "out/trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete", "diverged", "complete"]
    best = max((row for row in rows if row["top1_recall"]), key=lambda r: float(r["top1_recall"]))
    loaded = config_files.load(place / "out/best.toml")
    assert loaded.client.learning_rate == float(best["client.learning_rate"])
    assert loaded.server.learning_rate == float(best["server.learning_rate"])
    assert loaded.rounds.count == 8
    assert (place / "out/sweep.html").stat().st_size > 1e6


def test_a_sweep_that_is_over_only_says_so(place, swept):
    done = command(*ARGUMENTS, cwd=place)
    assert done.returncode == 0 and "trial 1/3" not in done.stderr
    assert "diverged" in done.stdout and "best out/best.toml" in done.stdout


def test_a_sweep_goes_on_as_it_was_begun_and_alone(place, swept):
    (place / "rates.toml").write_text(
        SWEEP.replace("seed = 4", "seed = 5")
        .replace("low = 0.5", "low = 0.6")
        .replace("validation_users = 3", "validation_users = 4")
    )
    line = fails(2, *ARGUMENTS, cwd=place)
    (place / "rates.toml").write_text(SWEEP)
    for name in ("seed", "experiment.rounds.validation_users", "ranges.server.learning_rate"):
        assert f" {name}" in line
    with files.locked(place / "out"):
        assert "another process" in fails(1, *ARGUMENTS, cwd=place)


def test_wrong_use_is_refused_in_a_line(place, swept, tmp_path):
    assert "another --out" in fails(2, *ARGUMENTS, "--out", place / "out/trials/001", cwd=place)
    (place / "rates.toml").write_text(
        SWEEP.replace("client.learning_rate = [0.5, 1e6]", "rounds.cohort = [4, 5000]")
    )
    line = fails(2, *ARGUMENTS, "--out", tmp_path / "new", cwd=place)
    (place / "rates.toml").write_text(SWEEP)
    assert "rounds.cohort" in line and "training phones" in line
    assert not (tmp_path / "new").exists()


def test_a_draw_that_the_text_cannot_give_is_a_failed_trial(place, swept, tmp_path):
    """And not the end of the sweep, which would then never come to the draws after it."""
    (place / "rates.toml").write_text(
        SWEEP.replace("client.learning_rate = [0.5, 1e6]", "tokenizer.minimum_users = [5000, 6000]")
    )
    line = fails(1, *ARGUMENTS, "--out", tmp_path / "new", cwd=place)
    (place / "rates.toml").write_text(SWEEP)
    assert "no trial was completed" in line and "minimum_users" in line
    known = trials.read(tmp_path / "new")
    assert [known[number].state for number in (1, 2, 3)] == ["failed"] * 3
