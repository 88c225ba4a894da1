"""Keeps native libraries from writing to the user's terminal.

TensorFlow's converter and LiteRT log from C++ straight to file descriptor 2; neither has a switch
that Python can reach once the library is loaded.
"""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drops what is written to the process's standard error, by any thread, inside the block."""
    if sys.stderr is not None:
        sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
