"""Which of the rounds' models is a run's, and when no better one is to be expected.

The model of a round is what the learning process stands for after it (`averaging.model_of`). With
`rounds.keep = "best"` the run's is the one with the best top-1 recall on the sample of validation
users so far: on little text a model learns that by heart in the end, and the last one is not the
best. It is part of the checkpoints, so that a resumed run has it too.
"""

from typing import Any, NamedTuple

import numpy as np

from fedkeyboard import model
from fedkeyboard.simulation import config as configs

_NONE = np.float32(-1)


class Best(NamedTuple):
    """The best model so far.

    Attributes:
      weights: NumPy arrays.
      round: int32, the one that it is of; 0 before any has been looked at.
      recall: float32, top-1 on the sample of validation users.
    """

    weights: model.Weights
    round: np.int32
    recall: np.float32


class State(NamedTuple):
    """What a checkpoint has.

    Attributes:
      process: The learning process's state.
      best: The best model so far; empty of a run that keeps the last one.
    """

    process: Any
    best: Best | tuple[()] = ()

    @property
    def best_round(self) -> int:
        """The round of the best model so far; 0 if there is none."""
        return int(self.best.round) if self.best else 0

    def looked(self, weights: model.Weights, number: int, recall: float | None) -> "State":
        """Returns the state after a look at round `number`, whose model is `weights`.

        Where validation users have no words, and `recall` is None, the newest is as good as any.
        """
        if recall is None:
            return self.replaced(weights, number)
        if self.best == () or np.float32(recall) <= self.best.recall:
            return self
        return self._replace(best=Best(weights, np.int32(number), np.float32(recall)))

    def replaced(self, weights: model.Weights, number: int) -> "State":
        """Returns the state whose model, whatever its recall, is `weights` of round `number`."""
        if self.best == ():
            return self
        return self._replace(best=Best(weights, np.int32(number), _NONE))


def begin(process: Any, settings: configs.Rounds) -> State:
    """Returns a run's state before its first round.

    Args:
      process: The learning process's, of NumPy arrays.
      settings: Of the run.
    """
    if settings.keep == "last":
        return State(process)
    weights = process.global_model_weights.trainable
    return State(process, Best(weights, np.int32(0), _NONE))


def out_of_time(settings: configs.Rounds, number: int, seconds: float) -> str | None:
    """Returns why training has to end after round `number`; None if it has not.

    Args:
      settings: Of the run.
      number: Of the round.
      seconds: That all rounds so far took.
    """
    if number >= settings.count:
        return f"all {settings.count:,} rounds are done"
    if settings.minutes is not None and seconds >= 60 * settings.minutes:
        return f"{settings.minutes:.2g} minutes are over"
    return None


def out_of_patience(settings: configs.Rounds, state: State, number: int) -> str | None:
    """Returns why training is to end after round `number`; None if it is not.

    Args:
      settings: Of the run.
      state: After the look at that round.
      number: Of the round.
    """
    if settings.patience is None or not state.best_round:
        return None
    if (number - state.best_round) // settings.validate_every < settings.patience:
        return None
    return f"no better on validation users since round {state.best_round:,}"
