"""What bfloat16 products cost: the default experiment with and without, for some seeds.

Writes `benchmarks/results/bfloat16.json`.
"""

import json
import pathlib
import statistics
import subprocess
import tempfile

from rich.console import Console

from benchmarks import results
from benchmarks.entrants import simulate

SEEDS = (0, 1, 2)


def run(console: Console) -> None:
    """Trains, writes and prints."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for seed in SEEDS:
            for bfloat16 in (False, True):
                path = pathlib.Path(directory, f"{seed}-{bfloat16}")
                precision = f"client.bfloat16={str(bfloat16).lower()}"
                command = simulate(path, f"seed={seed}", precision)
                subprocess.run(
                    command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                measured = json.loads((path / "metrics.json").read_text())
                keys = ("top1_recall", "top3_recall", "perplexity")
                rows.append(
                    {
                        "seed": seed,
                        "bfloat16": bfloat16,
                        **{key: measured[key] for key in keys},
                    }
                )
                console.print(f"seed {seed}, bfloat16 {bfloat16}: {measured['top1_recall']:.4f}")
    results.write("bfloat16", rows=rows)
    exact, rounded = (
        statistics.mean(row["top1_recall"] for row in rows if row["bfloat16"] is bfloat16)
        for bfloat16 in (False, True)
    )
    Console().print(
        f"top-1 recall of unseen users, mean of {len(SEEDS)} seeds: float32 {exact:.4f}, "
        f"bfloat16 {rounded:.4f} ({rounded / exact - 1:+.2%})"
    )
