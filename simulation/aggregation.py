"""A round whose phones are real: their update files give a run's next model.

Aggregator, server optimizer and state are those of the run's simulated rounds
(`fedkeyboard.federated_updates`), so simulation and fleet can take turns.
"""

import asyncio
import pathlib
import shutil
from collections.abc import Sequence

import tensorflow_federated as tff

from fedkeyboard import federated_updates, files, model, runtime
from fedkeyboard import update as updates
from fedkeyboard.errors import UserError
from simulation import runs, training
from simulation.runs import Run

# Of a run, what the next one begins with.
_KEPT = ("tokenizer.model", "vocabulary.txt", "population.json", "rounds.csv")


def aggregate(
    run: Run,
    paths: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    weights_sha256: str,
    vocabulary_sha256: str,
) -> Run:
    """Aggregates updates into a new run, one round further than `run`, which stays as it is.

    The new run has the state to go on from, and no row of this round in rounds.csv.

    Args:
      run: The run whose last package the phones trained from.
      paths: Their updates.
      out: The new run's directory.
      weights_sha256: What that package's manifest calls its weights.
      vocabulary_sha256: Of its vocabulary.

    Returns:
      The new run.

    Raises:
      UserError: If the run is not of federated averaging, or an update is damaged, is no update, or
        is to other weights; then nothing is written.
    """
    if run.config.client.algorithm != "fedavg":
        raise UserError(
            f"{run.path}: trained with {run.config.client.algorithm}; phones' updates are those of "
            'client.algorithm = "fedavg"'
        )
    runs.check_new(out)
    shapes = model.weight_shapes(run.sizes)
    brought = []
    for path in paths:
        update = updates.read(path, shapes)
        of = update.metadata
        if of.purpose != "update" or not of.weight:
            raise UserError(f"{path}: a personal checkpoint, which stays on its phone; no update")
        if (of.weights_sha256, of.vocabulary_sha256) != (weights_sha256, vocabulary_sha256):
            raise UserError(
                f"{path}: trained from another package ({of.weights_sha256[:12]}) than the run's "
                f"({weights_sha256[:12]}); updates count in their own round only"
            )
        brought.append(federated_updates.phone_data(update))
    with runs.claimed(run.path), runtime.tff_runtime():
        return asyncio.run(_aggregate(run, brought, out))


async def _aggregate(run: Run, brought: list, out: pathlib.Path) -> Run:
    process = federated_updates.learning_process(
        model.initial_weights(run.sizes, run.config.seed),
        optimizer=training.server_optimizer(run),
        schedule=training.client_schedule(run),
    )
    initial = await tff.program.materialize_value(process.initialize())
    state, done = await training.Checkpoints(run).load(initial)
    if not done:
        raise UserError(f"{run.path}: has no checkpoint; phones cannot have trained from it")
    output = process.next(state, brought)
    after = await tff.program.materialize_value(output.state)
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
        await training.Checkpoints(made).save(after, number)
        made.save_weights(after.global_model_weights.trainable, number)
        # Last, since with it a directory is a run.
        config.save(out / "config.toml")
    return made
