"""The command line in tests: in a process of its own, or here."""

import contextlib
import io
import pathlib
import signal
import subprocess
import sys
from unittest import mock

from fedkeyboard.cli import app

FEDKEYBOARD = pathlib.Path(sys.executable).with_name("fedkeyboard")


def command(*arguments, cwd=None):
    """Runs a command as its process would; here, since importing TensorFlow takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    terminate = signal.getsignal(signal.SIGTERM)
    with (
        contextlib.chdir(cwd or "."),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["fedkeyboard", *map(str, arguments)]),
    ):
        try:
            app.main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            signal.signal(signal.SIGTERM, terminate)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def process(*arguments, **options):
    return subprocess.run(
        [FEDKEYBOARD, *map(str, arguments)], capture_output=True, text=True, timeout=600, **options
    )


def succeeds(*arguments, run=command, **options):
    done = run(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(exit_code, *arguments, run=command, **options):
    """Runs a command that must fail with one line; returns the line."""
    done = run(*arguments, **options)
    assert done.returncode == exit_code, (done.stdout, done.stderr)
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("fedkeyboard: ")]
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    return lines[0]
