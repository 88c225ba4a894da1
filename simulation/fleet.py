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
