"""All parts: `python -m benchmarks.reliability [--quick] [--only kills flips ...]`.

Writes `benchmarks/reliability/results.json` after every ten cases, and with `--resume` goes on
from there, the faults again; exits with 1 if there is a fault.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import signal
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console

from benchmarks import results
from benchmarks.reliability import cases, disks, endurance, flips, ground, hostile, inputs, kills
from fedkeyboard import files, streams
from fedkeyboard.streams import Stream

# Cases of each part.
PARTS = {
    "inputs": (inputs.cases, 300),
    "hostile": (hostile.cases, 100),
    "flips": (flips.cases, 100),
    "disks": (disks.cases, 20),
    "kills": (kills.cases, 200),
}
ROUNDS = 1000
FILE = pathlib.Path(__file__).with_name("results.json")


def main() -> None:
    """Runs the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth; written beside the results")
    parser.add_argument("--only", nargs="+", choices=[*PARTS, "rounds"], help="these parts")
    parser.add_argument("--resume", action="store_true", help="go on where the last one stopped")
    parser.add_argument("--seed", type=int, default=0, help="draws moments, bytes and bits")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="at once")
    options = parser.parse_args()
    # A shell starts what goes on in the background with Ctrl-C ignored, nohup with SIGHUP ignored,
    # and children inherit that, but no handler: of the commands, these signals are to end them.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    console = Console(stderr=True)
    file = FILE.with_name("results-quick.json") if options.quick else FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    wanted = options.only or [*PARTS, "rounds"]
    faults = 0
    with ground.made() as made:
        for number, (part, (of_part, count)) in enumerate(PARTS.items()):
            if part not in wanted:
                continue
            generator = streams.generator(options.seed, Stream.BENCHMARKS, number)
            count = max(1, count // 10) if options.quick else count
            before = known.get(part, {}) if options.resume else {}
            if before.get("seed") != options.seed:
                before = {"of": [], "seconds": 0}
            done = {of["name"]: cases.Result(**of) for of in before["of"] if not of["fault"]}
            began = time.monotonic() - before["seconds"]
            if len(done) < count:
                drawn = list(of_part(made, count, generator))
                rest = [case for case in drawn if case.name not in done]
                for found in cases.run(part, rest, options.jobs, console):
                    done |= {result.name: result for result in found}
                    ordered = [done[case.name] for case in drawn if case.name in done]
                    known[part] = _record(ordered, options.seed, time.monotonic() - began)
                    _write(file, known)
            faults += known[part]["faults"]
        if "rounds" in wanted and not (options.resume and "rounds" in known):
            known["rounds"] = endurance.measure(made, ROUNDS // 10 if options.quick else ROUNDS)
            _write(file, known)
        if "rounds" in wanted:
            faults += known["rounds"]["fault"] is not None
    for part in wanted:
        print(part, _line(known[part]))
    sys.exit(1 if faults else 0)


def _record(found: list[cases.Result], seed: int, seconds: float) -> dict[str, Any]:
    return {
        "seed": seed,
        "seconds": round(seconds),
        "cases": len(found),
        "faults": sum(result.fault is not None for result in found),
        "ended": dict(collections.Counter(result.ended for result in found).most_common()),
        "of": [dataclasses.asdict(result) for result in found],
    }


def _line(of_part: dict[str, Any]) -> str:
    if "cases" not in of_part:
        return json.dumps(of_part)
    return f"{of_part['cases']} cases, {of_part['faults']} faults, {of_part['ended']}"


def _write(file: pathlib.Path, known: dict[str, Any]) -> None:
    machines = known.get("machines", [])
    if results.machine() not in machines:  # What is resumed may be so on another.
        machines = [*machines, results.machine()]
    about = {"machines": machines, "versions": results.versions()}
    # First in the file, and as they are now.
    files.write_text(file, json.dumps(about | known | about, indent=1) + "\n")


if __name__ == "__main__":
    main()
