"""The centralised baseline of a run: trained by epochs, resumable, the best epoch kept.

RUN/baselines/ has, for each settings that were asked for, `central-DIGEST.npz`, the weights of the
epoch that suits validation users best so far, and `central-DIGEST-epoch.npz`, what training goes on
from.
"""

import dataclasses
import hashlib
import json
import pathlib
import zipfile
from typing import Any

import numpy as np
import tensorflow as tf

from fedkeyboard import central_training, evaluation, files, metrics, model
from fedkeyboard.central_training import CentralTraining, Epoch
from simulation import assessment, progress
from simulation.task import Task

_ROWS = 2  # To be raised when the rows that are trained on are made otherwise.


def train(task: Task, settings: CentralTraining) -> tuple[model.Weights, int]:
    """Returns the epoch with the best top-1 recall on validation users: weights and number."""
    made_from = json.dumps(
        {
            **dataclasses.asdict(settings),
            "seed": task.run.config.seed,
            "population": task.population.fingerprint,
            "rows": _ROWS,
        }
    )
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:8]
    best_path = task.run.path / "baselines" / f"central-{digest}.npz"
    last_path = best_path.with_stem(f"{best_path.stem}-epoch")
    best, last = _load(best_path, made_from), _load(last_path, made_from)
    begin = central_training.start(model.initial_weights(task.run.sizes, task.run.config.seed))
    if best is not None and last is not None:
        parts = sum(name.startswith("part_") for name in last)
        flat = [last[f"part_{i}"] for i in range(parts)]
        weights, optimizer = tf.nest.pack_sequence_as((begin.weights, begin.optimizer), flat)
        begin = Epoch(int(last["epoch"]), weights, optimizer, float(last["loss"]))
    else:
        best = None
    progress.say(
        task.console,
        f"central     epoch {begin.epoch} of {settings.epochs}"
        + (", continued" if begin.epoch else ""),
    )
    rows = np.concatenate([text.training for text in task.training_texts(task.run.tokenizer)])
    for epoch in central_training.train(begin, rows, settings, task.run.config.seed):
        recall = _validation_recall(task, epoch.weights)
        progress.say(
            task.console,
            f"central     epoch {epoch.epoch} of {settings.epochs}  loss {epoch.loss:.3f}  "
            f"recall {recall:.1%}",
        )
        if best is None or recall > best["recall"]:
            best = {
                "recall": recall,
                "epoch": epoch.epoch,
                **{name: w.numpy() for name, w in epoch.weights._asdict().items()},
            }
            _save(best_path, made_from, best)
        parts = tf.nest.flatten((epoch.weights, epoch.optimizer))
        _save(
            last_path,
            made_from,
            {
                "epoch": epoch.epoch,
                "loss": epoch.loss,
                **{f"part_{i}": np.asarray(part) for i, part in enumerate(parts)},
            },
        )
    return model.Weights(*(best[name] for name in model.Weights._fields)), int(best["epoch"])


def _validation_recall(task: Task, weights: model.Weights) -> float:
    with assessment.users(
        task.run, task.population, "validation", "central: evaluating", task.console
    ) as texts:
        counted = evaluation.count_users({"central": task.scorer(weights)}, texts)["central"]
    total = sum((user.total for user in counted), metrics.Counts())
    return total.summary()["top1_recall"] or 0.0


def _save(path: pathlib.Path, made_from: str, arrays: dict[str, Any]) -> None:
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, made_from=made_from, **arrays)


def _load(path: pathlib.Path, made_from: str) -> dict[str, np.ndarray] | None:
    """Reads what `_save` wrote; None if it is not there, damaged or made from something else."""
    try:
        with np.load(path) as arrays:
            read = dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return read if str(read.pop("made_from", "")) == made_from else None
