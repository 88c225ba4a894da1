"""Opens a `.tflite` file in a child process first, as what is made to harm could end this one.

LiteRT checks little of what a file says, and flatbuffers' Python code makes lists of any length: a
damaged file may crash, never end, or take all memory. Here all of that happens to a child with
bounded memory and time, that opens the file, takes it apart and runs every signature once.

What it does not show: that a file which passed is well-meant. It runs in LiteRT as a model does,
which is not meant to hold against an attacker; a package is to be taken from who made it.

    python -m tflite_export.probe FILE
"""

import pathlib
import resource
import signal
import subprocess
import sys

from fedkeyboard import files
from fedkeyboard.errors import RunFailure, UserError

# A model of 100,000 words takes some 750 MB; the libraries' own address space is 3 GB.
_MEMORY = 8 * 1024 * files.MEGABYTE
_SECONDS = 120
_REFUSED = 3


def check(path: files.PathLike) -> None:
    """Opens a file in a child process.

    Raises:
      UserError: If it is no model of ours, or none that LiteRT can run.
      RunFailure: If the child crashed, or took too long or too much memory.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(pathlib.Path(path).absolute())],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            cwd=pathlib.Path(__file__).parent.parent,
        )
    except subprocess.TimeoutExpired as error:
        raise RunFailure(
            f"{path}: not opened: LiteRT was not done with it after {_SECONDS} s"
        ) from error
    if done.returncode == _REFUSED:
        raise UserError(done.stdout.strip())
    if done.returncode:
        how = f"code {done.returncode}"
        if done.returncode < 0:
            how = signal.Signals(-done.returncode).name
        raise RunFailure(
            f"{path}: not opened: damaged, or made to harm: a process that opened it ended with "
            f"{how}; export it again"
        )


def main() -> None:
    """Does it, of the file that the command line names."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not before memory is bounded; and this module is imported by theirs.
    import numpy as np

    from tflite_export import flatbuffer
    from tflite_export.litert import LiteModel

    (path,) = sys.argv[1:]
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
                raise UserError(
                    f"{path}: LiteRT cannot run its signature {name}: {line}"
                ) from error
    except UserError as error:
        print(error)
        sys.exit(_REFUSED)


if __name__ == "__main__":
    main()
