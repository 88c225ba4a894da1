"""An experiment's settings: a TOML file, checked as it is loaded.

A key that does not exist, a value of the wrong type or out of range is an error that names the key
and what is allowed; a setting that is not given has the default that stands here.
"""

import pathlib
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import tomli_w

from fedkeyboard import files, hashed
from fedkeyboard.errors import UserError

Count = Annotated[int, pydantic.Field(ge=1)]
Rate = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
Minutes = Annotated[float, pydantic.Field(gt=0, le=1e5)]
Share = Annotated[float, pydantic.Field(gt=0, lt=1)]

# Bytes of a file of settings; that of a sweep of all of them has some thousands.
_MOST_TOML = files.MEGABYTE

_Schema = TypeVar("_Schema", bound=pydantic.BaseModel)


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class Population(_Section):
    """Whose text: a bundled corpus, cleaned as said here, or a population file as it is.

    With `phones` the corpus' training users are multiplied to so many virtual ones (`data.voices`).
    """

    corpus: Literal["chitchat"] | None = None
    file: str | None = None
    minimum_sentences: Count = 5
    maximum_sentences: Count = 500
    phones: Annotated[int, pydantic.Field(ge=1, le=2**31)] | None = None

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> "Population":
        if (self.corpus is None) == (self.file is None):
            raise ValueError('give either corpus = "chitchat" or file = "a population file"')
        return self


class Tokenizer(_Section):
    """The vocabulary: entries with the four special ones, of words that so many users wrote.

    Entries are whole words, or pieces of words (`fedkeyboard.subwords`).
    """

    kind: Literal["word", "bpe", "unigram"] = "word"
    vocabulary_size: Annotated[int, pydantic.Field(ge=8)] = 10_000
    minimum_users: Count = 2


class Model(_Section):
    """The sizes of `fedkeyboard.model.Sizes`; Gboard's."""

    embedding: Count = 96
    units: Count = 670
    length: Annotated[int, pydantic.Field(ge=2)] = 20


class _Scheduled(_Section):
    """How a learning rate follows the round (`fedkeyboard.schedules`)."""

    warmup_rounds: Count | None = None
    decay_rounds: Count | None = None

    @pydantic.model_validator(mode="after")
    def _warm_before_the_end(self) -> "_Scheduled":
        warmup, decay = self.warmup_rounds, self.decay_rounds
        if warmup is not None and decay is not None and warmup >= decay:
            raise ValueError(f"warmup_rounds = {warmup} must be below decay_rounds = {decay}")
        return self


class Client(_Scheduled):
    """What a phone does in a round (`fedkeyboard.local_training.LocalTraining`).

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
    epochs: Count = 1
    clipping_norm: Rate = 5.0
    maximum_sentences: Count = 128
    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
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
    """The server's optimizer (`fedkeyboard.server_optimizers`)."""

    optimizer: Literal["sgd", "momentum", "adagrad", "adam", "adamw", "yogi"] = "adam"
    learning_rate: Rate = 0.01
    momentum: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.9
    epsilon: Rate = 1e-5
    weight_decay: Annotated[float, pydantic.Field(ge=0)] = 0.0

    @pydantic.model_validator(mode="after")
    def _decays(self) -> "Server":
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(f'weight_decay is of no use to optimizer = "{self.optimizer}"')
        return self


class Rounds(_Section):
    """How long to train, how many phones a round, and how often to save and to look."""

    count: Count
    cohort: Count
    checkpoint_every: Count = 25
    validate_every: Count = 25
    validation_users: Count = 20
    validation_sentences: Count = 50


class Habits(_Section):
    """What the phones of a fleet do all day (`simulation.habits`).

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
    """How the server finds a round's phones (`simulation.fleet`), `rounds.cohort` its report goal.

    Attributes:
      sampling: Which of the phones that check in are asked: the first ones (`check_in`), all
        equally often (`uniform`), each by a coin (`poisson`), groups that take turns, so none twice
        within `cycle` rounds (`cyclic`), or each once a window of `cycle` attempts, of which it
        draws one (`random_check_in`).
      over_selection: Phones asked for each report that is wanted.
      minimum_reports: With fewer a round is abandoned; default, the report goal, and 1 where
        chance decides how many come (`poisson`, `random_check_in`).
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
    minimum_memory_gb: Annotated[float, pydantic.Field(ge=0)] = 0.0
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
        if self.cycle is not None and self.sampling not in ("cyclic", "random_check_in"):
            raise ValueError('cycle is of sampling = "cyclic" and "random_check_in" only')
        return self


class Runtime(_Section):
    """How the machine is used; changes no result but its rounding."""

    concurrent_clients: Count | None = None
    threads: Count | None = None


