"""One flipped bit in any file of a run or a package: the same result, or an error that names it.

Nor does a file that is no file, or has no end, hang a reader or fill its memory.
"""

import asyncio
import collections
import csv
import os
import random
import resource
import shutil
import subprocess

import numpy as np
import pytest
from commands import command, fails, succeeds
from rich.console import Console

from fedkeyboard import hashed, model
from fedkeyboard.data.population import Population
from fedkeyboard.errors import UserError
from fedkeyboard.simulation import checkpoints, config_files, rounds, runs
from fedkeyboard.simulation.comparison import centralized, comparison
from fedkeyboard.simulation.comparison.task import Task
from fedkeyboard.simulation.fleet import fleet_report
from fedkeyboard.simulation.tuning import trials
from fedkeyboard.text import subwords
from fedkeyboard.tflite_export import golden, manifest, package, verify
from fedkeyboard.tflite_export.phone import exported_files
from fedkeyboard.tflite_export.phone.opened import Package

SETTINGS = """
population.file = "tiny.sqlite"
tokenizer = { vocabulary_size = 300 }
model = { embedding = 6, units = 8, length = 8 }
rounds = { count = 3, cohort = 4 }
"""
FLIPS = 20
STATE = collections.OrderedDict(weights=np.arange(500, dtype=np.float32), rounds=np.int32(3))


@pytest.fixture(scope="module")
def population(tiny_population):
    with Population.open(tiny_population) as opened:
        yield opened


@pytest.fixture(scope="module")
def begin(population, tmp_path_factory):
    """Makes a run of drawn weights that has all that a trained one has."""

    def begun(tokenizer, *overrides):
        path = tmp_path_factory.mktemp("runs") / "run"
        settings = path.with_name("settings.toml")
        settings.write_text(SETTINGS)
        config = config_files.load(settings, overrides)
        run = runs.begin(path, config, population, tokenizer)
        rounds.keep(run.rounds_csv, 0)
        with open(run.rounds_csv, "a", newline="") as file:
            writer = csv.DictWriter(file, rounds.COLUMNS, restval=1)
            writer.writerows({"round": number, "loss": 5 - number} for number in (1, 2, 3))
        hashed.record(path, [run.rounds_csv])
        run.save_weights(model.initial_weights(run.sizes, 1), 3)
        run.save_metrics({"top1_recall": 0.125, "users": 12})
        run.save_rounds_of_updates([2])
        return run

    return begun


@pytest.fixture(scope="module")
def run(begin, tiny_tokenizer):
    made = begin(tiny_tokenizer)
    weights, _ = made.weights()
    package.export(
        made.path / runs.PACKAGE,
        weights=weights,
        sizes=made.sizes,
        tokenizer=made.tokenizer,
        training=made.training_record(),
        metrics=made.metrics(),
    )
    return made


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def bits(path, count=FLIPS):
    return random.Random(path.name).sample(range(8 * path.stat().st_size), count)


def flipped(path):
    """Flips some bits of a file, one at a time; yields after each."""
    whole = path.read_bytes()
    try:
        for bit in bits(path):
            flip(path, bit)
            yield bit
            path.write_bytes(whole)
    finally:
        path.write_bytes(whole)


def assert_noticed(path, read, *named):
    """Every flip of a bit is an error that names the file, or changes nothing."""
    before, errors = read(), 0
    for bit in flipped(path):
        try:
            assert read() == before, bit
        except UserError as error:
            errors += 1
            line = str(error)
            assert any(name in line for name in (path.name, *named)), line
            assert len(line.splitlines()) == 1, line
    assert read() == before
    return errors


def all_of(path):
    """All that is read of a run's own files."""
    run = runs.open_run(path)
    weights, number = run.weights()
    return (
        run.config,
        run.tokenizer,
        run.population_record(),
        [w.tobytes() for w in weights],
        number,
        run.training_record(),
        run.metrics(),
        rounds.read(run.rounds_csv),
        fleet_report.figures(fleet_report.read_rounds(run.rounds_csv)),
    )


RUN = (
    *("config.toml", "tokenizer.model", "population.json", "weights.npz", "metrics.json"),
    *("rounds.csv", "rounds_of_updates.json", hashed.RECORD),
)


@pytest.mark.parametrize("name", RUN)
def test_a_flipped_bit_in_a_run(run, name):
    assert assert_noticed(run.path / name, lambda: all_of(run.path)) == FLIPS


@pytest.fixture(scope="module")
def of_pieces(begin, tiny_texts):
    tokenizer = subwords.learn(tiny_texts, kind="bpe", vocabulary_size=200, minimum_users=2)
    return begin(tokenizer, "tokenizer.kind=bpe", "tokenizer.vocabulary_size=200")


@pytest.mark.parametrize("name", ["tokenizer.model", "words.model"])
def test_a_flipped_bit_in_a_run_of_sub_words(of_pieces, name):
    assert assert_noticed(of_pieces.path / name, lambda: all_of(of_pieces.path)) == FLIPS


@pytest.mark.heavy
def test_with_a_flipped_bit_in_a_checkpoint_the_one_before_is_taken(tmp_path, caplog):
    whole, copy = tmp_path / "whole", tmp_path / "copy"

    async def save():
        for number in (3, 6):
            state = STATE | {"rounds": np.int32(number)}
            await checkpoints.Checkpoints(whole).save(state, number)

    asyncio.run(save())
    last = whole / "checkpoints/round_6"
    names = [path for path in sorted(last.rglob("*")) if path.is_file() and path.stat().st_size]
    assert len(names) >= 4
    for path in names:
        for bit in bits(path):
            shutil.copytree(whole, copy)
            flip(copy / path.relative_to(whole), bit)
            state, number = asyncio.run(checkpoints.Checkpoints(copy).load(STATE))
            assert (number, state["rounds"]) == (3, 3), (path, bit)
            np.testing.assert_array_equal(state["weights"], STATE["weights"])
            assert "round_6: damaged" in caplog.messages[-1]
            shutil.rmtree(copy)


