"""An experiment's settings: what there are, their defaults and what is allowed.

The ranges are of what can work: beyond them float32 has no such number, or no machine such memory.
`config_files` reads them.
"""

import re
from typing import Annotated, Any, Literal

import pydantic
import tomli_w

from fedkeyboard import files, hashed

Count = Annotated[int, pydantic.Field(ge=1, le=10_000_000)]
Rate = Annotated[float, pydantic.Field(ge=1e-12, le=1e6, allow_inf_nan=False)]
# Of what is divided by one less it: closer to 1, float32 would round it to 1.
Fraction = Annotated[float, pydantic.Field(ge=0, le=0.9999)]
Minutes = Annotated[float, pydantic.Field(ge=1e-3, le=1e5)]
Share = Annotated[float, pydantic.Field(gt=0, lt=1)]

_MOST_WEIGHTS = 200_000_000  # 0.8 GB in float32; a phone's training takes it several times.
_MOST_LOGITS = 500_000_000  # Of a batch, 2 GB.


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class Population(_Section):
    """Whose text: a bundled corpus, cleaned as said here, or a population file as it is.

    With `phones` the corpus' training users are multiplied to so many virtual ones
    (`fedkeyboard.data.voices`); with `links` links, mentions and placeholders stay in their
    messages (`fedkeyboard.data.links`).
    """

    corpus: Literal["chitchat"] | None = None
    file: str | None = None
    minimum_sentences: Count = 5
    maximum_sentences: Count = 500
    links: bool = False
    phones: Annotated[int, pydantic.Field(ge=1, le=2**31)] | None = None

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> "Population":
        if (self.corpus is None) == (self.file is None):
            raise ValueError('give either corpus = "chitchat" or file = "a population file"')
        return self


class Tokenizer(_Section):
    """The vocabulary: entries with the four special ones, of words that so many users wrote.

    Entries are whole words, or pieces of words (`fedkeyboard.text.subwords`).

    Attributes:
      minimum_users: Default, by the number of training users (`vocabulary.default_minimum_users`);
        in a run's config.toml the number that this was.
      digits: Whether words with digits may be entries: numbers, and what mixes letters and digits.
    """

    kind: Literal["word", "bpe", "unigram"] = "word"
    vocabulary_size: Annotated[int, pydantic.Field(ge=8, le=1_000_000)] = 10_000
    minimum_users: Count | None = None
    digits: bool = False


class NGrams(_Section):
    """What is counted beside a model of words, and mixed with it (`fedkeyboard.ngrams`).

    Attributes:
      order: Words of the longest n-grams; 0, and there are none, as beside a model of sub-words.
      minimum_users: How many users must have written one; default, `tokenizer.minimum_users`.
      megabytes: Of their file in the package, 10^6 bytes; more users must have written one until
        they fit.
    """

    order: Literal[0, 2, 3, 4] = 0
    minimum_users: Count | None = None
    megabytes: Annotated[float, pydantic.Field(gt=0, le=50)] = 1.0


class Model(_Section):
    """The sizes of `fedkeyboard.model.Sizes`; Gboard's."""

    embedding: Annotated[int, pydantic.Field(ge=1, le=10_000)] = 96
    units: Annotated[int, pydantic.Field(ge=1, le=100_000)] = 670
    length: Annotated[int, pydantic.Field(ge=2, le=1000)] = 20


class _Scheduled(_Section):
    """How a learning rate follows the round (`fedkeyboard.algorithms.schedules`)."""

    warmup_rounds: Count | None = None
    decay_rounds: Count | None = None

    @pydantic.model_validator(mode="after")
    def _warm_before_the_end(self) -> "_Scheduled":
        warmup, decay = self.warmup_rounds, self.decay_rounds
        if warmup is not None and decay is not None and warmup >= decay:
            raise ValueError(f"warmup_rounds = {warmup} must be below decay_rounds = {decay}")
        return self


class Client(_Scheduled):
    """What a phone does in a round (`fedkeyboard.algorithms.local_training.LocalTraining`).

    Attributes:
      algorithm: `fedavg` and `fedprox` train with `learning_rate`, and the server's optimizer takes
        the mean of what they changed for a gradient. `fedsgd` sends one gradient and `mime_lite`
        trains with the server's optimizer: the rate and its schedule are those of `[server]`.
      proximal_strength: The mu of `fedprox`; Li et al. found 0.001 and 0.01 best for text.
    """

    algorithm: Literal["fedavg", "fedprox", "fedsgd", "mime_lite"] = "fedavg"
    learning_rate: Rate = 0.5
    proximal_strength: Rate = 0.01
    batch_size: Annotated[int, pydantic.Field(ge=1, le=1_000_000)] = 16
    epochs: Annotated[int, pydantic.Field(ge=1, le=1000)] = 1
    clipping_norm: Annotated[float, pydantic.Field(ge=1e-12, le=1e12, allow_inf_nan=False)] = 5.0
    maximum_sentences: Count = 128
    dropout: Fraction = 0.0
    weighting: Literal["sentences", "uniform"] = "sentences"
    bfloat16: bool = False

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> "Client":
        unused = {
            "fedavg": ("proximal_strength",),
            "fedprox": (),
            "fedsgd": ("proximal_strength", "warmup_rounds", "decay_rounds", "epochs", "dropout"),
            "mime_lite": ("proximal_strength", "warmup_rounds", "decay_rounds"),
        }[self.algorithm]
        for key in unused:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f'{key} is of no use to algorithm = "{self.algorithm}"')
        return self


