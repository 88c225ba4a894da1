"""When a phone may train, and what it is able to do: pure functions of seed, phone and time.

Nothing is stored for a phone. Its traits, and what it does on a day, are hashes of (seed, what is
drawn, phone, day), so ten million phones take no memory, and a phone does the same whenever it is
asked.

**When.** A phone may train while it is idle, charging and on an unmetered network (Hard et al.
2018, arXiv 1811.03604, section 4; Bonawitz et al. 2019, arXiv 1902.01046, section 3). Here these
are two kinds of window, in the phone's local time: on most nights from bedtime to waking, and on
most days a while at a desk.

- Bedtime and waking are normal, fitted to the bundled chat: who types is not asleep. With activity
  the messages in an hour of the day (UTC - 6 h, the middle of the United States) by the mean of the
  six busiest hours, `NIGHT` is the least-squares fit of the chance of being asleep to 1 - activity
  (`tests/simulation/fleet/test_habits.py`). "Waking" is when people begin to chat, hours after they
  get up.
- How often a phone is charged at night, and at a desk by day, differs between phones. The means
  (`fedkeyboard.simulation.config.Habits`) are chosen, not fitted: a fleet in the time zones of the
  United States then has four times as many phones available at its best hour as at its worst, as
  Bonawitz et al. report (section 9).

**What.** Training speed and bandwidth are long-tailed: log-normal, with a median and the ratio of
the 84th percentile to it. That ratio is a choice: FedScale (Lai et al. 2022, arXiv 2105.11367),
which takes computation from AI Benchmark and bandwidth from MobiPerf, shows both to spread over
more than an order of magnitude. The median speed is a choice too: a sentence of 10 words takes
0.1 GFLOP with Gboard's model, which is 100 ms at 1 GFLOP/s. So are the shares of memory sizes.
"""

import dataclasses

import numpy as np
from scipy import special

from fedkeyboard import splitmix
from fedkeyboard.simulation import config as configs

HOUR, DAY = 3600.0, 86_400.0

# What is drawn for a phone: independent streams under one seed.
(
    _ZONE,
    _BED,
    _WAKE,
    _NIGHTS,
    _DAYS,
    _SPEED,
    _DOWN,
    _UP,
    _MEMORY,
    _CHARGED,
    _LATER,
    _AT_DESK,
    _BEGIN,
    _LENGTH,
) = range(14)

# Days begin in the afternoon, so that a night is in one.
_DAY_BEGINS = 16

# Of how people differ in bedtime this share of the variance is between people, the rest from day to
# day.
_BETWEEN = 0.8

# Gigabytes, and the share of the phones that have so many.
_MEMORY_GB = {1: 0.1, 2: 0.25, 3: 0.25, 4: 0.25, 6: 0.15}


@dataclasses.dataclass(frozen=True)
class Night:
    """Bedtime and waking, hours of local time after midnight: mean and standard deviation."""

    bed: float
    bed_deviation: float
    wake: float
    wake_deviation: float


NIGHT = Night(bed=23.8, bed_deviation=1.4, wake=34.3, wake_deviation=3.2)


