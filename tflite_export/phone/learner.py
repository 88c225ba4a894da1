"""The file that learns, at work: `model_train.tflite` through LiteRT, as an app would use it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fedkeyboard import files, model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.errors import UserError
from fedkeyboard.text.tokenizer import PAD
from fedkeyboard.tflite_export.phone.litert import LiteModel

_NOTHING = np.float32(0)
_NEEDED = ("train", "evaluate", "get_weights", "set_weights", "reset")


class Evaluated(NamedTuple):
    """What `evaluate` says of some sentences.

    The mean cross-entropy over all targets, in nats; and of the words among them how many there
    are, were the first suggestion, and were among the three.
    """

    loss: float
    words: int
    top1_hits: int
    top3_hits: int


class Learner(LiteModel):
    """An open file with the signatures of `signatures.TrainingModule`.

    Attributes:
      length: T, the positions of a sentence.
    """

    def __init__(self, path: files.PathLike):
        """Opens a file; raises as `LiteModel` does."""
        super().__init__(path)
        missing = [name for name in _NEEDED if name not in self._runners]
        if missing:
            raise UserError(
                f"{path}: cannot learn: it has no signature {missing[0]}; give the package's "
                "model_train.tflite"
            )
        self.length = int(self._runners["train"].get_input_details()["mask"]["shape"][1])

    def train(self, rows: np.ndarray, *, learning_rate: float, clipping_norm: float) -> float:
        """Takes one step of SGD on int32 `[B, T + 1]` sentences; returns their loss before it.

        Raises:
          ValueError: If B is 0: LiteRT's kernels take no arrays without rows.
        """
        if not len(rows):
            raise ValueError("train: needs a sentence")
        after = self.run(
            "train",
            sentences=rows,
            mask=_mask(rows),
            learning_rate=np.float32(learning_rate),
            clipping_norm=np.float32(clipping_norm),
        )
        return float(after["loss"])

    def fit(
        self, rows: np.ndarray, settings: LocalTraining, layers: Sequence[str] = ()
    ) -> list[float]:
        """Trains on int32 `[n, T + 1]` sentences, batch after batch and epoch after epoch.

        The computation of `local_training.train`, without its dropout and proximal term.

        Args:
          rows: The sentences.
          settings: How to train.
          layers: Of `model.Weights`, those that learn; none given, all. The others are put back
            after each step; the clipping norm is still that of all.

        Returns:
          Each batch's loss before its step.
        """
        initial = self.weights()._asdict() if layers else {}
        losses = []
        for _ in range(settings.epochs):
            for first in range(0, len(rows), settings.batch_size):
                losses.append(
                    self.train(
                        rows[first : first + settings.batch_size],
                        learning_rate=settings.learning_rate,
                        clipping_norm=settings.clipping_norm,
                    )
                )
                if layers:
                    learned = self.weights()._asdict()
                    self.set_weights(
                        model.Weights(**{**initial, **{name: learned[name] for name in layers}})
                    )
        return losses

    def evaluate(self, rows: np.ndarray) -> Evaluated:
        """Counts what is suggested for int32 `[B, T + 1]` sentences; of none, nothing."""
        if not len(rows):
            return Evaluated(0.0, *(0 for _ in Evaluated._fields[1:]))
        said = self.run("evaluate", sentences=rows, mask=_mask(rows))
        return Evaluated(float(said["loss"]), *(int(said[name]) for name in Evaluated._fields[1:]))

    def weights(self) -> model.Weights:
        """Returns a copy of the weights."""
        return model.Weights(**self.run("get_weights", anything=_NOTHING))

    def set_weights(self, weights: model.Weights) -> None:
        """Replaces the weights."""
        self.run("set_weights", **weights._asdict())

    def reset(self) -> None:
        """Goes back to the file's own weights."""
        self.run("reset", anything=_NOTHING)


def _mask(rows: np.ndarray) -> np.ndarray:
    return (rows[:, 1:] != PAD).astype(np.float32)
