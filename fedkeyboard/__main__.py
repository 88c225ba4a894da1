"""Where the program starts: a Ctrl-C ends it with a line also while it is still being imported."""

import os
import sys


def main() -> None:
    """Runs the command line (`fedkeyboard.cli.app`)."""
    _open_standard_streams()
    try:
        from fedkeyboard.cli import app

        app.main()
    except KeyboardInterrupt:
        print("fedkeyboard: stopped", file=sys.stderr)
        sys.exit(1)


def _open_standard_streams() -> None:
    """Opens those that are closed, as a daemon's may be, on /dev/null.

    Python has None for them; and the next file that is opened, such as a population, would get
    their number, and with it whatever a library prints.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The lowest number that is free.
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
