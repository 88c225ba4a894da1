"""Where the program starts: a Ctrl-C ends it with a line also while it is still being imported."""

import sys


def main() -> None:
    """Runs the command line (`fedkeyboard.cli`)."""
    try:
        from fedkeyboard import cli

        cli.main()
    except KeyboardInterrupt:
        print("fedkeyboard: stopped", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
