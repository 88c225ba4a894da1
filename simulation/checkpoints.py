"""A run's checkpoints: all that its learning process is to go on from, and nothing else is.

Each is a `selection.State`. `weights.npz` beside them is a copy of the newest one's model, for
those who want no more than that and have no TFF; a run that is resumed writes it again.
"""

import gc
import logging
import pathlib
import shutil
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import files, hashed
from fedkeyboard.errors import RunFailure

DIRECTORY = "checkpoints"
_LOG = logging.getLogger("fedkeyboard")


class Checkpoints:
    """The learning process's states, by TFF's state manager, whole even after a power cut."""

    def __init__(self, run: files.PathLike):
        """Takes the run's directory."""
        self._directory = pathlib.Path(run, DIRECTORY)
        self._manager = tff.program.FileProgramStateManager(
            self._directory, prefix="round_", keep_total=3, keep_first=False
        )

    async def save(self, state: Any, number: int) -> None:
        """Saves the state after a round, its values materialised."""
        # As a flat list: TensorFlow wraps dictionaries and tuples in proxies (wrapt), which it
        # then cannot trace beside a typing_extensions as new as pydantic needs.
        await self._manager.save(tf.nest.flatten(state), number)
        # TFF renames a complete directory into place but does not wait for the disk.
        for path in sorted((self._directory / f"round_{number}").rglob("*"), reverse=True):
            files.sync(path)
        directory = self._directory / f"round_{number}"
        files.sync(directory)
        files.sync(self._directory)
        hashed.record(directory, [path for path in directory.rglob("*") if path.is_file()])
        # TensorFlow leaves what it wrote, the state's values with it, in cycles.
        gc.collect()

    async def load(self, initial: Any) -> tuple[Any, int]:
        """Returns the last state that can be read and its round; `initial` and 0 if there is none.

        Raises:
          RunFailure: If there are checkpoints, and none can be read.
        """
        for unfinished in self._directory.glob("round_*_temp*"):
            shutil.rmtree(unfinished)
        versions = await self._manager.get_versions() or []
        damaged = []
        for version in reversed(versions):
            path = self._directory / f"round_{version}"
            try:
                hashed.check_all(path)
                flat = await self._manager.load(version, tf.nest.flatten(initial))
                state = tf.nest.pack_sequence_as(initial, flat)
            except Exception as error:  # noqa: BLE001, TensorFlow raises what it likes here.
                _LOG.warning("%s: damaged (%s); trying the one before", path, type(error).__name__)
                damaged.append(path)
                continue
            # Out of the way of the checkpoints to come.
            for path in damaged:
                shutil.rmtree(path)
            return state, version
        if versions:
            raise RunFailure(
                f"{self._directory}: no checkpoint can be read; begin a new run with another --out"
            )
        return initial, 0
