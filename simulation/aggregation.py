"""A round whose phones are real: their update files give a run's next model.

Aggregator, server optimizer and state are those of the run's simulated rounds (`processes`), so
simulation and fleet can take turns. Which updates count: `fedkeyboard.updates.admission`.

The new run's directory says from its first moment which updates make it (`aggregate.json`), so that
the same command goes on with one that was stopped.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import files, hashed
from fedkeyboard.algorithms import averaging, templates
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.ngrams import model as ngram_model
from fedkeyboard.runtime import session
from fedkeyboard.simulation import directories, processes, rounds, runs, selection
from fedkeyboard.simulation.checkpoints import Checkpoints
from fedkeyboard.simulation.runs import Run
from fedkeyboard.text import spellings
from fedkeyboard.text.tokenizer import VOCABULARY_FILE
from fedkeyboard.updates import update_file, update_round
from fedkeyboard.updates.admission import Admission, Base, Terms

# Of a run, what the next one begins with.
_KEPT = (
    *("tokenizer.model", VOCABULARY_FILE, spellings.FILE, ngram_model.FILE),
    *("population.json", "rounds.csv"),
)
_MOST_KEPT = 256 * files.MEGABYTE
_RECORD = "aggregate.json"
_MOST_RECORD = 64 * files.MEGABYTE


class Aggregated(NamedTuple):
    """What came of an aggregation.

    Attributes:
      run: The new run.
      updates: How many updates it was made of.
      refused: Why others do not count, a line each, which names the file.
    """

    run: Run
    updates: int
    refused: list[str]


def aggregate(
    run: Run,
    paths: Sequence[pathlib.Path],
    out: pathlib.Path,
    base: Base,
    *,
    minimum: int | None = None,
    on_refused: Callable[[str], None] = lambda line: None,
) -> Aggregated:
    """Aggregates updates into a new run, one round further than `run`, which stays as it is.

    An update that cannot count is refused by its name, and the others go on. The new run has the
    state to go on from, and no row of this round in rounds.csv. One that was stopped is begun
    again by the same updates; one that was finished, but for its package, is returned.

    Args:
      run: The run.
      paths: The updates of phones, one of each.
      out: The new run's directory.
      base: The run's package, from which the phones trained.
      minimum: How many updates must be left; default, half of those given.
      on_refused: Called with the line about each update that is refused.

    Raises:
      UserError: If the run is not of federated averaging, its package is of another round, or too
        few updates are left; then nothing is written. If `out` has something else.
      RunFailure: If what comes of it is not finite, or is what was there before.
    """
    update_file.check_algorithm(run.path, run.config.client.algorithm)
    if not paths:
        raise UserError("no updates to aggregate")
    if not (out / _RECORD).exists():
        directories.check_new(out)
    with (
        directories.claimed(run.path),
        # Not in memory: 1,000 phones of 1.4M weights bring 5.7 GB.
        tempfile.TemporaryFile(dir=run.path) as spool,
    ):
        admission = Admission(_terms(run, base))
        for update in admission.admit(paths, on_refused):
            spool.write(update_round.vector(update))
        admission.require(minimum)
        spool.flush()
        record = {**base._asdict(), "updates": sorted(admission.admitted)}
        with _begun(out, record) as finished:
            if not finished:
                vectors = np.memmap(spool, np.float32, "r").reshape(len(admission.admitted), -1)
                data = [templates.phone_data(vector) for vector in vectors]
                with session.tff_runtime():
                    asyncio.run(_aggregate(run, data, out, base))
                directories.point_latest(out)
    return Aggregated(runs.open_run(out), len(admission.admitted), admission.refused)


def _terms(run: Run, base: Base) -> Terms:
    client = run.config.client
    training = processes.client_training(client)
    return Terms(base, run.weights()[0], training, client.maximum_sentences, client.weighting)


@contextlib.contextmanager
def _begun(out: pathlib.Path, record: dict) -> Iterator[bool]:
    """Holds the new run's directory, with what it is made of; yields whether the run is there.

    If the block fails, nothing is left of it.

    Raises:
      UserError: If something else is there, or the run and its package.
    """
    with directories.claimed(out):
        path = out / _RECORD
        if path.exists():
            if hashed.read_json(path, at_most=_MOST_RECORD) != json.loads(json.dumps(record)):
                raise UserError(f"{out}: was begun with other updates; give another --out")
            if (out / "config.toml").exists():
                if (out / runs.PACKAGE / "manifest.json").exists():
                    raise UserError(f"{out}: has the run and its package already")
                yield True
                return
            _empty(out, {".lock", path.name, hashed.RECORD})
        else:
            directories.check_new(out)
            hashed.write_text(path, json.dumps(record, indent=1) + "\n")
        try:
            yield False
        except Exception:
            shutil.rmtree(out)
            raise


def _empty(directory: pathlib.Path, kept: set[str]) -> None:
    """Removes what a directory has but for some names."""
    for path in directory.iterdir():
        if path.name not in kept:
            (shutil.rmtree if path.is_dir() else os.unlink)(path)


async def _aggregate(run: Run, data: list[list[np.ndarray]], out: pathlib.Path, base: Base) -> None:
    process = processes.of_updates(run)
    initial = await tff.program.materialize_value(process.initialize())
    settings = run.config.rounds
    kept, done = await Checkpoints(run.path).load(selection.begin(initial, settings))
    if done != base.round:
        raise UserError(
            f"{run.path}: its package is of round {base.round}, its last checkpoint of round "
            f"{done}; export it again with `fedkeyboard export {run.path}`, and ask phones anew"
        )
    # What phones were sent is the run's model: the weights after the last round, or an average of
    # them, or those of the best round. Their updates lead from there.
    before, _ = run.weights()
    state = averaging.moved_to(kept.process, before)
    output = process.next(state, data)
    after = await tff.program.materialize_value(output.state)
    if not all(np.all(np.isfinite(leaf)) for leaf in tf.nest.flatten(after)):
        raise RunFailure(f"{run.path}: the updates lead to weights that are not finite")
    weights = averaging.model_of(after)
    if all(map(np.array_equal, before, weights)):
        raise RunFailure(f"{run.path}: the updates change nothing")
    rounds.require(run.rounds_csv, done)
    number = done + 1
    config = run.config.model_copy(
        update={"rounds": settings.model_copy(update={"count": max(settings.count, number)})}
    )
    for name in _KEPT:
        if (run.path / name).exists():
            content, checked = hashed.read_rows(run.path / name, at_most=_MOST_KEPT)
            hashed.write_bytes(out / name, content[:checked])
    made = Run(out.resolve(), config, run.tokenizer)
    # Without the rows of rounds after the checkpoint.
    rounds.keep(made.rounds_csv, done)
    made.save_rounds_of_updates([*run.rounds_of_updates(), number])
    state = kept._replace(process=after).replaced(weights, number)
    await Checkpoints(made.path).save(state, number)
    made.save_weights(weights, number)
    # Last, since with it a directory is a run.
    config.save(out / "config.toml")
