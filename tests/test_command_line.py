"""The command line before any work: help, names, slips, terminals of any width, broken outputs."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import click
import pytest
import typer
from commands import FEDKEYBOARD, command, fails, process
from rich.console import Console

from fedkeyboard.cli import app, output
from fedkeyboard.errors import RunFailure
from fedkeyboard.runtime import session
from fedkeyboard.simulation import assessment, config_files, directories, experiment, progress
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation.rounds import Round
from fedkeyboard.text.tokenizer import SPECIAL, Tokenizer

COMMANDS = [
    *("prepare", "population stats", "fleet", "simulate", "sweep", "evaluate", "export", "verify"),
    *("personalize", "update", "aggregate", "baseline", "compare", "suggest"),
]


def run(*arguments, **options):
    return subprocess.run(
        [FEDKEYBOARD, *arguments], capture_output=True, text=True, timeout=120, **options
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_by_either_option_shows_no_type_for_what_takes_no_value(name):
    short, long = (command(*name.split(), option) for option in ("-h", "--help"))
    assert short.returncode == long.returncode == 0
    assert short.stdout == long.stdout
    assert "<bool>" not in short.stdout and "BOOLEAN" not in short.stdout
    for line in short.stdout.splitlines():
        assert len(line) <= 80


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["simulat"], "Did you mean 'simulate'?; see fedkeyboard -h"),
        (["simulate", "--confg", "x"], "'--config'"),
        (["simulate", "--config"], "'--config' requires an argument; see fedkeyboard -h"),
        (["export", "run", "--precision", "int4"], "'int4' is not one of 'int8', 'float16'"),
        (["evaluate"], "Missing argument 'RUN"),
        (["population", "stat"], "Did you mean 'stats'?; see fedkeyboard population -h"),
        (["simulate"], "give --config, such as --config auto, or --resume"),
        (["simulate", "--resume", "--minutes", "5"], "give --set rounds.minutes=N"),
        (["simulate", "--resume", "--config", "auto"], "leave it out to go on"),
        (["simulate", "--config", "auto", "--minutes", "0"], "'--minutes': 0"),
        (["simulate", "--config", "auto", "--minutes", "nan"], "--minutes"),
        (["simulate", "--config", "auto", "--from", "nowhere"], "nowhere: no such run directory"),
    ],
)
def test_a_slip_is_answered_in_a_line_with_what_was_meant(arguments, meant):
    done = command(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("fedkeyboard: ") and line.count(meant) == 1


def test_no_number_is_without_bound():
    """A count of 10^30 would go on for ever."""

    def commands(group):
        for each in group.commands.values():
            yield from commands(each) if hasattr(each, "commands") else [each]

    numbers = [
        (each.name, option)
        for each in commands(typer.main.get_command(app.app))
        for option in each.params
        if isinstance(option.type, click.types.IntParamType | click.IntRange)
    ]
    assert len(numbers) > 8
    assert [(name, option.name) for name, option in numbers if option.type.max is None] == []


@pytest.mark.parametrize("arguments", [[], ["population"]])
def test_without_a_command_it_is_the_help(arguments):
    done = command(*arguments)
    assert done.returncode == 2 and "Usage: fedkeyboard" in done.stdout + done.stderr


def test_bundled_experiments_and_sweeps_have_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_files.find(pathlib.Path("chitchat")).samefile(
        pathlib.Path(configs.__file__).parent / "configs/chitchat.toml"
    )
    assert config_files.find(pathlib.Path("chitchat"), "sweeps").parent.name == "sweeps"
    (tmp_path / "chitchat").write_text("of one's own")
    assert config_files.find(pathlib.Path("chitchat")) == pathlib.Path("chitchat")
    line = fails(2, "simulate", "--config", "chitcat")
    assert "did you mean chitchat?" in line and "gboard" in line
    assert "none.toml: No such file" in fails(2, "simulate", "--config", "none.toml")


def test_a_place_that_is_taken_is_refused_before_tensorflow_is_imported(tmp_path):
    (tmp_path / "file").write_text("of somebody")
    code = (
        "import sys\n"
        "from fedkeyboard.cli import app\n"
        "sys.argv = ['fedkeyboard', 'simulate', '--config', 'chitchat', '--out', sys.argv[1]]\n"
        "try:\n    app.main()\n"
        "finally:\n    print('tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert "not empty; give another --out" in done.stderr


def test_no_command_compiles_its_libraries():
    """Where PYTHONDONTWRITEBYTECODE is set each would, for ten seconds: the setup did it."""
    for name in ("tensorflow", "tensorflow_federated"):
        source = importlib.util.find_spec(name).origin
        compiled = pathlib.Path(importlib.util.cache_from_source(source))
        assert compiled.exists(), "make clean; make .venv/.synced"


def test_the_shell_completes_commands_and_options():
    for words, at, completed in (
        ("fedkeyboard sim", 1, "simulate"),
        ("fedkeyboard simulate --res", 2, "--resume"),
    ):
        asked = {"_FEDKEYBOARD_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": at}
        done = run(env=os.environ | {key: str(value) for key, value in asked.items()})
        assert done.stdout.split() == [completed]


def test_an_output_that_is_full_or_closed_is_no_traceback():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [FEDKEYBOARD, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert re.fullmatch(r"fedkeyboard: .*No space left on device\n", done.stderr)
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        done = subprocess.run(
            [FEDKEYBOARD, "--help"], stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_table_breaks_a_word(width, monkeypatch, capsys):
    monkeypatch.setattr(output, "OUT", Console(width=width))
    header = ("trial", "client learning_rate", "server learning_rate", "top-1 recall", "rounds")
    output.print_table([("1", "0.1234", "0.0312", "18.3%", "300")] * 2, header)
    shown = capsys.readouterr().out
    for word in (*" ".join(header).split(), "0.1234"):
        assert word in shown.split(), shown


@pytest.mark.parametrize(
    ("expected", "shown"),
    [((10, None), "round 5/10"), ((None, None), "round 5 "), ((None, 600.0), "round 5 ")],
    ids=["rounds", "itself", "time"],
)
def test_the_bar_is_as_wide_as_the_terminal(expected, shown):
    for width in (60, 200):
        console = Console(force_terminal=True, width=width, legacy_windows=False)
        with console.capture() as captured, progress.rounds(console, *expected) as on_round:
            on_round(Round(5, 1.0, 1, 1, 1, 1, 0, 5.0, None, None, None))
        lines = (
            re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", captured.get()).replace("\r", "\n").split("\n")
        )
        assert max(map(len, lines)) == width
        assert any(shown in line and "loss 5.000" in line for line in lines)


@pytest.mark.parametrize(
    ("expected", "last"),
    [
        ((9, None), "round 9/9  loss 5.000  recall 20.0%  0 s left"),
        ((None, None), "round 9  loss 5.000  recall 20.0%, best 30.0%"),
        ((None, 2.4), "round 9  loss 5.000  recall 20.0%, best 30.0%  2 s left"),
    ],
    ids=["rounds", "itself", "time"],
)
def test_without_a_terminal_lines_say_what_is_left(expected, last, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    console = Console(width=200)
    with console.capture() as captured, progress.rounds(console, *expected) as on_round:
        for number, recall in enumerate((0.1, 0.3, None, 0.2), start=6):
            on_round(Round(number, 1.0, 1, 1, 1, 1, 0, 5.0, recall, None, None))
    lines = captured.get().splitlines()
    assert len(lines) == 4 and lines[-1] == last


def test_what_is_suggested_at_the_end_is_in_the_vocabularys_language():
    english = Tokenizer(
        b"", (*SPECIAL, *("i", "am", "going", "to", "how", "are", "what", "do", "you"))
    )
    assert assessment.beginnings(english, None) == list(assessment.EXAMPLES)
    german = Tokenizer(b"", (*SPECIAL, "ich", "bin", "wie", "geht"))
    after = {"": ["ich", "wie", "bin"], "ich": ["bin"], "wie": ["geht"], "bin": []}
    shown = assessment.beginnings(german, lambda text: [(word, 0.5) for word in after[text]])
    assert shown == ["ich bin", "wie geht", "bin"]


def test_a_run_that_cannot_start_leaves_nothing(tmp_path, tiny_population, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = config_files.load(
        config_files.find(pathlib.Path("chitchat")),
        ["tokenizer.vocabulary_size=300", "model.units=8", "rounds.count=2"],
    )
    older = directories.RUNS / "older"
    older.mkdir(parents=True)
    directories.point_latest(older)

    def begin():
        experiment.begin(
            settings,
            directories.RUNS / "new",
            population_file=tiny_population,
            console=Console(stderr=True),
        )

    def no_worker(*_):
        assert directories.latest() == "new"
        raise RunFailure("no worker")

    monkeypatch.setattr(session.workers, "start", no_worker)
    with pytest.raises(RunFailure, match="no worker"):
        begin()
    assert not (directories.RUNS / "new").exists()
    assert directories.latest() == "older"

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(session.workers, "start", stopped)
    with pytest.raises(RunFailure, match="simulate --resume --out"):
        begin()
    assert (directories.RUNS / "new/config.toml").exists()


@pytest.mark.parametrize("stream", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(stream, tmp_path):
    """As those of a daemon: the first file that is opened would get their number."""
    for arguments, code in (("--version", 0), ("suggest none i", 2)):
        shell = f"exec {FEDKEYBOARD} {arguments} {stream}"
        done = subprocess.run(["sh", "-c", shell], capture_output=True, cwd=tmp_path, timeout=60)
        assert done.returncode == code
        assert bool(done.stdout) == (code == 0 and ">&-" not in stream.replace("2>&-", ""))
        assert bool(done.stderr) == (code == 2 and "2>&-" not in stream)


def test_a_name_that_no_file_could_say_is_refused(tmp_path):
    name = os.fsdecode(b"x\xff")
    line = fails(2, "simulate", "--out", name, run=process)
    assert line == r"fedkeyboard: x\udcff: not UTF-8, as names must be here; rename it"
    (tmp_path / name).mkdir()
    assert r"x\udcff: not UTF-8" in fails(
        2, "suggest", "none", "i", run=process, cwd=tmp_path / name
    )


@pytest.mark.heavy
def test_tensorboard_starts():
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("tensorboard"), "--version"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
