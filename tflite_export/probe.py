"""Opens a `.tflite` file in a child process first, as what is made to harm could end this one.

LiteRT checks little of what a file says, and flatbuffers' Python code makes lists of any length: a
damaged file may crash, never end, or take all memory. Here all of that happens to a child with
bounded memory and time, that opens the file, takes it apart and runs every signature once.

What it does not show: that a file which passed is well-meant. It runs in LiteRT as a model does,
which is not meant to hold against an attacker; a package is to be taken from who made it.

    python -m tflite_export.probe FILE...
"""

import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
from typing import BinaryIO

from fedkeyboard import files
from fedkeyboard.errors import RunFailure, UserError

# A model of 100,000 words takes some 750 MB; the libraries' own address space is 3 GB.
_MEMORY = 8 * 1024 * files.MEGABYTE
_SECONDS = 120
_REFUSED = 3


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
                [sys.executable, "-m", __name__, *absolute],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.DEVNULL,
                timeout=_SECONDS,
                check=False,
                cwd=pathlib.Path(__file__).parent.parent,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise RunFailure(
                f"{_last(told) or paths[0]}: not opened: a process that opened it was not done "
                f"after {_SECONDS} s"
            ) from error
        if code == _REFUSED:
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


def main() -> None:
    """Does it, of the files that the command line names."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not before memory is bounded; and this module is imported by theirs.
    import numpy as np

    from tflite_export import flatbuffer
    from tflite_export.litert import LiteModel

    for path in sys.argv[1:]:
        print(path, flush=True)
        try:
            opened = LiteModel(path)
            flatbuffer.unpack(files.read_bytes(path, at_most=2**31))
            for name, signature in opened.signatures().items():
                nothing = {
                    each: np.zeros([abs(size) for size in of["shape"]], of["type"])
                    for each, of in signature["inputs"].items()
                }
                try:
                    opened.run(name, **nothing)
                except (RuntimeError, ValueError) as error:
                    line = " ".join(str(error).split())
                    raise UserError(f"{path}: LiteRT cannot run {name}: {line}") from error
        except UserError as error:
            print(error)
            sys.exit(_REFUSED)


if __name__ == "__main__":
    main()
