"""A fleet in virtual time: who checks in, who is asked, who answers.

The protocol of Bonawitz et al. 2019 (arXiv 1902.01046, sections 2.2 and 2.3), as discrete events. A
round is

1. *selection*: phones that may train check in; the server accepts them until it has `report_goal *
   over_selection`, or a timeout;
2. *configuration*: those accepted download the plan and the model;
3. *reporting*: they train and upload. The round closes at the report goal or at the deadline; what
   comes later is thrown away.

With fewer phones or reports than the minimum the attempt is abandoned, and the next one begins. A
phone drops out if it may no longer train (it is picked up, unplugged, leaves its Wi-Fi) before it
is done, or by chance. One that was asked is left alone for `reuse_hours`. Attempts follow each
other: the next selection does not overlap the reporting (Bonawitz et al., section 4.3, do that).

*Pace steering* (section 2.3): the server tells phones when to come back. Here it knows how many are
available at a mean hour, as a server that has seen a week does, and asks for as many check-ins as
fill a round within `pace_minutes` at that hour, but of each phone at most one in 15 minutes,
Android's limit. So rounds fill faster by night and slower by day, as theirs do (section 9).

*Sampling* (`fedkeyboard.simulation.config.Fleet`):

- `check_in`: the first ones. Phones that are often awake take part more often; the figures tell how
  much (`availability_bias`).
- `uniform`: the server turns away phones that are often available, in proportion, so that over many
  rounds all take part equally often. It needs to know how available each phone is, which a server
  does not: an ideal to compare with. In the ideal fleet, the simple random sample of the papers.
- `poisson`: each phone with the probability `report_goal * over_selection / phones`, independently,
  as privacy accounting by subsampling assumes (Abadi et al. 2016, arXiv 1607.00133); the cohort's
  size varies, and no report counts as one too many. Those that are not available miss their round.
  Nobody is waited for: a round without a report happens, and changes nothing. To draw it again
  would take part of the coins' independence away.
- `cyclic`: phones are in `cycle` groups of random members, which take turns (Choquette-Choo et al.
  2023, arXiv 2306.08153): two rounds of a phone are at least a cycle apart, as DP-FTRL wants. A
  group whose members are asleep is waited for.
- `random_check_in`: each phone draws one round of every `cycle` (Balle et al. 2020, arXiv
  2007.06605, fixed windows), and of those that come the first ones are asked. A window has `cycle`
  attempts; the last of one and the first of the next may be the same phone's.

An attempt takes no time that grows with the fleet, but for the last ones in a window of
`random_check_in`: check-ins are a Poisson process of all phones, thinned by whether each is
available at that moment (`habits`). What is kept of a phone is when it was last asked and how often
it has reported: 8 bytes, and 4 more for `random_check_in`.

Without habits the fleet is ideal: all are always available, and nothing takes time.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np

from fedkeyboard import streams
from fedkeyboard.data.population import Population
from fedkeyboard.errors import RunFailure
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation.fleet import feasibility
from fedkeyboard.simulation.fleet.fleet_round import FleetRound
from fedkeyboard.simulation.fleet.habits import DAY, Phones
from fedkeyboard.simulation.fleet.knowledge import Knowledge
from fedkeyboard.simulation.fleet.participation import Participation
from fedkeyboard.simulation.fleet.plan import Plan
from fedkeyboard.simulation.fleet.reporting import Reporting
from fedkeyboard.simulation.fleet.selection import Selection
from fedkeyboard.streams import Stream

_GIVE_UP = 1000  # Attempts in a row, and no less than
_GIVE_UP_DAYS = 2  # virtual days, since a phone that is away by day may come by night.
# How many times the weights' size an optimizer's state has.
_SLOTS = {"sgd": 0, "momentum": 1, "adagrad": 1, "adam": 2, "adamw": 2, "yogi": 2}


def of(config: configs.Config, population: Population) -> "Fleet":
    """Returns the fleet of an experiment.

    Raises:
      UserError: If no round could ever succeed.
    """
    from fedkeyboard import model

    phones = population.phones("train")
    sizes = model.Sizes(vocabulary=config.tokenizer.vocabulary_size, **config.model.model_dump())

    def sentences(numbers: np.ndarray) -> np.ndarray:
        counts = population.sentence_counts(phones[0] + numbers)
        return np.minimum(counts, config.client.maximum_sentences)

    # float32; of the vocabulary that was asked for, whatever the text gives.
    model_bytes = 4 * sum(math.prod(shape) for shape in model.weight_shapes(sizes))
    down, up = 1, 1
    if config.client.algorithm == "mime_lite":  # The optimizer's state, and a gradient.
        down, up = 1 + _SLOTS[config.server.optimizer], 2
    return Fleet(
        config.fleet,
        config.rounds.cohort,
        phones=len(phones),
        sentences=sentences,
        bytes_down=down * model_bytes,
        bytes_up=up * model_bytes,
        seed=config.seed,
    )


class Fleet:
    """The fleet; each call of `next_round` runs the round after the one before."""

    def __init__(
        self,
        settings: configs.Fleet,
        report_goal: int,
        *,
        phones: int,
        sentences: Callable[[np.ndarray], np.ndarray],
        bytes_down: int,
        bytes_up: int,
        seed: int,
    ):
        """Initializes the fleet at a Monday's midnight UTC.

        Args:
          settings: How the server runs rounds, and the phones' habits.
          report_goal: Reports that close a round.
          phones: How many there are; their numbers are 0 to `phones` - 1.
          sentences: Gives how many sentences phones train on: int64 `[n]` of numbers `[n]`.
          bytes_down: What a phone downloads in a round: the model.
          bytes_up: What it uploads: an update.
          seed: All that is drawn follows from it.

        Raises:
          UserError: If no round could ever succeed.
        """
        self._plan = Plan.of(settings, report_goal, phones)
        self._sentences = sentences
        self._bytes_down = bytes_down
        self._bytes_up = bytes_up
        self._seed = seed
        self._traits = None if settings.habits is None else Phones(settings.habits, seed)
        self._knowledge = Knowledge(self._plan, self._traits, seed)
        self._selection = Selection(self._plan, self._traits, self._knowledge)
        self._reporting = Reporting(self._plan, self._traits, bytes_down, bytes_up)
        self._participation = Participation(phones)
        self._now = 0.0
        self._rounds = 0
        self._attempts = 0
        feasibility.check(
            self._plan,
            self._traits,
            self._knowledge,
            self._selection,
            self._reporting,
            sentences,
        )

    def next_round(self) -> FleetRound:
        """Runs attempts until one succeeds.

        Raises:
          RunFailure: If a thousand in a row are abandoned, over two virtual days.
        """
        began = self._now
        checked_in = selected = late = dropped = up = 0
        for abandoned in itertools.count():
            if abandoned >= _GIVE_UP and (
                self._traits is None or self._now - began >= _GIVE_UP_DAYS * DAY
            ):
                raise RunFailure(
                    f"{abandoned:,} attempts at a round in a row were abandoned, {selected:,} "
                    f"phones asked, {dropped:,} of them dropped out and {late:,} were late; lower "
                    "fleet.minimum_reports or rounds.cohort, or give them more time"
                )
            generator = streams.generator(self._seed, Stream.FLEET, self._attempts)
            asked = self._selection.select(generator, self._now, self._rounds, self._attempts)
            self._now = asked.at
            self._attempts += 1
            checked_in += asked.checked_in
            if len(asked.phones) < self._plan.least:
                continue
            self._selection.ask(asked.phones, self._now)
            sentences = self._sentences(asked.phones)
            came = self._reporting.report(asked.phones, sentences, self._now, generator)
            self._now = came.at
            selected += len(asked.phones)
            dropped += came.dropped
            late += came.late
            up += len(came.counted) + came.late
            if len(came.counted) >= self._plan.least:
                break
        reported = asked.phones[came.counted]
        rates = self._knowledge.rates(reported)
        self._participation.count(reported, sentences[came.counted], rates)
        self._rounds += 1
        return FleetRound(
            reported=reported,
            virtual_start=began,
            virtual_seconds=self._now - began,
            checked_in=checked_in,
            selected=selected,
            late=late,
            dropped=dropped,
            abandoned=abandoned,
            bytes_down=selected * self._bytes_down,
            bytes_up=up * self._bytes_up,
            phones_seen=self._participation.seen,
            gini=self._participation.gini,
            availability_bias=self._participation.availability_bias(self._knowledge.rate),
        )
