"""When a phone may train, and what it is able to do: pure functions of seed, phone and time.

Nothing is stored for a phone. Its traits, and what it does on a day, are drawn by hashing (seed,
what is drawn, phone, day), so that a fleet of ten million phones takes no memory, and a phone does
the same whenever it is asked.

**When.** A phone may train while it is idle, charging and on an unmetered network (Hard et al. 2018,
arXiv 1811.03604, section 4; Bonawitz et al. 2019, arXiv 1902.01046, section 3). Here these are two
kinds of window, in the phone's local time: most nights, from bedtime to waking; and now and then
an hour or two by day, at a desk.

- Bedtimes and waking times are normal, and fitted to the bundled chat: who types is not idle. With
  activity the share of messages in an hour of the day (UTC - 6 h, where the corpus was collected)
  by that of the busiest hour, `NIGHT` is the least-squares fit of the chance of being asleep to
  1 - activity (`tests/simulation/test_habits.py` fits it again).
- How often a phone is charged at night, and how often by day, differs between phones. The means are
  chosen so that four times as many phones of a fleet in the time zones of the United States are
  available at the best hour as at the worst, as Bonawitz et al. report (section 9).

**What.** Training speed, bandwidth and memory are long-tailed. FedScale (Lai et al. 2022, arXiv
2105.11367, section 3.3) finds an order of magnitude and more between phones, in computation (AI
Benchmark) as in bandwidth (MobiPerf): log-normal here, with a median and the ratio of the 84th
percentile to it.
"""

import dataclasses

import numpy as np
from scipy import special

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
    _CHARGES,
    _LATER,
    _SESSION,
    _BEGIN,
    _LENGTH,
) = range(14)


@dataclasses.dataclass(frozen=True)
class Night:
    """Bedtime and waking, hours of local time after midnight: mean and standard deviation each."""

    bed: float
    bed_deviation: float
    wake: float
    wake_deviation: float


NIGHT = Night(bed=23.6, bed_deviation=1.6, wake=34.7, wake_deviation=3.7)


@dataclasses.dataclass(frozen=True)
class Habits:
    """The habits of a fleet's phones.

    Attributes:
      time_zones: Hours from UTC, and the share of the phones there.
      nights: Mean share of the nights on which a phone is charged, idle and on Wi-Fi.
      days: Mean share of the days on which it is so for a while.
      session_hours: Mean length of such a while.
      milliseconds_per_sentence: Median time to train on a sentence.
      down_mbps: Median bandwidth to the phone, 10^6 bits a second.
      up_mbps: From the phone.
      spread: Of speed and bandwidth: the 84th percentile by the median.
    """

    time_zones: dict[float, float]
    nights: float = 0.55
    days: float = 0.5
    session_hours: float = 1.5
    milliseconds_per_sentence: float = 20.0
    down_mbps: float = 20.0
    up_mbps: float = 5.0
    spread: float = 3.0


# The share of phones that have so much memory, in GB; of a fleet of Android phones about 2018.
_MEMORY_GB = {1: 0.15, 2: 0.3, 3: 0.25, 4: 0.2, 6: 0.1}


