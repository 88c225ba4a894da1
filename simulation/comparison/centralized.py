"""The centralised baseline of a run: trained by epochs, resumable, the best epoch kept.

RUN/baselines/ has, for each settings that were asked for, `central-DIGEST.npz`, the weights of the
epoch that suits validation users best so far, and `central-DIGEST-epoch.npz`, what training goes on
from.
"""

import dataclasses
import hashlib
import json
import pathlib

import numpy as np
import tensorflow as tf

from fedkeyboard import arrays, hashed, model
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import central_training, metrics, scoring
from fedkeyboard.evaluation.central_training import CentralTraining, Epoch
from fedkeyboard.simulation import assessment, progress
from fedkeyboard.simulation.comparison.task import Task
from fedkeyboard.updates import update_file

_ROWS = 2  # To be raised when the rows that are trained on are made otherwise.


def train(task: Task, settings: CentralTraining) -> tuple[model.Weights, int]:
    """Returns the epoch with the best top-1 recall on validation users: weights and number."""
    initial = task.run.initial_weights()
    made_from = json.dumps(
        {
            **dataclasses.asdict(settings),
            "seed": task.run.config.seed,
            "population": task.population.fingerprint,
            "rows": _ROWS,
            **({"initial": update_file.weights_sha256(initial)} if task.run.config.start else {}),
        }
    )
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:8]
    best_path = task.run.path / "baselines" / f"central-{digest}.npz"
    last_path = best_path.with_stem(f"{best_path.stem}-epoch")
    begin = central_training.start(initial)
    best = _load(best_path, made_from, _best(begin, 0.0))
    last = _load(last_path, made_from, _last(begin))
    if best is not None and last is not None:
        flat = [value for name, value in last.items() if name.startswith("part_")]
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
            best = _best(epoch, recall)
            _save(best_path, made_from, best)
        _save(last_path, made_from, _last(epoch))
    return model.Weights(*(best[name] for name in model.Weights._fields)), int(best["epoch"])


def _validation_recall(task: Task, weights: model.Weights) -> float:
    with assessment.users(
        task.run, task.population, "validation", "central: evaluating", task.console
    ) as texts:
        counted = scoring.count_users({"central": task.scorer_alone(weights)}, texts)["central"]
    total = sum((user.total for user in counted), metrics.Counts())
    return total.summary()["top1_recall"] or 0.0


def _best(epoch: Epoch, recall: float) -> dict[str, np.ndarray]:
    weights = {name: np.asarray(weight) for name, weight in epoch.weights._asdict().items()}
    return {"recall": np.float64(recall), "epoch": np.int64(epoch.epoch), **weights}


def _last(epoch: Epoch) -> dict[str, np.ndarray]:
    parts = tf.nest.flatten((epoch.weights, epoch.optimizer))
    return {
        "epoch": np.int64(epoch.epoch),
        "loss": np.float64(epoch.loss),
        **{f"part_{i}": np.asarray(part) for i, part in enumerate(parts)},
    }


def _save(path: pathlib.Path, made_from: str, values: dict[str, np.ndarray]) -> None:
    hashed.write_bytes(path, arrays.dump({"made_from": np.array(made_from), **values}))


def _load(
    path: pathlib.Path, made_from: str, like: dict[str, np.ndarray]
) -> dict[str, np.ndarray] | None:
    """Reads what `_save` wrote; None if it is not there, damaged or made from something else."""
    if not path.exists():
        return None
    like = {"made_from": np.array(made_from), **like}
    try:
        read = arrays.load(hashed.read_bytes(path, at_most=arrays.size(like)), like)
    except (UserError, ValueError):
        return None
    return read if str(read.pop("made_from")) == made_from else None
