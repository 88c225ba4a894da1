"""The library that is preloaded into TFF's worker: `parent_only.c` and `blocks.c`, compiled.

`setup.py` puts it into the wheel, so that a machine needs a compiler to install only. Where
that one is missing, damaged or of other sources than these, it is compiled anew, in a directory of
its own that is gone afterwards: nothing is kept that another could exchange.

`setup.py` runs this file where nothing but Python is installed.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

# As `setup.py` calls it, beside its sources.
INSTALLED = pathlib.Path(__file__).with_name("preloaded.so")

_SOURCES = [pathlib.Path(__file__).with_name(name) for name in ("parent_only.c", "blocks.c")]


def library() -> bytes:
    """Returns the library, as installed if that is whole and of these sources, or else compiled.

    Raises:
      OSError: If it cannot be compiled.
    """
    try:
        installed = INSTALLED.read_bytes()
    except OSError:
        installed = b""
    size = hashlib.sha256().digest_size
    return installed if installed[-size:] == _seal(installed[:-size]) else build()


def build() -> bytes:
    """Compiles the library, and seals it with a hash behind the last byte that the loader reads.

    Raises:
      OSError: If there is no compiler, or it fails.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FileNotFoundError("no C compiler: no cc, gcc or clang on the PATH (apt install gcc)")
    with tempfile.TemporaryDirectory(prefix="fedkeyboard-") as directory:
        output = pathlib.Path(directory, "worker.so")
        try:
            subprocess.run(
                [compiler, "-shared", "-fPIC", "-O2", "-o", output, *_SOURCES],
                check=True,
                env={**os.environ, "TMPDIR": directory},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
            )
        except subprocess.CalledProcessError as error:
            complaints = error.stderr.decode(errors="replace").splitlines()
            raise OSError(": ".join([f"{compiler} failed", *complaints[:1]])) from error
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{compiler} was not done after {error.timeout} s") from error
        code = output.read_bytes()
    return code + _seal(code)


def _seal(code: bytes) -> bytes:
    """A hash of the compiled code and of the sources that it was compiled from."""
    return hashlib.sha256(b"".join([code, *(path.read_bytes() for path in _SOURCES)])).digest()
