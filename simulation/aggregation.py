"""A round whose phones are real: their update files give a run's next model.

Aggregator, server optimizer and state are those of the run's simulated rounds
(`fedkeyboard.federated_updates`), so simulation and fleet can take turns.
"""

import asyncio
import hashlib
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import federated_learning, federated_updates, files, model, runtime, spellings
from fedkeyboard import update as updates
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.tokenizer import VOCABULARY_FILE
from simulation import runs, training
from simulation.runs import Run

# Of a run, what the next one begins with.
_KEPT = ("tokenizer.model", VOCABULARY_FILE, spellings.FILE, "population.json", "rounds.csv")


class Base(NamedTuple):
    """What phones trained from: a run's package, by its manifest.

    Attributes:
      round: The last of the run's rounds that the package has.
      weights_sha256: What it calls its weights.
      vocabulary_sha256: Of its vocabulary.
    """

    round: int | None
    weights_sha256: str
    vocabulary_sha256: str


def aggregate(run: Run, paths: Sequence[pathlib.Path], out: pathlib.Path, base: Base) -> Run:
    """Aggregates updates into a new run, one round further than `run`, which stays as it is.

    The new run has the state to go on from, and no row of this round in rounds.csv.

    Args:
      run: The run.
      paths: The updates of phones, one of each.
      out: The new run's directory.
      base: The run's package, from which the phones trained.

    Returns:
      The new run.

    Raises:
      UserError: If the run is not of federated averaging, its package is of another round, there
        is no update, or one is damaged, comes twice, claims more weight than it has, or is to
        other weights; then nothing is written.
      RunFailure: If what comes of it is not finite.
    """
    updates.check_algorithm(run.path, run.config.client.algorithm)
    if not paths:
        raise UserError("no updates to aggregate")
    runs.check_new(out)
    with (
        runs.claimed(run.path),
        # Not in memory: 1,000 phones of 1.4M weights bring 5.7 GB.
        tempfile.TemporaryFile(dir=run.path) as spool,
    ):
        brought: dict[str, pathlib.Path] = {}
        for path in paths:
            vector = federated_updates.vector(_read(run, path, base))
            name = hashlib.sha256(vector[:-1]).hexdigest()
            if name in brought:
                raise UserError(
                    f"{path}: the same update as {brought[name]}; give each phone's once"
                )
            brought[name] = path
            spool.write(vector)
        spool.flush()
        vectors = np.memmap(spool, np.float32, "r").reshape(len(brought), -1)
        data = [federated_learning.phone_data(vector) for vector in vectors]
        with runtime.tff_runtime():
            return asyncio.run(_aggregate(run, data, out, base))


def _read(run: Run, path: pathlib.Path, base: Base) -> updates.Update:
    """Reads a phone's update, and checks that it is one of this round."""
    update = updates.read(path, model.weight_shapes(run.sizes))
    of, client = update.metadata, run.config.client
    if of.purpose != "update":
        raise UserError(f"{path}: a personal checkpoint, which stays on its phone; no update")
    if (of.weights_sha256, of.vocabulary_sha256) != (base.weights_sha256, base.vocabulary_sha256):
        raise UserError(
            f"{path}: trained from another package ({of.weights_sha256[:12]}) than the run's "
            f"({base.weights_sha256[:12]}); updates count in their own round only"
        )
    if not 1 <= of.sentences <= client.maximum_sentences:
        raise UserError(
            f"{path}: of {of.sentences} sentences, where a phone trains on 1 to "
            f"{client.maximum_sentences} (client.maximum_sentences)"
        )
    weight = updates.weight(of.sentences, client.weighting)
    if of.weight != weight:
        raise UserError(
            f"{path}: claims the weight {of.weight:g}, but counts as {weight:g} "
            f'(client.weighting = "{client.weighting}")'
        )
    return update


async def _aggregate(run: Run, data: list[list[np.ndarray]], out: pathlib.Path, base: Base) -> Run:
    process = federated_updates.learning_process(
        model.initial_weights(run.sizes, run.config.seed),
        optimizer=training.server_optimizer(run),
        schedule=training.client_schedule(run),
    )
    initial = await tff.program.materialize_value(process.initialize())
    state, done = await training.Checkpoints(run).load(initial)
    if done != base.round:
        raise UserError(
            f"{run.path}: its package is of round {base.round}, its last checkpoint of round "
            f"{done}; export it again with `fedkeyboard export {run.path}`, and ask phones anew"
        )
    output = process.next(state, data)
    after = await tff.program.materialize_value(output.state)
    if not all(np.all(np.isfinite(leaf)) for leaf in tf.nest.flatten(after)):
        raise RunFailure(f"{run.path}: the updates lead to weights that are not finite")
    number = done + 1
    rounds = run.config.rounds
    config = run.config.model_copy(
        update={"rounds": rounds.model_copy(update={"count": max(rounds.count, number)})}
    )
    with runs.claimed(out):
        runs.check_new(out)
        for name in _KEPT:
            if (run.path / name).exists():
                with files.replacing(out / name) as temporary:
                    shutil.copyfile(run.path / name, temporary)
        made = Run(out.resolve(), config, run.tokenizer)
        made.save_rounds_of_updates([*run.rounds_of_updates(), number])
        await training.Checkpoints(made).save(after, number)
        made.save_weights(after.global_model_weights.trainable, number)
        # Last, since with it a directory is a run.
        config.save(out / "config.toml")
    runs.point_latest(out)
    return made
