"""Seconds a round, against plain TFF: the same phones, batches, model and worker, in turn.

    make benchmark            7 rounds of each
    make benchmark QUICK=1    3 rounds of each

Writes benchmarks/results/engine.json with every measurement. Both learn from the same weights, and
the benchmark fails if their updates differ by more than 1e-4 of the update's norm.
"""

import argparse
import asyncio
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow_federated as tff
from rich.console import Console
from rich.table import Table

from benchmarks import textbook
from data.cleaning import Cleaning
from data.population import Population
from data.prepare import ensure_chitchat
from fedkeyboard import federated_averaging, files, local_training, model, runtime
from fedkeyboard.tokenizer import Tokenizer
from simulation.cohorts import Reader
from simulation.experiment import POPULATIONS

RESULTS = pathlib.Path(__file__).parent / "results" / "engine.json"
BATCH_SIZE = 16
LEARNING_RATE = 0.5
TOLERANCE = 1e-4
WARM_UP = 1


def cohorts(reader: Reader) -> dict[str, list[np.ndarray]]:
    """Draws the cohorts: each phone's int32 `[n, T + 1]` sentences."""
    phones = reader.population.phones("train")
    sizes = {phone: len(reader.rows(phone)) for phone in phones}
    largest = sorted(phones, key=sizes.get)[-6:]
    enough = [phone for phone in reader.cohort(1, len(phones)) if sizes[phone] >= BATCH_SIZE]
    return {
        "small": [reader.training_rows(phone, 1, BATCH_SIZE) for phone in enough[:60]],
        "typical": [reader.training_rows(phone, 1, 512) for phone in reader.cohort(2, 20)],
        "large": [reader.training_rows(phone, 1, 512) for phone in largest],
    }


async def measure(
    initial: model.Weights, length: int, phones: list[np.ndarray], rounds: int
) -> dict[str, list[float]]:
    """Returns each framework's seconds for each round from the same weights, after a warm-up."""
    training = local_training.LocalTraining(LEARNING_RATE, BATCH_SIZE, clipping_norm=1e9)
    processes = {
        "fedkeyboard": (
            federated_averaging.learning_process(
                initial,
                length=length,
                training=training,
                weighting="sentences",
                optimizer=federated_averaging.server_optimizer("sgd", 1.0),
            ),
            [federated_averaging.phone_data(rows) for rows in phones],
        ),
        "tff": (
            textbook.learning_process(
                initial, length, LEARNING_RATE, federated_averaging.server_optimizer("sgd", 1.0)
            ),
            [textbook.phone_data(rows, BATCH_SIZE) for rows in phones],
        ),
    }
    states = {
        name: await tff.program.materialize_value(process.initialize())
        for name, (process, _) in processes.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in processes}
    updated: dict[str, Any] = {}
    for number in range(WARM_UP + rounds):
        for name, (process, data) in processes.items():
            began = time.monotonic()
            output = process.next(states[name], data)
            state = await tff.program.materialize_value(output.state)
            if number >= WARM_UP:
                seconds[name].append(time.monotonic() - began)
            updated[name] = state.global_model_weights.trainable
    _check_equal(initial, updated)
    return seconds


def _check_equal(initial: model.Weights, updated: dict[str, Any]) -> None:
    updates = {
        name: np.concatenate(
            [np.ravel(w - first) for w, first in zip(weights, initial, strict=True)]
        )
        for name, weights in updated.items()
    }
    reference = updates["tff"]
    for name, update in updates.items():
        difference = np.linalg.norm(update - reference) / np.linalg.norm(reference)
        if not difference <= TOLERANCE:
            sys.exit(f"{name}: its update differs from plain TFF's by {difference:.1e} of its norm")


def main() -> None:
    """Measures all cohorts, writes the results and prints a table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 3 if arguments.parse_args().quick else 7
    console = Console(stderr=True)
    rows = []
    with Population.open(ensure_chitchat(POPULATIONS, cleaning=Cleaning())) as population:
        texts = map(population.sentences, population.phones("train"))
        tokenizer = Tokenizer.learn(texts, vocabulary_size=10_000, minimum_users=2)
        sizes = model.Sizes(len(tokenizer))
        drawn = cohorts(Reader(population, tokenizer, sizes.length, seed=0))
    initial = model.initial_weights(sizes, 0)
    for name, phones in drawn.items():
        console.print(f"{name}: {len(phones)} phones, {sum(map(len, phones)):,} sentences")
        with runtime.tff_runtime():
            seconds = asyncio.run(measure(initial, sizes.length, phones, rounds))
        steps = sum(-(-len(p) // BATCH_SIZE) for p in phones)
        rows += [
            {
                "framework": framework,
                "cohort": name,
                "phones": len(phones),
                "local_steps": steps,
                "seconds_per_round": statistics.median(times),
                "ms_per_local_step": 1000 * statistics.median(times) / steps,
                "measurements": times,
            }
            for framework, times in seconds.items()
        ]
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("tensorflow-federated", "tensorflow-cpu", "numpy")
        },
        "rows": rows,
    }
    files.write_text(RESULTS, json.dumps(result, indent=2) + "\n")
    table = Table("cohort", "framework", "s a round", "ms a local step", "times as fast", box=None)
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        for row in (ours, theirs):
            table.add_row(
                row["cohort"],
                row["framework"],
                f"{row['seconds_per_round']:.2f}",
                f"{row['ms_per_local_step']:.1f}",
                f"{theirs['seconds_per_round'] / row['seconds_per_round']:.1f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