class Server(_Scheduled):
    """The server's optimizer (`fedkeyboard.algorithms.server_optimizers`).

    Attributes:
      averaging: The model is the average of the weights over about this part of the rounds so far
        (`fedkeyboard.algorithms.averaging`); default, the last round's.
    """

    optimizer: Literal["sgd", "momentum", "adagrad", "adam", "adamw", "yogi"] = "adam"
    learning_rate: Rate = 0.01
    momentum: Fraction = 0.9
    # Its square is used, by Adagrad and Yogi.
    epsilon: Annotated[float, pydantic.Field(ge=1e-15, le=1)] = 1e-5
    weight_decay: Annotated[float, pydantic.Field(ge=0, le=10)] = 0.0
    averaging: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None

    @pydantic.model_validator(mode="after")
    def _decays(self) -> "Server":
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(f'weight_decay is of no use to optimizer = "{self.optimizer}"')
        return self


class Rounds(_Section):
    """How long to train, how many phones a round, and how often to save and to look.

    Attributes:
      count: The most rounds.
      cohort: The report goal.
      keep: Which round's model is the run's: the last one's, or that with the `best` top-1 recall
        on the sample of validation users.
      patience: Training ends when so many looks in a row found none better.
      minutes: Training ends after so long, all its sessions together.
    """

    count: Count
    cohort: Annotated[int, pydantic.Field(ge=1, le=1_000_000)]
    checkpoint_every: Count = 25
    validate_every: Count = 25
    validation_users: Count = 20
    validation_sentences: Count = 50
    keep: Literal["last", "best"] = "last"
    patience: Count | None = None
    minutes: Minutes | None = None

    @pydantic.model_validator(mode="after")
    def _keeps_the_best(self) -> "Rounds":
        if self.patience is not None and self.keep != "best":
            raise ValueError('patience is of use to keep = "best" only')
        return self


class Habits(_Section):
    """What the phones of a fleet do all day (`fedkeyboard.simulation.fleet.habits`).

    Attributes:
      time_zones: Hours from UTC, and the share of the phones there; default, about those of the
        United States' people.
      nights: Mean share of the nights on which a phone is charged, idle and on Wi-Fi.
      days: Mean share of the days on which it is so for a while.
      desk_hours: Mean length of such a while.
      milliseconds_per_sentence: Median time to train on one.
      down_mbps: Median bandwidth to the phone, 10^6 bits a second.
      up_mbps: From the phone.
      spread: Of speed and bandwidths: the 84th percentile by the median.
    """

    time_zones: dict[str, Rate] = {"-5": 0.47, "-6": 0.29, "-7": 0.07, "-8": 0.17}
    nights: Share = 0.55
    days: Share = 0.8
    desk_hours: Rate = 4.0
    milliseconds_per_sentence: Rate = 100.0
    down_mbps: Rate = 20.0
    up_mbps: Rate = 5.0
    spread: Annotated[float, pydantic.Field(ge=1, le=100)] = 3.0

    @pydantic.field_validator("time_zones")
    @classmethod
    def _are_zones(cls, zones: dict[str, float]) -> dict[str, float]:
        for zone in zones:
            if not re.fullmatch(r"[+-]?\d+(\.\d+)?", zone) or not -12 <= float(zone) <= 14:
                raise ValueError(f"{zone!r} is not a number of hours from UTC, -12 to 14")
        if len(set(map(float, zones))) < len(zones):
            raise ValueError("has the same time zone twice")
        if not zones:
            raise ValueError('needs a time zone, such as {"-5" = 1.0}')
        return zones


