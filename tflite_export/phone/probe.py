"""Opens a `.tflite` file in a child process first, as what is made to harm could end this one.

LiteRT checks little of what a file says, and flatbuffers' Python code makes lists of any length: a
damaged file may crash, never end, or take all memory. Here all of that happens to a child with
bounded memory and time (`phone.probed`), that opens the file, takes it apart and runs every
signature once.

What it does not show: that a file which passed is well-meant. It runs in LiteRT as a model does,
which is not meant to hold against an attacker; a package is to be taken from who made it.
"""

import pathlib
import signal
import subprocess
import sys
import tempfile
from typing import BinaryIO

from fedkeyboard import files
from fedkeyboard.errors import RunFailure, UserError

SECONDS = 120
_CHILD = "fedkeyboard.tflite_export.phone.probed"
# What it ends with if the last line that it wrote says what is wrong.
REFUSED = 3


def check(*paths: files.PathLike) -> None:
    """Opens files in a child process.

    Raises:
      UserError: If one is no model of ours, or none that LiteRT can run.
      RunFailure: If the child crashed, or took too long or too much memory.
    """
    absolute = [str(pathlib.Path(path).absolute()) for path in paths]
    with tempfile.TemporaryFile() as told:
        try:
            code = subprocess.run(
                # By none of this directory's files.
                [sys.executable, "-P", "-m", _CHILD, *absolute],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise RunFailure(
                f"{_last(told) or paths[0]}: not opened: a process that opened it was not done "
                f"after {SECONDS} s"
            ) from error
        if code == REFUSED:
            raise UserError(_last(told))
        if code:
            how = signal.Signals(-code).name if code < 0 else f"code {code}"
            raise RunFailure(
                f"{_last(told) or paths[0]}: not opened: damaged, or made to harm: a process that "
                f"opened it ended with {how}; export it again"
            )


def _last(told: BinaryIO) -> str:
    """Returns the last line that the child wrote: what was wrong, or what it was opening."""
    told.seek(0)
    lines = told.read(files.MEGABYTE).decode(errors="replace").splitlines()
    return lines[-1] if lines else ""
