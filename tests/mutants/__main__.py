"""`make mutants [MODULES="data/voices.py ..."] [SAMPLE=40] [JOBS=2]`; see README.md.

Writes `record.json`, from which it goes on, and of all that is recorded `summary.json` and the
tables of README.md. Exits with 1 if too many survive, or one without a reason.
"""

import argparse
import gc
import importlib
import os
import pathlib
import signal
import sys

from mutants import modules, run, summary

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def main() -> None:
    """Runs the mutants of modules."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="files or folders; default, all")
    parser.add_argument("--sample", type=int, help="so many of each; default, all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="at the same time")
    options = parser.parse_args()
    wanted = [
        path
        for path in modules.TESTS
        if not options.modules
        or any(path == of or path.startswith(f"{of.rstrip('/')}/") for of in options.modules)
    ]
    if not wanted:
        parser.error(f"no module of {', '.join(modules.TESTS)}")
    # Either ends the forks, too; a shell has what is in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # By which this was found; to processes that tests start, its folder fedkeyboard is another.
    os.environ.pop("PYTHONPATH", None)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Tests are compiled once, not by each of thousands of forks.
    sys.dont_write_bytecode = False
    for name in modules.LOADED:
        importlib.import_module(name)
    # No fork looks for garbage among these, which would copy all of their pages.
    gc.freeze()
    record = run.Record(HERE / "record.json")
    for path in wanted:
        run.run(
            ROOT,
            path,
            [f"tests/{name}" for name in modules.TESTS[path].split()],
            record,
            count=options.sample,
            seed=options.seed,
            at_once=options.jobs,
            said=lambda line: print(line, file=sys.stderr, flush=True),
        )
        record.write()
    made = summary.make(record.known, summary.read_reasons(HERE / "reasons.json"))
    # What was run elsewhere, and is committed, stays.
    made = dict(sorted((summary.read(HERE) | made).items()))
    summary.write(HERE, made)
    print(summary.table(made))
    problems = summary.problems(made)
    print("\n".join(problems), file=sys.stderr)
    sys.stdout.flush()
    # At Python's own end TensorFlow Federated fails, and says so.
    os._exit(bool(problems))


if __name__ == "__main__":
    main()
