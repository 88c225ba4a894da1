"""What a round of the fleet was like. Needs no SciPy, so that what shows rounds does not either."""

from typing import NamedTuple

import numpy as np


class FleetRound(NamedTuple):
    """A round of the fleet, with the attempts that were abandoned before it.

    Attributes:
      reported: int64 `[n]`, the phones whose report counts, as they came.
      virtual_start: Seconds since a Monday's midnight UTC.
      virtual_seconds: How long it took.
      checked_in: Phones that checked in while the server selected.
      selected: Phones that were asked.
      late: Phones whose report came too late.
      dropped: Phones that dropped out.
      abandoned: Attempts before this one.
      bytes_down: To the phones that were asked: each the model.
      bytes_up: From the phones that did not drop out: each an update, the late ones' too.
      phones_seen: Phones that have reported in this round or before.
      gini: Of the rounds in which each phone has reported: 0 if all equally often, 1 if one alone.
      availability_bias: How available the phones are whose text was trained on so far, weighted by
        their sentences, by how available all are; 1 without bias, and before anybody has trained.
    """

    reported: np.ndarray
    virtual_start: float
    virtual_seconds: float
    checked_in: int
    selected: int
    late: int
    dropped: int
    abandoned: int
    bytes_down: int
    bytes_up: int
    phones_seen: int
    gini: float
    availability_bias: float

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Returns the fields that a table has: who reported stays with the fleet."""
        return tuple(name for name in cls._fields if name != "reported")