class Phones:
    """The phones of a fleet, by number."""

    def __init__(self, habits: Habits, seed: int):
        self._habits = habits
        self._seed = np.uint64(seed)
        zones = sorted(habits.time_zones.items())
        self._zones = np.array([zone for zone, _ in zones])
        shares = np.array([share for _, share in zones])
        self._zone_ends = np.cumsum(shares / shares.sum())[:-1]

    def available_until(self, phones: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Returns until when each phone may train, in seconds; before `times` if it may not now.

        Args:
          phones: int64 `[n]`, their numbers.
          times: float64 `[n]`, seconds since a Monday's midnight UTC.
        """
        offset = self._zones[np.searchsorted(self._zone_ends, self._uniform(_ZONE, phones))]
        local = times / HOUR + offset
        # Days from noon to noon, so that a night is in one.
        day = np.floor((local - 12) / 24)
        hour = local - 24 * day
        bed, wake = self._night(phones, day)
        charged = self._uniform(_CHARGES, phones, day) < self._share(_NIGHTS, phones, "nights")
        until = np.where(charged & (bed <= hour) & (hour < wake), wake, -np.inf)
        begin = 12 + 24 * self._uniform(_BEGIN, phones, day)
        end = begin - self._habits.session_hours * np.log1p(-self._uniform(_LENGTH, phones, day))
        session = self._uniform(_SESSION, phones, day) < self._share(_DAYS, phones, "days")
        until = np.where(session & (begin <= hour) & (hour < end), np.maximum(until, end), until)
        return (until - hour) * HOUR + times

    def _night(self, phones: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns bedtime and waking of the phones on each day, in hours after its midnight."""
        night = NIGHT
        # Most of how people differ is between people, and the rest from day to day.
        own, daily = np.sqrt(0.8), np.sqrt(0.2)
        bed = own * _normal(self._uniform(_BED, phones))
        wake = own * _normal(self._uniform(_WAKE, phones))
        bed = bed + daily * _normal(self._uniform(_LATER, phones, day))
        return night.bed + night.bed_deviation * bed, night.wake + night.wake_deviation * wake

    def _share(self, stream: int, phones: np.ndarray, name: str) -> np.ndarray:
        """Returns each phone's own chance of a charged night or a session by day.

        Between 0 and 1 with the mean that the habits say, and most phones near one of the ends:
        u^(1/m - 1) of a uniform u has mean m.
        """
        mean = getattr(self._habits, name)
        return self._uniform(stream, phones) ** (1 / mean - 1)

    def rates(self, phones: np.ndarray) -> np.ndarray:
        """Returns the share of the time for which each phone is available, over many days."""
        night = NIGHT
        own = np.sqrt(0.8)
        bed = night.bed + night.bed_deviation * own * _normal(self._uniform(_BED, phones))
        wake = night.wake + night.wake_deviation * own * _normal(self._uniform(_WAKE, phones))
        nights = self._share(_NIGHTS, phones, "nights") * np.maximum(wake - bed, 0) / 24
        days = self._share(_DAYS, phones, "days") * self._habits.session_hours / 24
        # The two are independent: what overlaps counts once.
        return nights + days - nights * days

    def seconds_per_sentence(self, phones: np.ndarray) -> np.ndarray:
        """Returns how long each phone trains on a sentence."""
        median = self._habits.milliseconds_per_sentence / 1000
        return median * self._tail(_SPEED, phones)

    def bytes_per_second(self, phones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns each phone's bandwidth, down and up."""
        down, up = (
            mbps * 125_000 / self._tail(stream, phones)
            for stream, mbps in ((_DOWN, self._habits.down_mbps), (_UP, self._habits.up_mbps))
        )
        return down, up

    def memory_gb(self, phones: np.ndarray) -> np.ndarray:
        """Returns each phone's memory."""
        sizes, ends = np.array(list(_MEMORY_GB)), np.cumsum(list(_MEMORY_GB.values()))[:-1]
        return sizes[np.searchsorted(ends, self._uniform(_MEMORY, phones))]

    def _tail(self, stream: int, phones: np.ndarray) -> np.ndarray:
        """Log-normal, of median 1."""
        return self._habits.spread ** _normal(self._uniform(stream, phones))

    def _uniform(
        self, stream: int, phones: np.ndarray, day: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns numbers in (0, 1) that follow from seed, stream, phone and day.

        By two rounds of SplitMix64's finalizer (Steele et al. 2014, doi:10.1145/2660193.2660195).
        """
        key = _mix(self._seed * _GOLDEN + np.uint64(stream))
        bits = _mix(np.asarray(phones).astype(np.uint64) * _GOLDEN + key)
        if day is not None:
            bits = _mix(bits + day.astype(np.int64).astype(np.uint64) * _GOLDEN)
        return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(bits: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # Modulo 2^64 is what is meant.
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))


def _normal(uniform: np.ndarray) -> np.ndarray:
    return special.ndtri(uniform)
