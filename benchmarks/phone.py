"""The files of a phone package: bytes, milliseconds, memory, and what their precision costs.

    python -m benchmarks.phone RUN

Exports RUN, which is over, in each precision, with all text of its test users to measure recall on;
reads what `fedkeyboard verify` sees and times; and measures memory in processes without TensorFlow.
Writes `benchmarks/results/phone.json`.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rich.table
from rich.console import Console

from benchmarks import results
from fedkeyboard.simulation import assessment, runs
from fedkeyboard.tflite_export import manifest, package
from fedkeyboard.tflite_export.manifest import INFERENCE_FILE, TRAINING_FILE

_PACKAGES = (("int8", "int8"), ("float32", "float32"), ("float16", "int8"))
_SENTENCES = 8


def memory(path: pathlib.Path) -> dict[str, float]:
    """Returns what a learning file takes."""
    command = [sys.executable, "-m", "benchmarks.phone_memory", str(path), str(_SENTENCES)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def measure(run: runs.Run, console: Console) -> dict[str, Any]:
    """Returns the rows of the results, a row a file, and the recall of each precision."""
    weights, _ = run.weights()
    rows, accuracy = [], None
    with tempfile.TemporaryDirectory() as directory:
        for precision, train_storage in _PACKAGES:
            path = pathlib.Path(directory, f"{precision}-{train_storage}")
            with (
                run.open_population() as population,
                assessment.users(run, population, "test", "measuring on", console) as texts,
            ):
                unseen = package.Unseen("test", (text.words for text in texts))
                report = package.export(
                    path,
                    weights=weights,
                    sizes=run.sizes,
                    tokenizer=run.tokenizer,
                    training=run.training_record(),
                    metrics=None,
                    unseen=None if accuracy else unseen,
                    precision=precision,
                    train_storage=train_storage,
                )
            said = manifest.load(path)
            accuracy = accuracy or said.accuracy.model_dump()
            for name in (INFERENCE_FILE, TRAINING_FILE):
                row = {
                    "file": name,
                    "stored": said.files[name].precision,
                    "bytes": said.files[name].bytes,
                    "milliseconds": {
                        timing.what: {"p50": timing.p50, "p99": timing.p99}
                        for timing in report.timings
                        if timing.file == name
                    },
                    "checks": {check.name: check.seen for check in report.checks},
                }
                if name == TRAINING_FILE:
                    row["memory_mb"] = memory(path / name)
                if row["stored"] not in [r["stored"] for r in rows if r["file"] == name]:
                    rows.append(row)
    return {"accuracy": accuracy, "rows": rows}


def table(measured: dict[str, Any]) -> rich.table.Table:
    """Returns the rows for a reader."""
    drawn = rich.table.Table()
    for name in ("file", "stored", "bytes", "what", "p50 ms", "p99 ms"):
        drawn.add_column(name)
    for row in measured["rows"]:
        for what, of in row["milliseconds"].items():
            drawn.add_row(
                *(row["file"], row["stored"], f"{row['bytes']:,}", what),
                *(f"{of['p50']:.3f}", f"{of['p99']:.3f}"),
            )
    return drawn


def main() -> None:
    """Measures, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    run = runs.open_run(parser.parse_args().run)
    measured = measure(run, Console(stderr=True))
    results.write("phone", **measured)
    out = Console()
    out.print(table(measured))
    for name, of in measured["accuracy"]["inference"].items():
        out.print(f"{name}: top-1 recall {of['top1_recall']:.3%}")
    for row in measured["rows"]:
        if "memory_mb" in row:
            out.print(f"{row['file']} {row['stored']}: {row['memory_mb']}")


if __name__ == "__main__":
    main()
