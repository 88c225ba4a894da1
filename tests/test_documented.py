"""What README and the documents tell people to run, runs: each command, at a toy size."""

import ast
import contextlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request

import pytest
from documentation import ROOT, commands, targets

from benchmarks.reliability import ground

BIN = pathlib.Path(sys.executable).parent
SMALL = (
    "rounds.count=3 rounds.cohort=3 model.embedding=8 model.units=16 tokenizer.vocabulary_size=300"
)
SETS = " ".join(f"--set {each}" for each in SMALL.split())

# By what is written, what is run of it, in this order and in one directory, which has what
# `benchmarks.reliability.ground` makes; {root} is the repository.
TOYS = {
    # Set up, and the whole way.
    "python3.11 -m venv env": "{python} -m venv env",
    "env/bin/pip install --no-deps .": "env/bin/pip install --no-deps {root}",
    "env/bin/fedkeyboard simulate --config chitchat": (
        "env PYTHONPATH={libraries} env/bin/fedkeyboard simulate --config chitchat "
        "--population tiny.sqlite {sets} --out installed"
    ),
    "make simulate": "make simulate CONFIG={place}/tiny.toml POPULATION={place}/tiny.sqlite "
    "RUN={place}/made",
    "make simulate RESUME=1 RUN=D": "make simulate RESUME=1 RUN={place}/made SET=rounds.count=10 "
    "POPULATION={place}/tiny.sqlite",
    "make simulate CONFIG=simulation/configs/chitchat_full.toml": (
        "make simulate CONFIG=simulation/configs/chitchat_full.toml "
        "POPULATION={place}/tiny.sqlite RUN={place}/full SET='{small} server.decay_rounds=9'"
    ),
    "make evaluate RUN=D": "make evaluate RUN={place}/made",
    "make export RUN=D": "make export RUN={place}/made",
    "make verify RUN=D": "make verify RUN={place}/made",
    "make personalize RUN=D": "make personalize RUN={place}/made",
    "make compare RUN=D": "make compare RUN={place}/made",
    "make fleet": "make fleet CONFIG={place}/tiny.toml POPULATION={place}/tiny.sqlite ROUNDS=5 "
    "OUT={place}/fleet",
    "make sweep CONFIG=F OUT=D": "make sweep CONFIG={place}/sweep.toml "
    "POPULATION={place}/tiny.sqlite OUT={place}/sweep",
    "make lint": "make lint",
    "make figures": "make figures",
    "make test": "make test PYTEST_ADDOPTS=tests/fedkeyboard/test_cuts.py",
    "make test-heavy": "make test-heavy PYTEST_ADDOPTS=tests/data/test_bounds.py",
    "python -m pytest tests/fedkeyboard/text": (
        "env -C {root} {python} -m pytest tests/fedkeyboard/text/test_spellings.py"
    ),
    # One's own text.
    "fedkeyboard prepare --input messages.csv --user-column who --text-column said "
    "--time-column when --out mine.sqlite": None,
    "fedkeyboard simulate --config auto --population mine.sqlite --minutes 60": (
        "fedkeyboard simulate --config auto --population mine.sqlite --minutes 60 {sets} --out mine"
    ),
    "fedkeyboard simulate --config RUN/config.toml": (
        "fedkeyboard simulate --config mine/config.toml --out repeated"
    ),
    "fedkeyboard simulate --config chitchat --population next_month.sqlite --from runs/latest": (
        "fedkeyboard simulate --config chitchat --population tiny.sqlite --from mine {sets} "
        "--out month"
    ),
    "fedkeyboard population stats FILE": "fedkeyboard population stats mine.sqlite",
    "fedkeyboard simulate --config simulation/configs/chitchat.toml --set tokenizer.kind=bpe": (
        "fedkeyboard simulate --config {root}/simulation/configs/chitchat.toml "
        "--population mine.sqlite {sets} --set tokenizer.kind=bpe --out pieces"
    ),
    # Fleets.
    "fedkeyboard prepare --corpus chitchat --phones 1000000 --out million.sqlite": (
        "fedkeyboard prepare --corpus chitchat --phones 3000 --out million.sqlite"
    ),
    "fedkeyboard population stats million.sqlite": None,
    "fedkeyboard fleet --config F --rounds 3000 --set rounds.cohort=200": (
        "fedkeyboard fleet --config gboard --population million.sqlite --rounds 3 "
        "--set rounds.cohort=5 --set fleet.minimum_reports=2"
    ),
    "fedkeyboard simulate --config simulation/configs/gboard.toml": (
        "fedkeyboard simulate --config {root}/simulation/configs/gboard.toml "
        "--population million.sqlite {sets} --set fleet.minimum_reports=2 --out fleet-run"
    ),
    # A run's commands.
    "fedkeyboard sweep --config simulation/sweeps/chitchat.toml --out runs/rates": (
        "fedkeyboard sweep --config sweep.toml --population tiny.sqlite --out runs/rates"
    ),
    "fedkeyboard simulate --resume --out RUN": "fedkeyboard simulate --resume --out run",
    "fedkeyboard evaluate RUN": "fedkeyboard evaluate run",
    "fedkeyboard export RUN": "fedkeyboard export run",
    "fedkeyboard verify DIR": "fedkeyboard verify run/export",
    'fedkeyboard suggest RUN "text"': "fedkeyboard suggest run 'see you'",
    'fedkeyboard suggest RUN "how are"': "fedkeyboard suggest run 'how are'",
    "fedkeyboard personalize RUN --split validation --learning-rate 0.1 --learning-rate 0.3 "
    "--epochs 1 --epochs 3": "fedkeyboard personalize run --split validation --learning-rate 0.1 "
    "--learning-rate 0.3 --epochs 1",
    "fedkeyboard personalize DIR": "fedkeyboard personalize run",
    "fedkeyboard baseline NAME RUN": "fedkeyboard baseline unigram run",
    "fedkeyboard compare RUN...": "fedkeyboard compare run --no-central",
    "fedkeyboard update DIR F": "fedkeyboard update run/export phone0.txt --out phone0.npz",
    "fedkeyboard update RUN messages.txt --out phone1.npz": (
        "fedkeyboard update run messages.txt --out phone1.npz"
    ),
    "fedkeyboard aggregate RUN phone1.npz phone2.npz --out runs/next": (
        "fedkeyboard aggregate run phone1.npz phone2.npz --out runs/next"
    ),
    "fedkeyboard update RUN messages.txt --personal --out personal.npz": (
        "fedkeyboard update run messages.txt --personal --out personal.npz"
    ),
    'fedkeyboard suggest RUN "see you" --personal personal.npz': (
        "fedkeyboard suggest run 'see you' --personal personal.npz"
    ),
    'fedkeyboard suggest runs/next "see you" --personal personal.npz --migrate': None,
}

