"""All benchmarks: `python -m benchmarks [--quick]`."""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console

from benchmarks import accuracy, cohorts, engine, fleet, memory


def main() -> None:
    """Runs the benchmarks; exits with 1 if a result is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="smaller cohorts, fewer rounds, speed only"
    )
    quick = parser.parse_args().quick
    console = Console(stderr=True)
    drawn = cohorts.draw(quick=quick)
    wrong = engine.run(drawn, 2 if quick else 5, console, quick=quick)
    if not quick:
        memory.run(drawn[0], console)
        accuracy.run(console)
        fleet.run(console)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
