"""Holds the pages against the result files: `python -m benchmarks.figures [--write]`.

Exits with 1 if a page says something else than its file, or a number that is tied to none.
"""

import argparse
import pathlib
import sys

from benchmarks.figures import check, pages


def main(root: pathlib.Path = pages.ROOT) -> None:
    """Checks, or writes and checks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--write", action="store_true", help="have the pages say what the files say"
    )
    if parser.parse_args().write:
        for name in check.write(root):
            print(f"{name} has changed")
    found = check.problems(root)
    for line in found:
        print(line)
    if found:
        sys.exit(1)


if __name__ == "__main__":
    main()