MUTANTS = "tests/mutants/test_mutants.py::test_a_run_is_recorded_goes_on_and_is_summed_up"
# Run by the tests that are named, or by CI.
ELSEWHERE = {
    "env/bin/pip install --no-deps -r requirements.txt": (
        "tests/test_packaging.py::test_the_requirements_are_the_locks"
    ),
    "make requirements": "tests/test_packaging.py::test_the_requirements_are_the_locks",
    "make demo PACKAGE=dir PORT=8080": "tests/test_documented.py::test_the_demo_is_served",
    "node --test tflite_export/web/test/serve.test.js": "make test-web",
    "make test-web PACKAGE=dir": "make test-web",
    "make test-android PACKAGE=DIRECTORY": "make test-android",
    "make test-ios PACKAGE=DIRECTORY": "make test-ios",
    "make mutants": MUTANTS,
    "make mutants SAMPLE=40": MUTANTS,
    "fedkeyboard simulate --resume --out RUN --set ngrams.order=0": (
        "tests/end_to_end/test_ngrams.py::test_a_finished_run_loses_and_gets_its_ngrams"
    ),
    'make mutants MODULES="data/voices.py simulation/fleet" JOBS=2': (MUTANTS),
    "make benchmark": "tests/benchmarks/test_toys.py::test_memory",
    "make benchmark QUICK=1": (
        "tests/benchmarks/test_toys.py::test_speed_of_ours_and_of_plain_tff_beside_peers"
    ),
    "python -m benchmarks.fleet": "tests/benchmarks/test_toys.py::test_fleets",
    "python -m benchmarks.quality": "tests/benchmarks/test_toys.py::test_quality",
    "python -m benchmarks.quality --population mine.sqlite --minutes 60": (
        "tests/benchmarks/test_toys.py::test_quality_on_any_population"
    ),
    "python -m benchmarks.subwords": "tests/benchmarks/test_toys.py::test_subwords",
    "python -m benchmarks.baseline_settings RUN": (
        "tests/benchmarks/test_toys.py::test_baseline_settings"
    ),
    "python -m benchmarks.phone RUN": "tests/benchmarks/test_toys.py::test_phone",
    "python -m benchmarks.default RUN": "tests/benchmarks/test_toys.py::test_default",
    "make figures WRITE=1": (
        "tests/benchmarks/test_figures.py::test_writing_has_pages_and_picture_say_it"
    ),
    "make torture": "tests/benchmarks/test_toys.py::test_reliability",
    "make torture QUICK=1": "tests/benchmarks/test_toys.py::test_reliability",
    "make torture RESUME=1": "tests/benchmarks/test_toys.py::test_reliability",
    "python -m benchmarks.reliability --only kills flips --seed 7": (
        "tests/benchmarks/test_toys.py::test_reliability"
    ),
}
# For machines that are not to be had here; the pages that have them say so.
NOT_HERE = {
    "gradle :litert:connectedAndroidTest",
    "TEST_RUNNER_FEDKEYBOARD_PACKAGE=/path/to/export xcodebuild test -scheme FedKeyboard "
    "-destination 'platform=iOS Simulator,name=iPhone 16'",
}
# Of make's own targets those that no page tells people to call.
UNTOLD = {"tools-web", "tools-android", "tools-ios", "exported", "jdk", "format", "clean"}


