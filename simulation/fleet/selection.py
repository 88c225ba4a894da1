"""Selection: which phones check in, and which of them the server asks."""

import collections
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fedkeyboard.simulation.fleet.habits import HOUR, Phones
from fedkeyboard.simulation.fleet.knowledge import Knowledge
from fedkeyboard.simulation.fleet.plan import Plan

_SHORTEST_INTERVAL = 15 * 60.0  # Of Android's JobScheduler, seconds.
_MOST_CANDIDATES = 1 << 16  # Drawn at once.
_FEW = 16  # Of a set with fewer of the fleet's phones than one in so many, all are listed.


class Selected(NamedTuple):
    """What came of an attempt to select.

    Attributes:
      phones: int64 `[n]`, those that are asked.
      checked_in: How many phones checked in.
      at: When the server had them, seconds.
    """

    phones: np.ndarray
    checked_in: int
    at: float


class Selection:
    """Who is asked; what is kept of a phone is when it was last asked, and in which window it drew.

    Attributes:
      cycle: How many rounds, or attempts, a cycle has (`cyclic`, `random_check_in`).
    """

    def __init__(self, plan: Plan, traits: Phones | None, knowledge: Knowledge):
        self._plan = plan
        self._traits = traits
        self._knowledge = knowledge
        self._settings = plan.settings
        # When each was last asked, 1 + seconds, and the window in which it last drew a round.
        self._asked = np.zeros(plan.phones, np.uint32)
        draws = plan.settings.sampling == "random_check_in"
        self._drew = np.zeros(plan.phones if draws else 0, np.uint32)
        self._drawn = 0
        self._recently: collections.deque[tuple[float, int]] = collections.deque()
        # By default groups, or those who draw a round, are enough at a mean hour.
        enough = plan.wanted if traits is None else 2 * plan.wanted
        self.cycle = plan.settings.cycle or max(1, int(knowledge.hourly.mean() / enough))

    def select(
        self, generator: np.random.Generator, now: float, rounds: int, attempts: int
    ) -> Selected:
        """Returns the phones that are asked.

        Args:
          generator: Of this attempt.
          now: When it begins, seconds.
          rounds: How many rounds there have been.
          attempts: How many attempts at them.
        """
        match self._settings.sampling:
            case "poisson":
                return self._toss(generator, now)
            case "random_check_in":
                return self._those_of_the_round(generator, now, attempts)
            case _:
                return self._first_to_come(generator, now, rounds)

    def ask(self, phones: np.ndarray, now: float) -> None:
        """Notes that phones are asked, and so left alone for a while."""
        self._asked[phones] = 1 + int(now)
        if self._settings.reuse_hours:
            self._recently.append((now, len(phones)))

    def interval(self, available: float) -> float:
        """Returns after how many seconds the server has each of so many phones check in again."""
        if self._traits is None:
            return 0.0
        pace = 60 * self._settings.pace_minutes
        return max(_SHORTEST_INTERVAL, pace * available / self._plan.wanted)

    def _toss(self, generator: np.random.Generator, now: float) -> Selected:
        """Selects by `poisson`."""
        if self._traits is not None:
            now += 60 * self._settings.pace_minutes  # Between one toss and the next.
        heads = generator.binomial(self._plan.phones, self._plan.coin)
        asked = generator.choice(self._plan.phones, heads, replace=False)
        asked = asked[self._may_train(asked, np.full(len(asked), now))]
        return Selected(asked, len(asked), now)

    def _first_to_come(self, generator: np.random.Generator, now: float, rounds: int) -> Selected:
        """Selects by `check_in`, `uniform` and `cyclic`: those of the group that come first."""
        wanted = self._plan.wanted
        ends = now + 60 * self._settings.selection_minutes
        group, groups = self._group(rounds)
        members = len(range(group, self._plan.phones, groups))
        free = self._free(now)
        at_mean_hour, here_now = (each * free / groups for each in self._knowledge.available(now))
        # Seconds between two check-ins, were all members available.
        gap = self.interval(at_mean_hour) / members
        draws = min(_MOST_CANDIDATES, int(64 + 1.3 * wanted * members / max(here_now, 1)))
        checked_in = 0
        accepted = np.zeros(0, np.int64)
        while now < ends and len(accepted) < wanted:
            times = now + np.cumsum(gap * generator.standard_exponential(draws))
            phones = group + groups * generator.integers(0, members, draws)
            here = np.flatnonzero(self._may_train(phones, times) & (times <= ends))
            here = here[_first_of_each(phones[here]) & ~np.isin(phones[here], accepted)]
            welcome = here[self._welcome(phones[here], generator)][: wanted - len(accepted)]
            accepted = np.concatenate([accepted, phones[welcome]])
            now = times[-1]
            if len(accepted) == wanted:
                now = times[welcome[-1]]
                here = here[here <= welcome[-1]]
            checked_in += len(here)
        return Selected(accepted, checked_in, min(now, ends))

    def _those_of_the_round(
        self, generator: np.random.Generator, now: float, attempts: int
    ) -> Selected:
        """Selects by `random_check_in`: those who drew this attempt come at a time within it."""
        window, slot = divmod(attempts, self.cycle)
        if slot == 0:
            self._drawn = 0
        # How many of those left in the window come now, when each has drawn one of its rounds.
        left = self._plan.phones - self._drawn
        count = generator.binomial(left, 1 / (self.cycle - slot))
        if left > self._plan.phones // _FEW and count < left // 4:
            came = self._some(generator, count, lambda phones: self._drew[phones] != window + 1)
        else:  # Too few to be met by chance.
            came = generator.choice(np.flatnonzero(self._drew != window + 1), count, replace=False)
        self._drew[came] = window + 1
        self._drawn += len(came)
        seconds = 0.0 if self._traits is None else 60 * self._settings.selection_minutes
        times = now + seconds * np.sort(generator.random(len(came)))
        here = np.flatnonzero(self._may_train(came, times))
        accepted = here[: self._plan.wanted]
        if len(accepted) == self._plan.wanted:
            return Selected(came[accepted], len(accepted), float(times[accepted[-1]]))
        return Selected(came[accepted], len(here), now + seconds)

    def _some(
        self,
        generator: np.random.Generator,
        count: int,
        allowed: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Draws `count` different phones uniformly, of those allowed."""
        drawn = np.zeros(0, np.int64)
        while len(drawn) < count:
            more = generator.integers(0, self._plan.phones, 64 + 2 * (count - len(drawn)))
            more = more[_first_of_each(more) & ~np.isin(more, drawn)]
            drawn = np.concatenate([drawn, more[allowed(more)]])[:count]
        return drawn

    def _group(self, rounds: int) -> tuple[int, int]:
        """Returns which phones may be asked: every so many from this number on."""
        return (rounds % self.cycle, self.cycle) if self._settings.sampling == "cyclic" else (0, 1)

    def _may_train(self, phones: np.ndarray, times: np.ndarray) -> np.ndarray:
        if self._traits is None:
            return np.ones(len(phones), bool)
        free = self._asked[phones] + self._settings.reuse_hours * HOUR < times + 1
        free |= self._asked[phones] == 0
        strong = self._traits.memory_gb(phones) >= self._settings.minimum_memory_gb
        may = free & strong
        may[may] = self._traits.available_until(phones[may], times[may]) > times[may]
        return may

    def _welcome(self, phones: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if self._settings.sampling != "uniform" or self._traits is None:
            return np.ones(len(phones), bool)
        return generator.random(len(phones)) * self._knowledge.rates(phones) < self._knowledge.rare

    def _free(self, now: float) -> float:
        """Returns the share of the phones that were not asked within the reuse interval."""
        if not self._settings.reuse_hours:
            return 1.0
        while self._recently and self._recently[0][0] + self._settings.reuse_hours * HOUR < now:
            self._recently.popleft()
        return max(0.0, 1 - sum(count for _, count in self._recently) / self._plan.phones)


def _first_of_each(values: np.ndarray) -> np.ndarray:
    """Returns which of the values do not stand before: bool `[n]`."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first
