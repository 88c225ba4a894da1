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

*Sampling* (`simulation.config.Fleet`):

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

import collections
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from data.population import Population
from fedkeyboard import streams
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.streams import Stream
from simulation import config as configs
from simulation.habits import DAY, HOUR, Phones

_SHORTEST_INTERVAL = 15 * 60.0  # Of Android's JobScheduler, seconds.
_SAMPLE = 4096  # Phones by which a server knows its fleet.
_MOST_CANDIDATES = 1 << 16  # Drawn at once.
_FEW = 16  # Of a set with fewer of the fleet's phones than one in so many, all are listed.
_GIVE_UP = 1000  # Attempts in a row, and no less than
_GIVE_UP_DAYS = 2  # virtual days, since a phone that is away by day may come by night.
_HOPELESS = 1e-3  # The chance of an attempt below which settings are refused.
# How many times the weights' size an optimizer's state has.
_SLOTS = {"sgd": 0, "momentum": 1, "adagrad": 1, "adam": 2, "adamw": 2, "yogi": 2}


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


def of(config: configs.Config, population: Population) -> "Fleet":
    """Returns the fleet of an experiment.

    Raises:
      UserError: If no round could ever succeed.
    """
    from fedkeyboard import (
        model,
    )  # And with it TensorFlow, which what shows progress can do without.

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
        self._settings = settings
        self._goal = report_goal
        self._wanted = int(np.ceil(report_goal * settings.over_selection - 1e-9))
        self._least = settings.minimum_reports or report_goal
        if settings.sampling == "random_check_in":  # How many come is by chance.
            self._least = settings.minimum_reports or 1
        if settings.sampling == "poisson":
            self._least = 0
        self._phones = phones
        self._sentences = sentences
        self._bytes_down = bytes_down
        self._bytes_up = bytes_up
        self._seed = seed
        self._traits = None if settings.habits is None else Phones(settings.habits, seed)
        self._now = 0.0
        self._rounds = 0
        self._attempts = 0
        # When each was last asked, 1 + seconds, and the window in which it last drew a round.
        self._asked = np.zeros(phones, np.uint32)
        self._drew = np.zeros(phones if settings.sampling == "random_check_in" else 0, np.uint32)
        self._drawn = 0
        self._reports = np.zeros(phones, np.uint32)
        self._participation = np.array([phones], np.int64)  # Phones by how often they reported.
        self._recently: collections.deque[tuple[float, int]] = collections.deque()
        self._trained, self._trained_rate = 0.0, 0.0
        sample = self._sample()
        self._hourly, self._most_awake = self._available_by_hour(sample)
        # By default groups, or those who draw a round, are enough at a mean hour.
        enough = self._wanted if self._traits is None else 2 * self._wanted
        self._cycle = settings.cycle or max(1, int(self._hourly.mean() / enough))
        self._rate = float(np.mean(self._rates(sample)))
        # Below this share of the time a phone is never turned away (`uniform`).
        self._rare = float(np.quantile(self._rates(sample), 0.05))
        self._check(sample)

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
            phones, came = self._select(generator)
            self._attempts += 1
            checked_in += came
            if len(phones) < self._least:
                continue
            self._ask(phones)
            sentences = self._sentences(phones)
            done, drops = self._work(phones, sentences, generator)
            reported, missed = self._collect(done, drops)
            selected += len(phones)
            dropped += int(np.count_nonzero(drops))
            late += missed
            up += len(reported) + missed
            if len(reported) >= self._least:
                self._count(phones[reported], sentences[reported])
                self._rounds += 1
                return FleetRound(
                    reported=phones[reported],
                    virtual_start=began,
                    virtual_seconds=self._now - began,
                    checked_in=checked_in,
                    selected=selected,
                    late=late,
                    dropped=dropped,
                    abandoned=abandoned,
                    bytes_down=selected * self._bytes_down,
                    bytes_up=up * self._bytes_up,
                    phones_seen=int(self._phones - self._participation[0]),
                    gini=gini(self._participation),
                    availability_bias=self._trained_rate / self._trained / self._rate
                    if self._trained
                    else 1.0,
                )

    # --- selection -------------------------------------------------------------------------------

    def _select(self, generator: np.random.Generator) -> tuple[np.ndarray, int]:
        """Returns the phones that are asked, and how many checked in; time goes on till then."""
        if self._settings.sampling == "poisson":
            if self._traits is not None:
                self._now += 60 * self._settings.pace_minutes  # Between one toss and the next.
            heads = generator.binomial(self._phones, self._coin)
            asked = generator.choice(self._phones, heads, replace=False)
            asked = asked[self._may_train(asked, np.full(len(asked), self._now))]
            return asked, len(asked)
        if self._settings.sampling == "random_check_in":
            return self._select_those_of_the_round(generator)
        ends = self._now + 60 * self._settings.selection_minutes
        group, groups = self._group()
        members = len(range(group, self._phones, groups))
        at_mean_hour, now = (each * self._free() / groups for each in self._available())
        # Seconds between two check-ins, were all members available.
        gap = self._interval(at_mean_hour) / members
        draws = min(_MOST_CANDIDATES, int(64 + 1.3 * self._wanted * members / max(now, 1)))
        now, checked_in = self._now, 0
        accepted = np.zeros(0, np.int64)
        while now < ends and len(accepted) < self._wanted:
            times = now + np.cumsum(gap * generator.standard_exponential(draws))
            phones = group + groups * generator.integers(0, members, draws)
            here = np.flatnonzero(self._may_train(phones, times) & (times <= ends))
            here = here[_first_of_each(phones[here]) & ~np.isin(phones[here], accepted)]
            welcome = here[self._welcome(phones[here], generator)][: self._wanted - len(accepted)]
            accepted = np.concatenate([accepted, phones[welcome]])
            now = times[-1]
            if len(accepted) == self._wanted:
                now = times[welcome[-1]]
                here = here[here <= welcome[-1]]
            checked_in += len(here)
        self._now = min(now, ends)
        return accepted, checked_in

    def _select_those_of_the_round(self, generator: np.random.Generator) -> tuple[np.ndarray, int]:
        """Selects by `random_check_in`: those who drew this attempt come at a time within it."""
        window, slot = divmod(self._attempts, self._cycle)
        if slot == 0:
            self._drawn = 0
        # How many of those left in the window come now, when each has drawn one of its rounds.
        left = self._phones - self._drawn
        count = generator.binomial(left, 1 / (self._cycle - slot))
        if left > self._phones // _FEW and count < left // 4:
            came = self._some(generator, count, lambda phones: self._drew[phones] != window + 1)
        else:  # Too few to be met by chance.
            came = generator.choice(np.flatnonzero(self._drew != window + 1), count, replace=False)
        self._drew[came] = window + 1
        self._drawn += len(came)
        seconds = 0.0 if self._traits is None else 60 * self._settings.selection_minutes
        times = self._now + seconds * np.sort(generator.random(len(came)))
        here = np.flatnonzero(self._may_train(came, times))
        accepted = here[: self._wanted]
        full = len(accepted) == self._wanted
        self._now = float(times[accepted[-1]]) if full else self._now + seconds
        return came[accepted], len(accepted) if full else len(here)

    def _some(
        self,
        generator: np.random.Generator,
        count: int,
        allowed: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Draws `count` different phones uniformly, of those allowed."""
        drawn = np.zeros(0, np.int64)
        while len(drawn) < count:
            more = generator.integers(0, self._phones, 64 + 2 * (count - len(drawn)))
            more = more[_first_of_each(more) & ~np.isin(more, drawn)]
            drawn = np.concatenate([drawn, more[allowed(more)]])[:count]
        return drawn

    def _group(self) -> tuple[int, int]:
        """Returns which phones may be asked: every so many from this number on."""
        if self._settings.sampling == "cyclic":
            return self._rounds % self._cycle, self._cycle
        return 0, 1

    def _interval(self, available: float) -> float:
        """Returns after how many seconds the server has each phone check in again."""
        if self._traits is None:
            return 0.0
        return max(_SHORTEST_INTERVAL, 60 * self._settings.pace_minutes * available / self._wanted)

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
        return generator.random(len(phones)) * self._rates(phones) < self._rare

    @property
    def _coin(self) -> float:
        return min(1.0, self._goal * self._settings.over_selection / self._phones)

    # --- reporting -------------------------------------------------------------------------------

    def _ask(self, phones: np.ndarray) -> None:
        self._asked[phones] = 1 + int(self._now)
        if self._settings.reuse_hours:
            self._recently.append((self._now, len(phones)))

    def _work(
        self, phones: np.ndarray, sentences: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns when each phone would report, and whether it drops out before."""
        fails = generator.random(len(phones)) < self._settings.dropout
        if self._traits is None:
            return np.full(len(phones), self._now), fails
        begin = np.full(len(phones), self._now)
        done = begin + self._seconds(phones, sentences)
        return done, fails | (self._traits.available_until(phones, begin) < done)

    def _seconds(self, phones: np.ndarray, sentences: np.ndarray | int) -> np.ndarray:
        """Returns how long phones take: download, training, upload."""
        down, up = self._traits.bytes_per_second(phones)
        training = sentences * self._traits.seconds_per_sentence(phones)
        return self._bytes_down / down + training + self._bytes_up / up

    def _collect(self, done: np.ndarray, drops: np.ndarray) -> tuple[np.ndarray, int]:
        """Returns which reports count, as they come, and how many are late; time goes on."""
        staying = np.flatnonzero(~drops)
        order = staying[np.argsort(done[staying], kind="stable")]
        deadline = self._settings.deadline_minutes
        closes = np.inf if deadline is None else self._now + 60 * deadline
        in_time = order[done[order] <= closes]
        counted = in_time
        if self._settings.sampling != "poisson":
            counted = in_time[: self._goal]
        # A drop-out is silent: the server waits for it until the deadline.
        everyone = len(counted) == (
            len(done) if self._settings.sampling == "poisson" else min(self._goal, len(done))
        )
        if everyone or not np.isfinite(closes):
            closes = done[counted[-1]] if len(counted) else self._now
        self._now = float(closes)
        return counted, len(order) - len(counted)

    def _count(self, phones: np.ndarray, sentences: np.ndarray) -> None:
        """Notes whose reports counted."""
        if not len(phones):
            return
        before = self._reports[phones].astype(np.int64)
        self._reports[phones] += 1
        short = before.max() + 2 - len(self._participation)
        if short > 0:
            self._participation = np.pad(self._participation, (0, short))
        np.subtract.at(self._participation, before, 1)
        np.add.at(self._participation, before + 1, 1)
        self._trained += float(np.sum(sentences))
        self._trained_rate += float(np.sum(sentences * self._rates(phones)))

    # --- what the server knows of its fleet ------------------------------------------------------

    def _sample(self) -> np.ndarray:
        if self._phones <= _SAMPLE:
            return np.arange(self._phones)
        generator = streams.generator(self._seed, Stream.FLEET_SAMPLE)
        return generator.integers(0, self._phones, _SAMPLE)

    def _rates(self, phones: np.ndarray) -> np.ndarray:
        return np.ones(len(phones)) if self._traits is None else self._traits.rates(phones)

    def _available_by_hour(self, sample: np.ndarray) -> tuple[np.ndarray, float]:
        """Returns how many phones may train in each hour of the day (UTC), and in the best hour.

        By a week's mean, and its one best hour.
        """
        if self._traits is None:
            return np.full(24, float(self._phones)), float(self._phones)
        strong = sample[self._traits.memory_gb(sample) >= self._settings.minimum_memory_gb]
        # Days of which none is simulated.
        hours = np.arange(-7 * 24, 0) + 0.5
        here = [
            np.count_nonzero(
                self._traits.available_until(strong, np.full(len(strong), hour * HOUR))
                > hour * HOUR
            )
            for hour in hours
        ]
        of_all = np.reshape(here, (7, 24)) * self._phones / len(sample)
        return of_all.mean(axis=0), float(of_all.max())

    def _available(self) -> tuple[float, float]:
        """Returns how many phones may train at a mean hour, and now."""
        return float(self._hourly.mean()), float(self._hourly[int(self._now % DAY // HOUR)])

    def _free(self) -> float:
        """Returns the share of the phones that were not asked within the reuse interval."""
        if not self._settings.reuse_hours:
            return 1.0
        while (
            self._recently and self._recently[0][0] + self._settings.reuse_hours * HOUR < self._now
        ):
            self._recently.popleft()
        return max(0.0, 1 - sum(count for _, count in self._recently) / self._phones)

    def _check(self, sample: np.ndarray) -> None:
        """Raises UserError, naming the settings, if no round could ever succeed."""
        settings, wanted = self._settings, self._wanted
        asks = f"rounds.cohort = {self._goal}" + (
            f" times fleet.over_selection = {settings.over_selection}"
            if settings.over_selection > 1
            else ""
        )
        if wanted > self._phones:
            raise UserError(
                f"{asks} asks for {wanted:,} phones a round, and the population has "
                f"{self._phones:,} training phones; lower rounds.cohort"
            )
        if (
            settings.sampling in ("cyclic", "random_check_in")
            and wanted * self._cycle > self._phones
        ):
            raise UserError(
                f"fleet.cycle = {self._cycle} leaves {self._phones // self._cycle:,} of "
                f"{self._phones:,} phones a round, and {asks} asks for {wanted:,}; use at most "
                f"{self._phones // wanted}"
            )
        self._check_awake(sample)
        self._check_reports(sample)

    def _check_awake(self, sample: np.ndarray) -> None:
        settings = self._settings
        if self._traits is None:
            return
        if not np.any(self._traits.memory_gb(sample) >= settings.minimum_memory_gb):
            raise UserError(
                f"fleet.minimum_memory_gb = {settings.minimum_memory_gb:g}: no phone has so much; "
                "lower it"
            )
        awake = self._most_awake
        if settings.sampling in ("cyclic", "random_check_in"):
            awake /= self._cycle
        if settings.sampling in ("check_in", "uniform", "cyclic") and awake < self._goal:
            raise UserError(
                f"rounds.cohort = {self._goal:,} is the report goal, and of the population's "
                f"{self._phones:,} training phones about {awake:,.0f} are awake for a round at the "
                "best hour; lower it, or give more phones (population.phones)"
            )
        if settings.sampling == "poisson":
            come = awake * self._coin
        elif settings.sampling == "random_check_in":
            come = awake
        else:
            interval = self._interval(awake * self._hourly.mean() / self._most_awake)
            come = awake * min(1.0, 60 * settings.selection_minutes / interval)
        least = max(1, self._least)
        if special.pdtrc(least - 1, come) < _HOPELESS:
            raise UserError(
                f"of the population's {self._phones:,} training phones about {come:,.0f} check in "
                f"within fleet.selection_minutes = {settings.selection_minutes:g} at the best "
                f"hour, and a round needs {least:,}; raise it, or lower fleet.minimum_reports"
            )

    def _check_reports(self, sample: np.ndarray) -> None:
        settings, in_time, allowed = self._settings, 1.0, ""
        if settings.deadline_minutes is not None:
            seconds = 60 * settings.deadline_minutes
            fastest = self._seconds(sample, 1).min()
            if fastest > seconds:
                raise UserError(
                    f"fleet.deadline_minutes = {settings.deadline_minutes:g}: the fastest phone "
                    f"needs {fastest / 60:.2g} minutes to download the model, train on one "
                    "sentence and upload; raise it"
                )
            in_time = np.mean(self._seconds(sample, self._sentences(sample)) <= seconds)
            allowed = f" within fleet.deadline_minutes = {settings.deadline_minutes:g}"
        if settings.sampling in ("poisson", "random_check_in"):
            return
        chance = special.bdtrc(self._least - 1, self._wanted, in_time * (1 - settings.dropout))
        if chance < _HOPELESS:
            raise UserError(
                f"of {self._wanted:,} phones asked about "
                f"{self._wanted * in_time * (1 - settings.dropout):.0f} would report{allowed} with "
                f"fleet.dropout = {settings.dropout:g}, and a round needs {self._least:,}; lower "
                "fleet.minimum_reports, or raise fleet.over_selection or the deadline"
            )


def gini(participation: np.ndarray) -> float:
    """Returns the Gini coefficient of how often phones took part.

    Args:
      participation: int64 `[m]`, how many phones took part 0, 1, ... m - 1 times.
    """
    times = np.arange(len(participation))
    phones, total = int(participation.sum()), int(times @ participation)
    if not total:
        return 0.0
    # Of values in ascending order x_1 ... x_n: sum (2i - n - 1) x_i / (n sum x); equal values,
    # whose ranks i follow each other, are summed at once.
    below = np.cumsum(participation) - participation
    ranks = participation * (2.0 * below + participation - phones)
    return float(times @ ranks / (phones * total))


def _first_of_each(values: np.ndarray) -> np.ndarray:
    """Returns which of the values do not stand before: bool `[n]`."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first
