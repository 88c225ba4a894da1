"""How sure a figure is: bootstrap intervals over users.

Words of one user are alike, so it is users that are drawn again, with replacement, each with all of
their words (cluster bootstrap; Davison and Hinkley 1997, section 3.8). The interval is that of the
percentiles. The draws follow from a fixed seed and the number of users alone, so that two models
evaluated on the same users are compared on the same draws: their ratio's interval is paired.
"""

from collections.abc import Callable

import numpy as np

from fedkeyboard import streams
from fedkeyboard.streams import Stream

_DRAWS = 2000
_SEED = 0
LEVEL = 0.95
# Weights of the draws are made and used for so many at once.
_AT_ONCE = 100


def interval(
    users: np.ndarray, figure: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float] | None:
    """Returns the 95% interval of a figure that follows from sums over users.

    Args:
      users: float `[U, F]`, each user's numbers.
      figure: Takes sums `[B, F]` and returns the figure of each, `[B]`; NaN where undefined.

    Returns:
      The lower and the upper end; None with fewer than two users, or an undefined figure.
    """
    if len(users) < 2:
        return None
    generator = streams.generator(_SEED, Stream.BOOTSTRAP)
    values = []
    for _ in range(_DRAWS // _AT_ONCE):
        drawn = generator.multinomial(
            len(users), np.full(len(users), 1 / len(users)), size=_AT_ONCE
        )
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            values.append(figure(drawn @ users))
    values = np.concatenate(values)
    if not np.all(np.isfinite(values)):
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
