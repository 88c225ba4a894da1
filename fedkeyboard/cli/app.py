"""Where a command starts and ends: its names, signals, and errors that are one line.

Exit codes: 0, 1 (right use that failed), 2 (wrong use). TensorFlow is imported by the commands that
need it, so that the others, and every --help, answer at once.
"""

import contextlib
import io
import logging
import os
import signal
import sys
import traceback
from typing import Annotated, Any

import click
import typer

from fedkeyboard import __version__
from fedkeyboard.cli import judging, phones, text, training
from fedkeyboard.errors import UserError
from fedkeyboard.terminal import Formatter, printable

app = typer.Typer(
    help="Federated next-word prediction for phone keyboards, from text to TFLite.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    suggest_commands=False,  # Click does it, and once is enough.
    context_settings={"help_option_names": ["-h", "--help"]},
)

population_commands = typer.Typer(help="Population files.", no_args_is_help=True)
app.add_typer(population_commands, name="population")

# What plain pip leaves out (pyproject.toml), by the name that is imported.
_BY_HAND = {
    "tensorflow_federated": "tensorflow-federated==0.87.0",
    "tensorflow_privacy": "tensorflow-privacy==0.9.0",
}

for _command in (
    text.prepare,
    training.fleet,
    training.simulate,
    training.sweep,
    judging.evaluate,
    judging.baseline,
    judging.compare,
    phones.export,
    phones.verify,
    phones.suggest,
    phones.personalize,
    phones.update,
    phones.aggregate,
):
    app.command()(_command)
population_commands.command()(text.stats)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _stop(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _thrown_away(unraisable: Any) -> None:
    """What was raised where none can catch it: by a finalizer, or what a collection calls (jax)."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # Then again, and a Ctrl-C is not lost.
    else:
        sys.__unraisablehook__(unraisable)


def main() -> None:
    """Runs the command line; every error is one line on stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Not every terminal has an arrow.
    # What a plain `kill` ends is cleaned up like what Ctrl-C ends.
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _stop)
    sys.unraisablehook = _thrown_away
    try:
        try:
            _check_names()
            # Not by typer's own handling: it draws a box around what is a line here.
            sys.exit(app(prog_name="fedkeyboard", standalone_mode=False))
        finally:
            sys.stdout.flush()  # Here, where what fails becomes a line.
    except SystemExit as ended:
        if ended.code == 130:  # typer's own code for Ctrl-C
            _fail("stopped", 1)
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        message = error.format_message().rstrip(".")
        name = error.ctx.command_path if error.ctx else "fedkeyboard"
        _fail(f"{message}; see {name} -h", error.exit_code)
    except BrokenPipeError:  # Who read the output has enough of it.
        _close_stdout()
        sys.exit(1)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        try:
            sys.stdout.flush()
        except OSError:
            name = "stdout: "
            _close_stdout()
        _fail(f"{name}{error.strerror or error}", 1)
    except Exception as error:  # noqa: BLE001, a bug: still one line, and how to see more.
        if isinstance(error, ModuleNotFoundError) and error.name in _BY_HAND:
            _fail(
                f"{error.name} is not installed, since pip cannot find all that it asks for "
                "(jaxlib 0.4.14 is no longer published; 0.4.13 does): "
                f"pip install --no-deps {' '.join(_BY_HAND.values())}",
                1,
            )
        if os.environ.get("FEDKEYBOARD_DEBUG"):
            traceback.print_exc()
        line = " ".join(str(error).split())[:300]
        _fail(f"internal error: {type(error).__name__}: {line} (FEDKEYBOARD_DEBUG=1 shows more)", 1)


def _check_names() -> None:
    """Refuses names that the files of a run, which are UTF-8, could not say."""
    names = list(sys.argv)
    with contextlib.suppress(OSError):  # It may be gone.
        names.append(os.getcwd())
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            shown = name.encode("ascii", "backslashreplace").decode()
            raise UserError(f"{shown}: not UTF-8, as names must be here; rename it") from error


def _close_stdout() -> None:
    """Throws away what stdout could not take, so that Python's exit does not try again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, exit_code: int) -> None:
    print(f"fedkeyboard: {printable(message)}", file=sys.stderr)
    sys.exit(exit_code)
