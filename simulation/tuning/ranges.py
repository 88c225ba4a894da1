"""A sweep's file: an experiment, the settings to vary, and between what.

    experiment = "../configs/chitchat.toml"     # from this file's directory
    trials = 20
    seed = 1                                    # of the draws

    [set]                                       # instead of the experiment's
    rounds.count = 100

    [ranges]
    client.learning_rate = { low = 0.1, high = 2.0, log = true }
    client.batch_size = { low = 8, high = 32, step = 8 }
    server.optimizer = ["adam", "momentum"]

Whole numbers for settings that are whole, ends included. Everything is checked as the file is
loaded, so that no trial fails for a slip at the end of a night.
"""

import dataclasses
import functools
import itertools
import operator
import pathlib
import warnings
from collections.abc import Iterator
from typing import Annotated, Any

import pydantic
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from fedkeyboard import files
from fedkeyboard.errors import UserError
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation import config_files

# By these trials are measured and compared; they must be the same for all.
_MEASURES = (
    "population",
    "model.length",
    "rounds.validate_every",
    "rounds.validation_users",
    "rounds.validation_sentences",
)

# With more ranges than make so many combinations of their ends, only the first ones are checked.
_MOST_CORNERS = 1000


def _is_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a number")
    return value


_Number = Annotated[int | float, pydantic.PlainValidator(_is_number)]


class _File(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    experiment: str
    trials: configs.Count
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**63)] = 0
    set: dict[str, Any] = {}
    ranges: dict[str, Any]


class _Interval(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    low: _Number
    high: _Number
    log: bool = False
    step: _Number | None = None


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a sweep's file says.

    Attributes:
      file: Where it says so.
      trials: How many, in all.
      seed: The draws follow from it and from the trials before.
      experiment: The settings that do not vary; those that do are as in the experiment's file.
      ranges: What a setting, `section.key`, is drawn from.
      corners: The experiments at the combinations of the ranges' ends, up to a number of them.
    """

    file: pathlib.Path
    trials: int
    seed: int
    experiment: configs.Config
    ranges: dict[str, BaseDistribution]
    corners: tuple[configs.Config, ...]


def load(path: files.PathLike) -> Sweep:
    """Reads a sweep's file.

    Raises:
      UserError: If it, or the experiment, cannot be read, or a setting or a range is not allowed.
    """
    path = pathlib.Path(path)
    file = config_files.checked(_File, config_files.read_toml(path), str(path))
    fixed, varied = dict(leaves(file.set)), dict(leaves(file.ranges))
    if not varied:
        raise UserError(f"{path}: ranges: empty; give a setting to vary")
    for key in varied.keys() & fixed.keys():
        raise UserError(f"{path}: {key}: in both set and ranges; choose one")
    try:
        experiment = config_files.load(path.parent / file.experiment)
    except UserError as error:
        raise UserError(f"{path}: experiment: {error}") from error
    experiment = config_files.replace(experiment, fixed, f"{path}: set")
    names = {key: f"{path}: ranges.{key}" for key in varied}
    read = {key: _read(key, value, names[key]) for key, value in varied.items()}
    ends = [of if isinstance(of, list) else (of.low, of.high) for of in read.values()]
    corners = tuple(
        config_files.replace(experiment, dict(zip(read, values, strict=True)), f"{path}: ranges")
        for values in itertools.islice(itertools.product(*ends), _MOST_CORNERS)
    )
    ranges = {
        key: CategoricalDistribution(of)
        if isinstance(of, list)
        else _numbers(of, type(setting(corners[0], key)), names[key])
        for key, of in read.items()
    }
    return Sweep(path, file.trials, file.seed, experiment, ranges, corners)


def setting(config: configs.Config, key: str) -> Any:
    """Returns the setting `section.key` of an experiment."""
    return functools.reduce(operator.getitem, key.split("."), config.model_dump())


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields what a tree of settings or ranges has, as `section.key`, however TOML nests it."""
    for name, value in tree.items():
        key = prefix + name
        if isinstance(value, dict) and value and not value.keys() & {"low", "high"}:
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


def _read(key: str, value: Any, name: str) -> list[Any] | _Interval:
    for measure in _MEASURES:
        if key == measure or key.startswith(f"{measure}."):
            raise UserError(f"{name}: trials are compared by it, so it must be the same for all")
    if isinstance(value, list):
        if not value or not all(isinstance(each, str | int | float) for each in value):
            raise UserError(f"{name}: give one or more words or numbers to choose from")
        if len(set(value)) < len(value):
            raise UserError(f"{name}: has the same choice twice")
        return value
    if not isinstance(value, dict):
        raise UserError(f"{name}: give {{ low = ..., high = ... }} or a list, not {value!r}")
    return config_files.checked(_Interval, value, name)


def _numbers(interval: _Interval, of: type, name: str) -> BaseDistribution:
    """Returns the distribution of a setting whose type is `of`, int or float."""
    low, high, step = interval.low, interval.high, interval.step
    if of is int and not isinstance(step, int | None):
        raise UserError(f"{name}: step: should be a whole number, as the setting, not {step}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if of is int:
                return IntDistribution(
                    low, high, log=interval.log, step=1 if step is None else step
                )
            return FloatDistribution(low, high, log=interval.log, step=step)
    except ValueError as error:
        raise UserError(f"{name}: {str(error).replace('`', '')}") from error
    except UserWarning as error:  # Optuna would move the end.
        raise UserError(f"{name}: steps of {step} do not lead from {low} to {high}") from error
