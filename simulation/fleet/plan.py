"""How many phones a round wants: what follows from the settings alone."""

import dataclasses
import math

from fedkeyboard.simulation import config as configs


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the server wants of a round.

    Attributes:
      settings: How it runs rounds, and the phones' habits.
      goal: Reports that close a round.
      wanted: Phones that are asked.
      least: Phones, and reports, below which an attempt is abandoned.
      phones: How many there are; their numbers are 0 to `phones` - 1.
    """

    settings: configs.Fleet
    goal: int
    wanted: int
    least: int
    phones: int

    @classmethod
    def of(cls, settings: configs.Fleet, goal: int, phones: int) -> "Plan":
        """Returns the plan of an experiment's settings."""
        least = settings.minimum_reports or goal
        if settings.sampling == "random_check_in":  # How many come is by chance.
            least = settings.minimum_reports or 1
        if settings.sampling == "poisson":
            least = 0
        wanted = math.ceil(goal * settings.over_selection - 1e-9)
        return cls(settings, goal, wanted, least, phones)

    @property
    def takes_turns(self) -> bool:
        """Whether a phone may be asked in one round of a cycle only."""
        return self.settings.sampling in ("cyclic", "random_check_in")

    @property
    def coin(self) -> float:
        """The probability with which `poisson` takes a phone."""
        return min(1.0, self.goal * self.settings.over_selection / self.phones)
