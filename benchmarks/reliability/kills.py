"""Commands ended at a random moment; the same command again, and the result of an unbroken one.

The moment is uniform over the time the command takes, and earlier if it has ended by then. What
ends it is SIGKILL, SIGTERM, SIGHUP or SIGINT to it, or SIGKILL to TFF's worker if it has one.
"""

import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.reliability import commands, ground
from benchmarks.reliability.cases import Case
from benchmarks.reliability.ground import Ground


class Command(NamedTuple):
    """A command to end.

    Attributes:
      arguments: Of the command.
      needs: What of the ground it works on.
      differs: Takes the case's directory, the ground's, and what the command said at last; returns
        what differs from an unbroken command's result, None if nothing does.
    """

    arguments: tuple[str, ...]
    needs: tuple[str, ...]
    differs: Callable[[pathlib.Path, pathlib.Path, str], str | None]


def _file(name: str) -> Callable[[pathlib.Path, pathlib.Path, str], str | None]:
    def differs(here: pathlib.Path, there: pathlib.Path, said: str) -> str | None:
        return None if ground.digest(here / name) == ground.digest(there / name) else name

    return differs


def _run(name: str) -> Callable[[pathlib.Path, pathlib.Path, str], str | None]:
    def differs(here: pathlib.Path, there: pathlib.Path, said: str) -> str | None:
        return ground.difference_of_runs(here / name, there / name)

    return differs


def _update(here: pathlib.Path, there: pathlib.Path, said: str) -> str | None:
    with np.load(here / "new.npz") as one, np.load(there / ground.UPDATES[0]) as other:
        same = all(
            np.allclose(one[n], other[n], atol=1e-6) for n in one.files if n != "metadata.json"
        )
    return None if same else "new.npz"


def _said(reference: str) -> Callable[[pathlib.Path, pathlib.Path, str], str | None]:
    def differs(here: pathlib.Path, there: pathlib.Path, said: str) -> str | None:
        return None if ground.close(json.loads(said), json.loads(reference)) else "what it says"

    return differs


def _exists(*names: str) -> Callable[[pathlib.Path, pathlib.Path, str], str | None]:
    def differs(here: pathlib.Path, there: pathlib.Path, said: str) -> str | None:
        return next((name for name in names if not (here / name).exists()), None)

    return differs


def _commands(made: Ground) -> list[tuple[Command, int]]:
    """Returns the commands to end, with how many times of 20."""
    inputs = ("tiny.toml", "tiny.sqlite")
    with made.copy("tiny.sqlite", "run") as place:
        measured = commands.run(("evaluate", "run", "--json", *_MOVED), place).out
        gained = commands.run(
            ("baseline", "personalized", "run", "--split", "train", "--json", *_MOVED), place
        ).out
    run = ("tiny.sqlite", "run")
    return [
        (Command(ground.PREPARE, ("messages.csv",), _file("tiny.sqlite")), 3),
        (
            Command(
                (*ground.PREPARE, "--phones", "20000"), ("messages.csv",), _exists("tiny.sqlite")
            ),
            2,
        ),
        (Command(ground.SIMULATE, inputs, _run("run")), 5),
        (Command(ground.AGGREGATE, ("run", *ground.UPDATES), _run("next")), 3),
        (
            Command(
                ("update", "run", "phone0.txt", "--out", "new.npz"), (*run, "phone0.txt"), _update
            ),
            1,
        ),
        (Command(("export", "run", *_MOVED), run, _exists("run/export/manifest.json")), 1),
        (Command(("evaluate", "run", "--json", *_MOVED), run, _said(measured)), 1),
        (
            Command(
                ("baseline", "personalized", "run", "--split", "train", "--json", *_MOVED),
                run,
                _said(gained),
            ),
            1,
        ),
        (
            Command(
                ("compare", "run", "--no-central", *_MOVED), run, _exists("run/comparison.html")
            ),
            1,
        ),
        (
            Command(
                ("fleet", "--config", "tiny.toml", "--population", "tiny.sqlite", "--out", "fleet"),
                inputs,
                _exists("fleet/fleet.csv", "fleet/fleet.png"),
            ),
            1,
        ),
        (
            Command(
                (
                    "sweep",
                    "--config",
                    "sweep.toml",
                    "--population",
                    "tiny.sqlite",
                    "--out",
                    "tuned",
                ),
                (*inputs, "sweep.toml"),
                _exists("tuned/best.toml", "tuned/sweep.html"),
            ),
            1,
        ),
    ]


_MISSED = "ended before"
_TRIES = 5
_MOVED = ("--population", "tiny.sqlite")


def cases(made: Ground, count: int, generator: np.random.Generator) -> Iterator[Case]:
    """Yields so many cases, the commands in turn."""
    often = [command for command, times in _commands(made) for _ in range(times)]
    order = [often[i % len(often)] for i in range(count)]
    durations: dict[tuple[str, ...], float] = {}
    for command in dict.fromkeys(order):
        with made.copy(*command.needs) as place:
            outcome, seconds = _timed(command, place)
        if outcome.code != 0:
            raise RuntimeError(f"{' '.join(command.arguments)}: {outcome.err}")
        durations[command.arguments] = seconds
    ways = commands.strikes()
    for number, command in enumerate(order):
        way = list(ways)[int(generator.integers(len(ways)))]
        after = float(generator.random()) * durations[command.arguments]
        name = f"{number}: {' '.join(command.arguments[:2])}, {way}"
        # Not every command has a worker at every moment.
        retry = ways["SIGKILL" if way == "worker" else way]
        yield Case(name, _attempt(made, command, ways[way], retry, after))


def _timed(command: Command, place: pathlib.Path) -> tuple[commands.Outcome, float]:
    began = time.monotonic()
    return commands.run(command.arguments, place), time.monotonic() - began


def _attempt(
    made: Ground, command: Command, strike: commands.Strike, retry: commands.Strike, after: float
) -> Callable[[], tuple[str, str | None]]:
    def attempt() -> tuple[str, str | None]:
        # A command is faster when the machine has less to do than when it was timed.
        for number in range(_TRIES):
            result = once(after * 0.6**number, retry if number else strike)
            if result[0] != _MISSED:
                break
        return result

    def once(moment: float, strike: commands.Strike) -> tuple[str, str | None]:
        with made.copy(*command.needs) as place:
            first = commands.run(command.arguments, place, after=moment, strike=strike)
            # A sweep goes on without the trial whose worker died.
            went_on = first.struck and strike is not retry and command.arguments[0] == "sweep"
            if first.code == 0 and not went_on:
                return _MISSED, None
            if first.fault:
                return "struck", first.fault
            # What a command says when it was stopped, and what its help says, is the same again;
            # a training that has begun goes on by --resume.
            again, last = command.arguments, first
            if first.code != 0:
                if command.arguments[0] == "simulate" and (place / "run/config.toml").exists():
                    again = (*ground.RESUME, *_MOVED)
                last = commands.run(again, place)
                if last.fault:
                    return "again", last.fault
            finished = last.code == 2 and ("exists" in last.err or "already" in last.err)
            if last.code != 0 and not finished:
                return "again", f"exit code {last.code}: {last.err[-300:]}"
            if differs := command.differs(place, made.directory, last.out):
                return "again", f"{differs} differs from an unbroken command's"
            left = [
                path.name
                for path in place.rglob("*")
                if (path.name.startswith(".") and path.name not in (".lock", ".gitignore"))
                or "_temp" in path.name
            ]
            if left:
                return "again", f"left behind: {', '.join(left)}"
        return f"went on, first exit {first.code}", None

    return attempt
