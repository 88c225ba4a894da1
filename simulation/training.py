"""The round loop: cohorts go in, a checkpointed model comes out.

TFF's program library keeps the state (`FileProgramStateManager`) and releases the metrics
(`CSVFileReleaseManager`, `TensorBoardReleaseManager`); `tff.learning.programs.train_model` is not
used because it draws cohorts from an iterator whose state it saves, where ours follow from seed and
round alone, and because it reports no progress.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow_federated as tff

from fedkeyboard import files, hashed
from fedkeyboard.algorithms import averaging, templates
from fedkeyboard.errors import RunFailure
from fedkeyboard.evaluation import metrics
from fedkeyboard.runtime import session
from fedkeyboard.simulation import processes, rounds, selection
from fedkeyboard.simulation.checkpoints import Checkpoints
from fedkeyboard.simulation.cohorts import Reader
from fedkeyboard.simulation.fleet.fleet import Fleet
from fedkeyboard.simulation.fleet.fleet_round import FleetRound
from fedkeyboard.simulation.rounds import Round
from fedkeyboard.simulation.runs import Run

# A run that is stopped or killed loses no more than this, however seldom it is to save.
_CHECKPOINT_SECONDS = 60.0


class Trained(NamedTuple):
    """How training ended: after which round, why, and which round's model is the run's."""

    rounds: int
    why: str
    kept: int


def train(run: Run, reader: Reader, fleet: Fleet, on_round: Callable[[Round], None]) -> Trained:
    """Trains to the run's end, from its last checkpoint if it has one.

    Args:
      run: The run, whose directory this process holds.
      reader: The phones' text.
      fleet: The phones, before their first round.
      on_round: Called after each round.

    Raises:
      RunFailure: If the checkpoints cannot be used, or TFF's worker dies.
    """
    machine = run.config.runtime
    with session.tff_runtime(
        concurrent_clients=machine.concurrent_clients, threads=machine.threads
    ):
        try:
            return asyncio.run(_train(run, reader, fleet, on_round))
        finally:
            gc.unfreeze()


async def _train(
    run: Run, reader: Reader, fleet: Fleet, on_round: Callable[[Round], None]
) -> Trained:
    settings = run.config.rounds
    process = processes.simulated(run)
    checkpoints = Checkpoints(run.path)
    initial = await tff.program.materialize_value(process.initialize())
    kept, done = await checkpoints.load(selection.begin(initial, settings))
    state = kept.process
    rounds.keep(run.rounds_csv, done)
    if done:
        _save_weights(run, kept, done)
    before = sum(report.seconds for report in rounds.read(run.rounds_csv))
    over = selection.out_of_time(settings, done, before)
    over = over or selection.out_of_patience(settings, kept, done)
    csv_manager = tff.program.CSVFileReleaseManager(run.rounds_csv, key_fieldname="round")
    tensorboard = tff.program.TensorBoardReleaseManager(run.path / "tensorboard")
    validate = processes.validation(run)
    held_out = reader.validation_rows(settings.validation_users, settings.validation_sentences)
    validation = [templates.phone_data(rows) for rows in held_out]

    # What the fleet does follows from its seed: a resumed run runs its rounds again, untrained.
    for _ in range(done):
        fleet.next_round()
    loop = asyncio.get_running_loop()
    session = saved = time.monotonic()
    upcoming = loop.run_in_executor(None, _next_cohort, run, reader, fleet, done + 1)
    number = done
    while over is None:
        number += 1
        began = time.monotonic()
        of_fleet, data = await upcoming
        # The next cohort is read and tokenised while this one trains.
        if number < settings.count:
            upcoming = loop.run_in_executor(None, _next_cohort, run, reader, fleet, number + 1)
        if data:
            output = process.next(state, data)
            state = output.state
            measured = await tff.program.materialize_value(output.metrics)
            sums, rejected = measured["client_work"], measured["aggregator"]["rejected"]
        else:  # Nobody came. The server takes no step, not even of its momentum.
            sums, rejected = dict.fromkeys(("sentences", "targets", "steps", "loss_sum"), 0), 0
        kept = kept._replace(process=state)
        over = selection.out_of_time(settings, number, before + time.monotonic() - session)
        validated: dict[str, Any] = {}
        if over or number % settings.validate_every == 0:
            weights = averaging.model_of(state)
            counted = validate(weights, validation)
            counts = metrics.Counts(**await tff.program.materialize_value(counted))
            validated = counts.summary()
            if settings.keep == "best":
                weights = await tff.program.materialize_value(weights)
                kept = kept.looked(weights, number, validated["top1_recall"])
                over = over or selection.out_of_patience(settings, kept, number)
        report = Round(
            round=number,
            seconds=time.monotonic() - began,
            reported=len(data),
            sentences=int(sums["sentences"]),
            targets=int(sums["targets"]),
            steps=int(sums["steps"]),
            rejected=int(rejected),
            loss=float(sums["loss_sum"] / sums["targets"]) if sums["targets"] else float("nan"),
            validation_top1_recall=validated.get("top1_recall"),
            validation_top3_recall=validated.get("top3_recall"),
            validation_perplexity=validated.get("perplexity"),
        )
        values = report._asdict() | {name: getattr(of_fleet, name) for name in of_fleet.columns()}
        del values["round"]
        await csv_manager.release({k: "" if v is None else v for k, v in values.items()}, number)
        await tensorboard.release(scalars(values), number)
        long = time.monotonic() - saved >= _CHECKPOINT_SECONDS
        if over or long or number % settings.checkpoint_every == 0:
            saved = time.monotonic()
            # Training goes on with the state that the worker has.
            fetched = kept._replace(process=await tff.program.materialize_value(state))
            files.sync(run.rounds_csv)
            hashed.record(run.path, [run.rounds_csv])
            await checkpoints.save(fetched, number)
            _save_weights(run, fetched, number)
        on_round(report)
        if report.diverged:
            raise RunFailure(
                f"{run.path}: diverged, no phone's update in round {number} is finite; begin a new "
                "run with a smaller client.learning_rate or server.learning_rate"
            )
        if number == done + 1:
            # All is traced and compiled: what lives now need not be looked through again and again.
            gc.freeze()
    # A cohort that was to train next is read to its end: the population is about to be closed.
    await upcoming
    return Trained(number, over, kept.best_round or number)


def _save_weights(run: Run, state: selection.State, number: int) -> None:
    """Writes the run's model after a round: the best so far, or that round's."""
    if state.best_round:
        run.save_weights(state.best.weights, number, kept=state.best_round)
    else:
        run.save_weights(averaging.model_of(state.process), number)


def scalars(values: dict[str, Any]) -> dict[str, np.float32]:
    """Returns the numbers among some values as TensorBoard keeps them.

    It refuses what is beyond float32, as the perplexity of a model that is about to diverge is.
    """
    with np.errstate(over="ignore"):
        return {name: np.float32(value) for name, value in values.items() if value is not None}


def _next_cohort(
    run: Run, reader: Reader, fleet: Fleet, number: int
) -> tuple[FleetRound, list[list[np.ndarray]]]:
    """Returns the fleet's next round and the data of the phones whose report counts."""
    of_fleet = fleet.next_round()
    phones = reader.population.phones("train")
    at_most = run.config.client.maximum_sentences
    rows = [reader.training_rows(phones[i], number, at_most) for i in of_fleet.reported]
    # The longest work first, so that the cores finish together.
    rows.sort(key=len, reverse=True)
    return of_fleet, [templates.phone_data(r) for r in rows]