class Phones:
    """The phones of a fleet, by number."""

    def __init__(self, habits: configs.Habits, seed: int):
        self._habits = habits
        self._seed = np.uint64(seed)
        zones = {float(zone): share for zone, share in habits.time_zones.items()}
        self._zones = np.array(list(zones))
        self._zone_ends = _ends(list(zones.values()))

    def available_until(self, phones: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Returns until when each phone may train; before its time if it may not now.

        Args:
          phones: int64 `[n]`, their numbers.
          times: float64 `[n]`, seconds since a Monday's midnight UTC.

        Returns:
          float64 `[n]`, seconds since the same midnight.
        """
        zone = self._zones[np.searchsorted(self._zone_ends, self._uniform(_ZONE, phones))]
        local = times / HOUR + zone
        day = np.floor((local - _DAY_BEGINS) / 24)
        hour = local - 24 * day
        later = np.sqrt(1 - _BETWEEN) * _normal(self._uniform(_LATER, phones, day))
        bed, wake = self._night(phones, later)
        charged = self._uniform(_CHARGED, phones, day) < self._share(phones, "nights")
        wake = np.minimum(wake, _DAY_BEGINS + 24)
        until = np.where(charged & (bed <= hour) & (hour < wake), wake, -np.inf)
        for of_day, ago in ((day, 0), (day - 1, 24)):
            begin, end = self._at_desk(phones, of_day)
            here = (begin <= hour + ago) & (hour + ago < end)
            until = np.where(here, np.maximum(until, end - ago), until)
        return times + HOUR * (until - hour)

    def rates(self, phones: np.ndarray) -> np.ndarray:
        """Returns the share of the time for which each phone is available over many days.

        But for the day's end, which cuts a few nights, and whiles of two days that overlap: 1% too
        much with whiles of 4 hours, 3% with 12.
        """
        bed, wake = self._night(phones, 0.0)
        nights = self._share(phones, "nights") * np.clip(wake - bed, 0, 24) / 24
        # The mean of an exponential length that 24 hours cut.
        mean = self._habits.desk_hours / 24
        days = self._share(phones, "days") * mean * -np.expm1(-1 / mean)
        return nights + days - nights * days

    def seconds_per_sentence(self, phones: np.ndarray) -> np.ndarray:
        """Returns how long each phone trains on a sentence."""
        return self._habits.milliseconds_per_sentence / 1000 * self._tail(_SPEED, phones)

    def bytes_per_second(self, phones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns each phone's bandwidth, down and up."""
        down = self._habits.down_mbps * 125_000 / self._tail(_DOWN, phones)
        up = self._habits.up_mbps * 125_000 / self._tail(_UP, phones)
        return down, up

    def memory_gb(self, phones: np.ndarray) -> np.ndarray:
        """Returns each phone's memory."""
        ends = _ends(list(_MEMORY_GB.values()))
        return np.array(list(_MEMORY_GB))[np.searchsorted(ends, self._uniform(_MEMORY, phones))]

    def _night(
        self, phones: np.ndarray, later: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns bedtime and waking in hours, bedtime by `later` of its deviations later."""
        bed = np.sqrt(_BETWEEN) * _normal(self._uniform(_BED, phones)) + later
        wake = _normal(self._uniform(_WAKE, phones))
        return NIGHT.bed + NIGHT.bed_deviation * bed, NIGHT.wake + NIGHT.wake_deviation * wake

    def _at_desk(self, phones: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns begin and end of the while at a desk, in hours; both -inf without one."""
        begin = _DAY_BEGINS + 24 * self._uniform(_BEGIN, phones, day)
        hours = -self._habits.desk_hours * np.log1p(-self._uniform(_LENGTH, phones, day))
        there = self._uniform(_AT_DESK, phones, day) < self._share(phones, "days")
        begin = np.where(there, begin, -np.inf)
        return begin, begin + np.minimum(hours, 24)

    def _share(self, phones: np.ndarray, name: str) -> np.ndarray:
        """Returns each phone's own chance of a charged night, or of a while at a desk by day.

        Few phones always, few never: u^(1/m - 1) of a uniform u has the mean m.
        """
        stream = {"nights": _NIGHTS, "days": _DAYS}[name]
        return self._uniform(stream, phones) ** (1 / getattr(self._habits, name) - 1)

    def _tail(self, stream: int, phones: np.ndarray) -> np.ndarray:
        """Log-normal, of median 1."""
        return self._habits.spread ** _normal(self._uniform(stream, phones))

    def _uniform(
        self, stream: int, phones: np.ndarray, day: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns numbers in (0, 1) that follow from seed, stream, phone and day.

        By SplitMix64's finalizer.
        """
        with np.errstate(over="ignore"):  # Modulo 2^64 is what is meant.
            key = splitmix.mixed(self._seed * _GOLDEN + np.uint64(stream + 1))
            bits = splitmix.mixed(np.asarray(phones).astype(np.uint64) * _GOLDEN + key)
            if day is not None:
                bits = splitmix.mixed(bits + day.astype(np.int64).astype(np.uint64) * _GOLDEN)
        return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


_GOLDEN = np.uint64(splitmix.GOLDEN)


def _normal(uniform: np.ndarray) -> np.ndarray:
    return special.ndtri(uniform)


def _ends(shares: list[float]) -> np.ndarray:
    """Where shares end on (0, 1), the last one's end left out."""
    return (np.cumsum(shares) / np.sum(shares))[:-1]
