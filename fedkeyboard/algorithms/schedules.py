"""Learning rates that follow the round: a linear warm-up, then half a cosine down to 0.

The cosine is that of Loshchilov and Hutter 2017 (arXiv 1608.03983, equation 5) without restarts. A
schedule counts rounds from 0, as TFF's `schedule_learning_rate` does, so that its state can begin
with 0.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# Takes the rounds done so far, an integer tensor; returns the next round's rate.
Schedule = Callable[[tf.Tensor], tf.Tensor]


def schedule(
    learning_rate: float, *, warmup_rounds: int | None = None, decay_rounds: int | None = None
) -> Schedule | None:
    """Returns the schedule; None if the rate is constant.

    Args:
      learning_rate: The largest.
      warmup_rounds: Round r of the first w, r from 1, has r/w of the rate.
      decay_rounds: After so many rounds, counted from the very first, the rate is 0. The cosine
        begins after the warm-up, which must be shorter.
    """
    if warmup_rounds is None and decay_rounds is None:
        return None
    warm = warmup_rounds or 0

    def rate(done: tf.Tensor) -> tf.Tensor:
        done = tf.cast(done, tf.float32)
        now = tf.constant(learning_rate)
        if decay_rounds is not None:
            fallen = tf.clip_by_value((done - warm) / (decay_rounds - warm), 0.0, 1.0)
            now = learning_rate * 0.5 * (1.0 + tf.cos(np.pi * fallen))
        if warm:
            now *= tf.minimum((done + 1.0) / warm, 1.0)
        return now

    return rate
