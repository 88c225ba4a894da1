"""What `probe` has a child process do to a `.tflite` file.

python -m fedkeyboard.tflite_export.phone.probed FILE...
"""

import resource
import sys

from fedkeyboard import files
from fedkeyboard.errors import UserError
from fedkeyboard.tflite_export.phone.probe import REFUSED, SECONDS

# A model of 100,000 words takes some 750 MB; the libraries' own address space is 3 GB.
_MEMORY = 8 * 1024 * files.MEGABYTE


def main(*paths: str) -> None:
    """Opens files in turn; ends the process with `REFUSED` at the first that is no model."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not before memory is bounded.
    import numpy as np

    from fedkeyboard.tflite_export.files import flatbuffer
    from fedkeyboard.tflite_export.phone.litert import LiteModel

    for path in paths:
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
            sys.exit(REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
