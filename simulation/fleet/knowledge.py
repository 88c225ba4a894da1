"""What the server knows of its fleet: what one that has seen a week of it does.

By a sample, so that it takes no time that grows with the fleet.
"""

import numpy as np

from fedkeyboard import streams
from fedkeyboard.simulation.fleet.habits import DAY, HOUR, Phones
from fedkeyboard.simulation.fleet.plan import Plan
from fedkeyboard.streams import Stream

_SAMPLE = 4096  # Phones.
_RAREST = 0.05


class Knowledge:
    """How available the phones are, over a week.

    Attributes:
      sample: int64 `[m]`, the phones that it is known from; all of a small fleet.
      hourly: float64 `[24]`, how many may train in each hour of the day (UTC), in the mean.
      most_awake: How many may in the week's best hour.
      rate: The share of the time for which a phone may, in the mean over the fleet.
      rare: The share below which a phone is never turned away (`uniform`).
    """

    def __init__(self, plan: Plan, traits: Phones | None, seed: int):
        self._plan = plan
        self._traits = traits
        self.sample = _sample(plan.phones, seed)
        self.hourly, self.most_awake = self._available_by_hour()
        of_sample = self.rates(self.sample)
        self.rate = float(np.mean(of_sample))
        self.rare = float(np.quantile(of_sample, _RAREST))

    def rates(self, phones: np.ndarray) -> np.ndarray:
        """Returns the share of the time for which each phone may train: float64 `[n]`."""
        return np.ones(len(phones)) if self._traits is None else self._traits.rates(phones)

    def available(self, now: float) -> tuple[float, float]:
        """Returns how many phones may train at a mean hour, and at a time."""
        return float(self.hourly.mean()), float(self.hourly[int(now % DAY // HOUR)])

    def _available_by_hour(self) -> tuple[np.ndarray, float]:
        if self._traits is None:
            return np.full(24, float(self._plan.phones)), float(self._plan.phones)
        memory = self._traits.memory_gb(self.sample)
        strong = self.sample[memory >= self._plan.settings.minimum_memory_gb]
        # Days of which none is simulated.
        hours = np.arange(-7 * 24, 0) + 0.5
        here = [
            np.count_nonzero(
                self._traits.available_until(strong, np.full(len(strong), hour * HOUR))
                > hour * HOUR
            )
            for hour in hours
        ]
        of_all = np.reshape(here, (7, 24)) * self._plan.phones / len(self.sample)
        return of_all.mean(axis=0), float(of_all.max())


def _sample(phones: int, seed: int) -> np.ndarray:
    if phones <= _SAMPLE:
        return np.arange(phones)
    return streams.generator(seed, Stream.FLEET_SAMPLE).integers(0, phones, _SAMPLE)