class Config(_Section):
    """An experiment."""

    seed: Annotated[int, pydantic.Field(ge=0, lt=2**63)] = 0
    population: Population
    tokenizer: Tokenizer = Tokenizer()
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

    def save(self, path: files.PathLike) -> None:
        """Writes a run's `config.toml`: every setting, the ones left to their defaults too."""
        hashed.write_text(path, tomli_w.dumps(self.model_dump(exclude_none=True)))

    def published(self) -> dict[str, Any]:
        """Returns the settings for what leaves the house: no path of this machine.

        Of a population file nothing is said: it was cleaned by settings of its own.
        """
        exclude = {"population"} if self.population.file is not None else None
        return self.model_dump(exclude_none=True, exclude=exclude)


# What a resumed run may change: how long it trains and how it uses the machine.
RESUMABLE = {("rounds", "count"), ("runtime", "concurrent_clients"), ("runtime", "threads")}


def load(path: files.PathLike, overrides: Sequence[str] = ()) -> Config:
    """Reads an experiment.

    Args:
      path: The TOML file.
      overrides: `section.key=value` each, the value as TOML, or a bare string.

    Raises:
      UserError: If the file cannot be read or a setting is not allowed.
    """
    tree = read_toml(path)
    for override in overrides:
        _set(tree, override)
    return checked(Config, tree, str(path))


def load_of_run(run: files.PathLike) -> Config:
    """Reads a run's `config.toml`, which must be as `Config.save` wrote it.

    Raises:
      UserError: As `load`.
      RunFailure: If it is damaged.
    """
    path = pathlib.Path(run, "config.toml")
    text = hashed.read_text(
        path,
        at_most=_MOST_TOML,
        remedy="undo the change: other settings are for a new run with another --out",
    )
    return checked(Config, parse_toml(text, path), str(path))


def read_toml(path: files.PathLike) -> dict[str, Any]:
    """Reads a TOML file; raises UserError if it is none."""
    return parse_toml(files.read_text(path, at_most=_MOST_TOML), path)


def parse_toml(text: str, name: files.PathLike) -> dict[str, Any]:
    """Returns what TOML says; raises UserError, which begins with `name`, if it is none."""
    try:
        return tomllib.loads(text)
    # Thousands of brackets, and of digits, are TOML, but not to Python.
    except (ValueError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"{name}: not TOML that can be read: {line}") from error


def override(config: Config, overrides: Sequence[str]) -> Config:
    """Returns `config` with some settings changed, `section.key=value` each."""
    tree = config.model_dump(exclude_none=True)
    for text in overrides:
        _set(tree, text)
    return checked(Config, tree, "--set")


def replace(config: Config, values: Mapping[str, Any], name: str) -> Config:
    """Returns `config` with other values of some settings, `section.key`; errors begin with `name`.

    Raises:
      UserError: If one is not allowed.
    """
    tree = config.model_dump(exclude_none=True)
    for key, value in values.items():
        _put(tree, key, value, name)
    return checked(Config, tree, name)


def differences(config: Config, other: Config) -> list[str]:
    """Returns the settings, `section.key`, in which two experiments differ beyond `RESUMABLE`."""
    mine, others = config.model_dump(), other.model_dump()
    found = []
    for section, settings in mine.items():
        if not isinstance(settings, dict):
            settings, theirs = {None: settings}, {None: others[section]}
        else:
            theirs = others[section]
        found += [
            section if key is None else f"{section}.{key}"
            for key, value in settings.items()
            if value != theirs[key] and (section, key) not in RESUMABLE
        ]
    return found


def checked(schema: type[_Schema], tree: dict[str, Any], name: str) -> _Schema:
    """Returns what a TOML file says as `schema` has it.

    Raises:
      UserError: If it is not allowed; the line begins with `name`.
    """
    try:
        return schema.model_validate(tree)
    except pydantic.ValidationError as error:
        raise UserError(f"{name}: {_explain(error.errors()[0], schema)}") from error


def _explain(error: dict[str, Any], schema: type[pydantic.BaseModel]) -> str:
    """Says one of pydantic's errors in a line: the key, what is wrong, what is allowed."""
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        section: Any = schema
        for part in error["loc"][:-1]:
            section = section.model_fields[part].annotation
            section = next(
                iter(typing.get_args(section)), section
            )  # Of a section that may be None.
        return f"{key}: no such setting; there are {', '.join(section.model_fields)}"
    if error["type"] == "missing":
        return f"{key}: missing; it has no default"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if isinstance(error["input"], dict):
        return f"{key}: {message}" if key else message
    return f"{key}: {message}, not {error['input']!r}"


def _set(tree: dict[str, Any], text: str) -> None:
    """Puts `section.key=value` into `tree`."""
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name or name.endswith("."):
        raise UserError(f"--set {text}: write section.key=value, such as rounds.count=100")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    _put(tree, name, parsed, f"--set {text}")


def _put(tree: dict[str, Any], name: str, value: Any, caller: str) -> None:
    """Puts a value at `section.key` into `tree`."""
    *sections, key = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"{caller}: {section} has no settings of its own")
    tree[key] = value
