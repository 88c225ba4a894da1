"""Reporting: how long the phones that were asked take, who drops out, whose report counts."""

from typing import NamedTuple

import numpy as np

from fedkeyboard.simulation.fleet.habits import Phones
from fedkeyboard.simulation.fleet.plan import Plan


class Reported(NamedTuple):
    """What came of a round's phones.

    Attributes:
      counted: int64 `[m]`, which of those asked have reports that count, as they come.
      late: How many reports came too late.
      dropped: How many phones dropped out.
      at: When the round closed, seconds.
    """

    counted: np.ndarray
    late: int
    dropped: int
    at: float


class Reporting:
    """The phones' work, and the server's wait for it."""

    def __init__(self, plan: Plan, traits: Phones | None, bytes_down: int, bytes_up: int):
        self._plan = plan
        self._traits = traits
        self._bytes_down = bytes_down
        self._bytes_up = bytes_up

    def report(
        self, phones: np.ndarray, sentences: np.ndarray, now: float, generator: np.random.Generator
    ) -> Reported:
        """Returns whose reports count.

        Args:
          phones: int64 `[n]`, those asked.
          sentences: int64 `[n]`, how many each trains on.
          now: When they are asked, seconds.
          generator: Of this attempt.
        """
        done, drops = self._work(phones, sentences, now, generator)
        staying = np.flatnonzero(~drops)
        order = staying[np.argsort(done[staying], kind="stable")]
        deadline = self._plan.settings.deadline_minutes
        closes = np.inf if deadline is None else now + 60 * deadline
        counted = order[done[order] <= closes]
        poisson = self._plan.settings.sampling == "poisson"
        if not poisson:
            counted = counted[: self._plan.goal]
        # A drop-out is silent: the server waits for it until the deadline.
        everyone = len(counted) == (len(done) if poisson else min(self._plan.goal, len(done)))
        if everyone or not np.isfinite(closes):
            closes = done[counted[-1]] if len(counted) else now
        return Reported(
            counted, len(order) - len(counted), int(np.count_nonzero(drops)), float(closes)
        )

    def seconds(self, phones: np.ndarray, sentences: np.ndarray | int) -> np.ndarray:
        """Returns how long phones take: download, training, upload. Of a fleet with habits."""
        down, up = self._traits.bytes_per_second(phones)
        training = sentences * self._traits.seconds_per_sentence(phones)
        return self._bytes_down / down + training + self._bytes_up / up

    def _work(
        self, phones: np.ndarray, sentences: np.ndarray, now: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns when each phone would report, and whether it drops out before."""
        fails = generator.random(len(phones)) < self._plan.settings.dropout
        begin = np.full(len(phones), now)
        if self._traits is None:
            return begin, fails
        done = begin + self.seconds(phones, sentences)
        return done, fails | (self._traits.available_until(phones, begin) < done)