def test_a_flipped_bit_in_what_was_compared_is_made_again(run, population):
    task = Task(run, population, "test", Console(quiet=True))
    kept = run.path / "baselines" / "unigram-test.json"
    before = comparison.assess("unigram", task).report
    whole = kept.read_bytes()
    for bit in bits(kept):
        flip(kept, bit)
        assert comparison.assess("unigram", task).report == before
        assert kept.read_bytes() == whole


def test_a_flipped_bit_in_what_central_training_kept(tmp_path):
    path = tmp_path / "central-1.npz"
    values = {"epoch": np.int64(3), "part_0": np.arange(300, dtype=np.float32)}
    centralized._save(path, "settings", values)

    def read():
        kept = centralized._load(path, "settings", values)
        return None if kept is None else {name: value.tobytes() for name, value in kept.items()}

    assert read() is not None and centralized._load(path, "others", values) is None
    for _ in flipped(path):
        assert read() is None


def test_a_flipped_bit_in_a_trial(tmp_path):
    path = trials.directory(tmp_path, 1) / "trial.json"
    trial = trials.Trial(number=1, state="complete", settings={"a.b": 0.1}, top1_recall=0.25)
    trial.save(path)
    assert assert_noticed(path, lambda: trials.read(tmp_path)) == FLIPS


def all_of_package(directory):
    """All that is read of a package: by those who use it, and by `verify`."""
    opened = Package(directory)
    checks = verify._Checks(opened)
    return (
        opened.manifest,
        opened.stored(),
        opened.client(),
        opened.tokenizer,
        opened.inference.suggest([5, 6, 7]),
        [w.tobytes() for w in opened.learner.weights()],
        opened.vocabulary_sha256,
        exported_files.suggest_words(
            directory / manifest.INFERENCE_FILE, directory / "vocabulary.txt", "how are"
        ),
        checks.check_files(),
        checks.check_texts(),
    )


PACKAGE = (
    *(manifest.FILE, manifest.INFERENCE_FILE, manifest.TRAINING_FILE),
    *("vocabulary.txt", golden.FILE),
)


@pytest.mark.parametrize("name", PACKAGE)
def test_a_flipped_bit_in_a_package(run, name):
    directory = run.path / runs.PACKAGE
    # Of a package whose format's name or version is another, that is what is said.
    read = lambda: all_of_package(directory)  # noqa: E731
    assert assert_noticed(directory / name, read, str(directory)) == FLIPS


@pytest.mark.parametrize("name", [manifest.INFERENCE_FILE, "vocabulary.txt"])
def test_a_flipped_bit_is_told_by_the_commands(run, name):
    directory = run.path / runs.PACKAGE
    file = directory / manifest.INFERENCE_FILE
    flip(directory / name, 1000)
    try:
        for model_of in (run.path, file):
            assert name in fails(1, "suggest", model_of, "how are")
    finally:
        flip(directory / name, 1000)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("/dev/zero"),
        os.mkfifo,
        os.mkdir,
        lambda path: subprocess.run(["truncate", "-s", "4T", path], check=True),
    ],
    ids=["zero", "pipe", "directory", "huge"],
)
def test_what_is_no_file_or_has_no_end_is_refused(run, tmp_path, make):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in (*RUN, *(f"export/{name}" for name in PACKAGE)):
        copy = shutil.copytree(run.path, tmp_path / "copy")
        (copy / name).unlink()
        make(copy / name)
        read = all_of_package if "/" in name else all_of
        with pytest.raises(UserError) as caught:
            read(copy / "export" if "/" in name else copy)
        assert (copy / name).name in str(caught.value), str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        shutil.rmtree(copy)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, grown


def test_a_run_without_hashes_goes_on_with_a_line(run, tmp_path, monkeypatch, caplog):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    (copy / hashed.RECORD).unlink()
    monkeypatch.chdir(tmp_path)
    assert all_of("copy") == all_of(run.path)
    (line,) = caplog.messages
    assert "copy: has files whose hashes are not in hashes.json" in line
    # Each file has its hash once it is written again.
    runs.open_run(copy).save_metrics({"top1_recall": 0.5})
    flip(copy / "metrics.json", 100)
    with pytest.raises(UserError, match=r"metrics\.json: damaged"):
        runs.open_run(copy).metrics()


def test_a_file_without_a_package_is_opened_with_a_line(run, tmp_path, caplog):
    for name in (manifest.INFERENCE_FILE, "vocabulary.txt"):
        shutil.copy(run.path / runs.PACKAGE / name, tmp_path)
    file = tmp_path / manifest.INFERENCE_FILE
    done = command("suggest", file, "how are", "--json")
    assert done.returncode == 0 and "no manifest.json beside it" in caplog.text
    assert done.stdout == succeeds("suggest", run.path, "how are", "--json")
    for garbage in (b"", b"no flatbuffer" * 100, b"\x1c\x00\x00\x00TFL3" + b"\xff" * 1000):
        file.write_bytes(garbage)
        done = command("suggest", file, "how are")
        assert done.returncode in (1, 2) and done.stdout == ""
        assert f"{file}: not " in done.stderr.splitlines()[-1]