def name_of(command):
    """`make fleet` of `make fleet ROUNDS=3`, `fedkeyboard population stats` of one with a file."""
    words = [word for word in command.split() if "=" not in word and not word.startswith("-")]
    return " ".join(words[:3] if words[1:2] == ["population"] else words[:2])


def test_every_documented_command_is_run():
    """A name without arguments is one of something that is run with them."""
    covered = {*TOYS, *ELSEWHERE, *NOT_HERE}
    names = {name_of(command) for command in covered}
    documented = commands()
    placeholders = ("F", "D", "RUN", "DIR", "FILE")
    told = {
        command: page
        for command, page in documented.items()
        if command not in covered
        and (command != name_of(command) or name_of(command) not in names)
        # As in the tables, where a letter stands for what other commands give.
        and not (
            name_of(command) in names
            and all(
                word in placeholders or word.partition("=")[2] in placeholders
                for word in command.removeprefix(name_of(command)).split()
                if not word.startswith("--")
            )
        )
    }
    assert not told, "has no toy in this file, and no test that runs it"
    assert not covered - set(documented), "is in no document any more"


def test_every_target_is_documented_and_run():
    names = {name_of(command) for command in (*TOYS, *ELSEWHERE)}
    assert targets() - UNTOLD == {name.removeprefix("make ") for name in names if "make " in name}


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_is_run_elsewhere_is_there(command):
    where = ELSEWHERE[command]
    if where.startswith("make test-"):
        clients = re.search(
            r"^for client in (.*); do$", (ROOT / ".ci/run").read_text(), re.MULTILINE
        )
        assert where.removeprefix("make test-") in clients[1].split()
        return
    path, _, test = where.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.fixture(scope="module")
def place():
    with ground.made() as made:
        shutil.copy(made.directory / "phone1.txt", made.directory / "messages.txt")
        yield made.directory


def toy(place, command):
    command = (TOYS[command] or command).format(
        place=place,
        root=ROOT,
        python=sys.executable,
        libraries=sysconfig.get_paths()["purelib"],
        small=SMALL,
        sets=SETS,
    )
    program, *arguments = shlex.split(command)
    if program == "make":
        return [program, "-C", str(ROOT), *arguments]
    return [str(BIN / program) if program == "fedkeyboard" else program, *arguments]


@pytest.mark.heavy
@pytest.mark.parametrize("command", TOYS)
def test_it_runs(command, place):
    # make's own of an outer make, and what a test of pytest in pytest must not inherit.
    left = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTEST_"))}
    done = subprocess.run(
        toy(place, command), cwd=place, env=left, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, (done.args, done.stdout[-2000:], done.stderr[-2000:])


@pytest.mark.heavy
def test_the_demo_is_served(place):
    if not (ROOT / "tflite_export/web/node_modules").exists() and shutil.which("npm") is None:
        pytest.skip("needs npm")
    command = ["make", "-C", ROOT, "demo", f"PACKAGE={place}/run/export", "PORT=8471"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as served:
        try:
            deadline = time.monotonic() + 120
            page = b""
            while not page and time.monotonic() < deadline and served.poll() is None:
                with contextlib.suppress(OSError):
                    page = urllib.request.urlopen("http://localhost:8471/", timeout=5).read()
                time.sleep(0.2)
            assert b"<html" in page
        finally:
            os.killpg(served.pid, 15)
