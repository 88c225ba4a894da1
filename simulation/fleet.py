"""Phones in virtual time: who checks in, who is asked, who answers.

The protocol of Bonawitz et al. 2019 (arXiv 1902.01046, sections 2.2 and 2.3), as discrete events. A
round is

1. *selection*: phones that may train check in; the server accepts them until it has `report_goal *
   over_selection`, or a timeout. With fewer than the minimum the round is abandoned;
2. *configuration*: those accepted download the plan and the model;
3. *reporting*: they train and upload. The round closes at the report goal or at the deadline; what
   comes later is thrown away, and with fewer reports than the minimum the round is abandoned.

A phone drops out if it may no longer train (it is picked up, unplugged, leaves its Wi-Fi) before it
is done, or by chance. One that was asked is not asked again for `reuse_hours`.

*Pace steering*: the server tells phones when to come back, so that neither all come at once nor too
few. Here it knows how many phones are available at an hour, as a server that has seen a week does,
and asks for as many check-ins as fill a round within `pace_minutes`; Android wakes a job at most
every 15 minutes, which bounds it for small fleets.

Rounds take no time that grows with the fleet: check-ins are a Poisson process of all phones,
thinned by whether each is available at that moment, which is a function of its number and the time
(`habits.py`). What is kept for a phone is when it was last asked and how often it has reported.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from simulation.habits import DAY, HOUR, Habits, Phones

_SHORTEST_INTERVAL = 15 * 60.0  # Of Android's JobScheduler, seconds.
_CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the server runs its rounds.

    Attributes:
      report_goal: Reports that close a round.
      over_selection: Phones asked for each report that is wanted.
      minimum_reports: With fewer the round is abandoned.
      selection_minutes: How long a round waits for check-ins.
      deadline_minutes: How long, after the selection, for reports; None: as long as it takes.
      pace_minutes: In how long pace steering means to fill a round.
      reuse_hours: How long a phone that was asked is left alone.
      dropout: The chance that a phone fails though it stays available: the network, the app killed.
      minimum_memory_gb: Phones with less never check in.
    """

    report_goal: int
    over_selection: float = 1.0
    minimum_reports: int = 1
    selection_minutes: float = 10.0
    deadline_minutes: float | None = None
    pace_minutes: float = 2.0
    reuse_hours: float = 0.0
    dropout: float = 0.0
    minimum_memory_gb: float = 0.0

    @property
    def wanted(self) -> int:
        """Phones that a round asks."""
        return int(np.ceil(self.report_goal * self.over_selection - 1e-9))


class FleetRound(NamedTuple):
    """A round of the fleet.

    Attributes:
      began: Virtual time, seconds since a Monday's midnight UTC.
      seconds: Virtual length.
      checked_in: Phones that checked in until the selection ended.
      selected: Phones that were asked.
      reported: Phones whose report counts, in the order of their reports.
      late: Phones whose report came too late, or would have.
      dropped: Phones that dropped out.
      abandoned: Whether the round was given up; then nobody's report counts.
      bytes_down: To all phones that were asked.
      bytes_up: From all phones that sent a report before the round closed.
    """

    began: float
    seconds: float
    checked_in: int
    selected: int
    reported: np.ndarray
    late: int
    dropped: int
    abandoned: bool
    bytes_down: int
    bytes_up: int