class Fleet(_Section):
    """How the server finds a round's phones (`fedkeyboard.simulation.fleet.fleet`), `rounds.cohort`
    its report goal.

    Attributes:
      sampling: Which of the phones that check in are asked: the first ones (`check_in`), all
        equally often (`uniform`), each by a coin (`poisson`), groups that take turns, so none twice
        within `cycle` rounds (`cyclic`), or each once a window of `cycle` attempts, of which it
        draws one (`random_check_in`).
      over_selection: Phones asked for each report that is wanted.
      minimum_reports: With fewer a round is abandoned; default, the report goal, and 1 where
        chance decides how many come (`random_check_in`). Not of `poisson`, whose rounds take
        whoever comes.
      cycle: Of `cyclic` and `random_check_in`; default, as long as the phones last.
      selection_minutes: How long a round waits for check-ins.
      deadline_minutes: How long it then waits for reports; default, for all of them.
      pace_minutes: In how long pace steering means to fill a round.
      reuse_hours: How long a phone that was asked is left alone.
      dropout: The chance that a phone fails though it stays available: the network, the app killed.
      minimum_memory_gb: Phones with less never check in.
      habits: The phones'. Without, the fleet is ideal: all are always there and take no time.
    """

    sampling: Literal["check_in", "uniform", "poisson", "cyclic", "random_check_in"] = "check_in"
    over_selection: Annotated[float, pydantic.Field(ge=1, le=10)] = 1.0
    minimum_reports: Count | None = None
    cycle: Count | None = None
    selection_minutes: Minutes = 10.0
    deadline_minutes: Minutes | None = None
    pace_minutes: Minutes = 2.0
    reuse_hours: Annotated[float, pydantic.Field(ge=0, le=1e5)] = 0.0
    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    minimum_memory_gb: Annotated[float, pydantic.Field(ge=0, le=1e4)] = 0.0
    habits: Habits | None = None

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> "Fleet":
        if self.habits is None:
            for key in ("deadline_minutes", "reuse_hours", "minimum_memory_gb"):
                if getattr(self, key):
                    raise ValueError(
                        f"{key} needs [fleet.habits]: without them no time passes and all phones "
                        "are alike"
                    )
        if self.sampling == "poisson" and self.reuse_hours:
            raise ValueError('sampling = "poisson" asks by a coin alone; reuse_hours must be 0')
        if self.sampling == "poisson" and self.minimum_reports is not None:
            raise ValueError(
                'sampling = "poisson" has rounds of any size, none among them, as privacy '
                "accounting by its coin assumes; leave minimum_reports out"
            )
        if self.cycle is not None and self.sampling not in ("cyclic", "random_check_in"):
            raise ValueError('cycle is of sampling = "cyclic" and "random_check_in" only')
        return self


class Runtime(_Section):
    """How the machine is used; changes no result but its rounding."""

    concurrent_clients: Annotated[int, pydantic.Field(ge=1, le=1024)] | None = None
    threads: Annotated[int, pydantic.Field(ge=1, le=1024)] | None = None


class Config(_Section):
    """An experiment.

    Attributes:
      start: A run, by the path of its directory, with whose model this one begins
        (`fedkeyboard.simulation.warm_start`); default, weights are drawn.
    """

    seed: Annotated[int, pydantic.Field(ge=0, lt=2**63)] = 0
    start: str | None = None
    population: Population
    tokenizer: Tokenizer = Tokenizer()
    ngrams: NGrams = NGrams()
    model: Model = Model()
    client: Client = Client()
    server: Server = Server()
    rounds: Rounds
    fleet: Fleet = Fleet()
    runtime: Runtime = Runtime()

    @pydantic.model_validator(mode="after")
    def _enough_reports(self) -> "Config":
        least = self.fleet.minimum_reports
        if least is not None and least > self.rounds.cohort:
            raise ValueError(
                f"fleet.minimum_reports = {least} is above rounds.cohort = {self.rounds.cohort}, "
                "the report goal; lower it"
            )
        if self.population.phones is not None and self.population.file is not None:
            raise ValueError(
                "population.phones multiplies a bundled corpus; make the file itself with "
                "`fedkeyboard prepare --phones`"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _fits_into_memory(self) -> "Config":
        words, sizes = self.tokenizer.vocabulary_size, self.model
        # As `fedkeyboard.model.weight_shapes` has it: embedding, output, kernels, projection.
        weights = words * (sizes.embedding + 1) + 7 * sizes.embedding * sizes.units
        if weights > _MOST_WEIGHTS:
            raise ValueError(
                f"tokenizer.vocabulary_size = {words:,}, model.embedding = {sizes.embedding:,} and "
                f"model.units = {sizes.units:,} make about {weights:,} weights; at most "
                f"{_MOST_WEIGHTS:,} are trained"
            )
        rows = min(self.client.batch_size, self.client.maximum_sentences)
        logits = rows * sizes.length * words
        if logits > _MOST_LOGITS:
            raise ValueError(
                f"client.batch_size = {rows:,} sentences of model.length = {sizes.length:,} words "
                f"by tokenizer.vocabulary_size = {words:,} make {logits:,} numbers a batch; at "
                f"most {_MOST_LOGITS:,} fit into memory"
            )
        return self

    @property
    def mixes_ngrams(self) -> bool:
        """Whether n-grams are mixed with the model."""
        return self.ngrams.order > 0 and self.tokenizer.kind == "word"

    def save(self, path: files.PathLike) -> None:
        """Writes a run's `config.toml`: every setting, the ones left to their defaults too."""
        hashed.write_text(path, tomli_w.dumps(self.model_dump(exclude_none=True)))

    def published(self) -> dict[str, Any]:
        """Returns the settings for what leaves the house: no path of this machine.

        Of a population file nothing is said: it was cleaned by settings of its own.
        """
        exclude = {"start", *(("population",) if self.population.file is not None else ())}
        return self.model_dump(exclude_none=True, exclude=exclude)
