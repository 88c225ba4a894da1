"""The average of the server's weights over the rounds: a better model than the last round's.

What a round's cohort asks for is half chance, and the weights walk about where they should be;
their average does not. Polynomial-decay averaging (Shamir and Zhang 2013, arXiv 1212.1824, section
4) has a window that grows with the rounds, so that it needs no word of how many there will be:

    mean_t = (1 - a_t) mean_{t-1} + a_t w_t,    a_t = 1 / (1 + share * (t - 1))

where t counts rounds from 1. Their eta is 1 / share - 1; with a share of 1 it is the mean of all
rounds, with 0 the last round's weights. Training goes on from the weights as they are: the average
only watches.
"""

import collections
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedkeyboard import model

_AVERAGE = "average"


class _Averaged(tff.learning.optimizers.Optimizer):
    """An optimizer that keeps, in its state, the average of the weights that it returned."""

    def __init__(self, optimizer: tff.learning.optimizers.Optimizer, share: float):
        self._optimizer = optimizer
        self._share = share

    def initialize(self, specs: Any) -> collections.OrderedDict[str, Any]:
        return collections.OrderedDict(
            optimizer=self._optimizer.initialize(specs),
            steps=tf.constant(0),
            # The first step's weights take the place of these.
            **{_AVERAGE: tf.nest.map_structure(lambda of: tf.zeros(of.shape, of.dtype), specs)},
        )

    def next(
        self, state: collections.OrderedDict[str, Any], weights: Any, gradients: Any
    ) -> tuple[collections.OrderedDict[str, Any], Any]:
        inner, weights = self._optimizer.next(state["optimizer"], weights, gradients)
        part = 1.0 / (1.0 + self._share * tf.cast(state["steps"], tf.float32))
        average = tf.nest.map_structure(
            lambda mean, now: (1.0 - part) * mean + part * now, state[_AVERAGE], weights
        )
        state = collections.OrderedDict(
            optimizer=inner, steps=state["steps"] + 1, **{_AVERAGE: average}
        )
        return state, weights


def averaged(
    optimizer: tff.learning.optimizers.Optimizer, share: float | None
) -> tff.learning.optimizers.Optimizer:
    """Returns the server's optimizer with an average of its weights beside it.

    Args:
      optimizer: The server's.
      share: About which part of the rounds so far the average is over, above 0 and at most 1; None
        for no average.
    """
    return optimizer if share is None else _Averaged(optimizer, share)


def model_of(state: tff.learning.templates.LearningAlgorithmState) -> model.Weights:
    """Returns the model that a process's state stands for: the average, where it has one.

    To be asked after a first step: before it an average is nothing yet.
    """
    of_optimizer = state.finalizer
    if isinstance(of_optimizer, dict) and _AVERAGE in of_optimizer:
        return of_optimizer[_AVERAGE]
    return state.global_model_weights.trainable


def moved_to(
    state: tff.learning.templates.LearningAlgorithmState, weights: model.Weights
) -> tff.learning.templates.LearningAlgorithmState:
    """Returns a state whose next round begins with `weights`, and an average of nothing yet.

    What the optimizer knows beside the weights, such as momentum, stays.
    """
    of_optimizer = state.finalizer
    if isinstance(of_optimizer, dict) and _AVERAGE in of_optimizer:
        of_optimizer = collections.OrderedDict(of_optimizer, steps=np.int32(0))
    moved = tff.learning.models.ModelWeights(weights, state.global_model_weights.non_trainable)
    return state._replace(global_model_weights=moved, finalizer=of_optimizer)