class Fleet:
    """The fleet in virtual time; each call of `next_round` runs a round after the one before."""

    def __init__(
        self,
        protocol: Protocol,
        habits: Habits | None,
        *,
        phones: int,
        sentences: Callable[[np.ndarray], np.ndarray],
        model_bytes: int,
        seed: int,
    ):
        """Initializes the fleet at a Monday's midnight UTC.

        Args:
          protocol: How the server runs rounds.
          habits: The phones'; None: all are always available, and take no time for anything.
          phones: How many there are; their numbers are 0 to `phones` - 1.
          sentences: Gives how many sentences phones train on: int64 `[n]` of numbers `[n]`.
          model_bytes: Of the plan and the model, and of an update.
          seed: All that is drawn follows from it.
        """
        self._protocol = protocol
        self._habits = habits
        self._phones = phones
        self._sentences = sentences
        self._model_bytes = model_bytes
        self._seed = seed
        self._traits = None if habits is None else Phones(habits, seed)
        self._now = 0.0
        self._rounds = 0
        self._asked = np.full(phones, -np.inf, np.float32)
        self._reports = np.zeros(phones, np.uint16)
        self._available = None if habits is None else self._available_by_hour()

    def next_round(self) -> FleetRound:
        """Runs the next round."""
        self._rounds += 1
        generator = np.random.default_rng([self._seed, self._rounds])
        began = self._now
        phones, selected_at, checked_in = self._select(generator)
        if len(phones) < self._protocol.minimum_reports:
            self._now = selected_at
            return FleetRound(
                began, selected_at - began, checked_in, 0, phones[:0], 0, 0, True, 0, 0
            )
        self._asked[phones] = selected_at
        done, dropped = self._work(phones, selected_at, generator)
        deadline = self._protocol.deadline_minutes
        closes = np.inf if deadline is None else selected_at + 60 * deadline
        # The reports in the order of their arrival, up to the goal or the deadline.
        order = np.argsort(np.where(dropped, np.inf, done), kind="stable")
        order = order[: np.count_nonzero(~dropped)]
        in_time = order[done[order] <= closes]
        reported = in_time[: self._protocol.report_goal]
        if len(reported) == self._protocol.report_goal:
            closes = done[reported[-1]]
        elif not np.isfinite(closes):
            closes = done[order[-1]] if len(order) else selected_at
        abandoned = len(reported) < self._protocol.minimum_reports
        sent = len(phones) * self._model_bytes
        received = len(reported) * self._model_bytes
        self._now = closes
        if not abandoned:
            self._reports[phones[reported]] += 1
        return FleetRound(
            began=began,
            seconds=closes - began,
            checked_in=checked_in,
            selected=len(phones),
            reported=phones[reported] if not abandoned else phones[:0],
            late=len(order) - len(reported),
            dropped=int(np.count_nonzero(dropped)),
            abandoned=abandoned,
            bytes_down=sent,
            bytes_up=received,
        )

    def _select(self, generator: np.random.Generator) -> tuple[np.ndarray, float, int]:
        """Returns the phones that were accepted, when the last was, and how many checked in."""
        wanted = self._protocol.wanted
        ends = self._now + 60 * self._protocol.selection_minutes
        # Check-ins a second, were all phones available.
        rate = self._phones / self._interval()
        now, checked_in = self._now, 0
        accepted: list[np.ndarray] = []
        taken: set[int] = set()
        while now < ends and len(taken) < wanted:
            times = now + np.cumsum(generator.exponential(1 / rate, _CHUNK))
            phones = generator.integers(0, self._phones, _CHUNK)
            now = times[-1]
            here = self._may_train(phones, times) & (times < ends)
            free = here & (self._asked[phones] + HOUR * self._protocol.reuse_hours <= times)
            for i in np.flatnonzero(free):
                if len(taken) == wanted:
                    here[i:] = False
                    break
                if phones[i] not in taken:
                    taken.add(int(phones[i]))
                    accepted.append(phones[i])
                    now = times[i]
            checked_in += int(np.count_nonzero(here))
        full = len(taken) == wanted
        return np.array(accepted, np.int64), now if full else ends, checked_in

    def _work(
        self, phones: np.ndarray, begin: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns when each phone has reported, and whether it drops out before."""
        if self._traits is None:
            return np.full(len(phones), begin), np.zeros(len(phones), bool)
        down, up = self._traits.bytes_per_second(phones)
        training = self._sentences(phones) * self._traits.seconds_per_sentence(phones)
        done = begin + self._model_bytes / down + training + self._model_bytes / up
        until = self._traits.available_until(phones, np.full(len(phones), begin))
        fails = generator.random(len(phones)) < self._protocol.dropout
        return done, fails | (until < done)
