"""Experiments' settings as TOML files, checked as they are loaded.

A key that does not exist, a value of the wrong type or out of range is an error that names the key
and what is allowed; a setting that is not given has its default.
"""

import difflib
import pathlib
import tomllib
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pydantic

from fedkeyboard import files, hashed
from fedkeyboard.errors import UserError
from fedkeyboard.simulation import config as configs
from fedkeyboard.text.vocabulary import default_minimum_users

# Bytes of a file of settings; that of a sweep of all of them has some thousands.
_MOST_TOML = files.MEGABYTE
_CHARACTERS = 60  # Of a value that an error quotes.

_Schema = TypeVar("_Schema", bound=pydantic.BaseModel)

# What a resumed run may change: how long it trains, how it uses the machine, and what is counted.
RESUMABLE = {
    *(("rounds", name) for name in ("count", "patience", "minutes")),
    *(("runtime", name) for name in ("concurrent_clients", "threads")),
    # They are counted when training is over.
    *(("ngrams", name) for name in configs.NGrams.model_fields),
}


def find(name: pathlib.Path, directory: str = "configs") -> pathlib.Path:
    """Returns the TOML file that a name means: a path, or a bundled file without its ending.

    Args:
      name: A path, or a name such as `chitchat`.
      directory: Of the bundled files: `configs` or `sweeps`.

    Raises:
      UserError: If there is neither.
    """
    bundled = pathlib.Path(__file__).parent / directory
    if name.exists() or len(name.parts) != 1 or name.suffix:
        return name
    if (found := bundled / f"{name}.toml").exists():
        return found
    names = sorted(path.stem for path in bundled.glob("*.toml"))
    close = difflib.get_close_matches(name.name, names, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise UserError(f"{name}: no such file; {meant}bundled are {', '.join(names)}")


def load(path: files.PathLike, overrides: Sequence[str] = ()) -> configs.Config:
    """Reads an experiment.

    Args:
      path: The TOML file.
      overrides: `section.key=value` each, the value as TOML, or a bare string.

    Raises:
      UserError: If the file cannot be read or a setting is not allowed.
    """
    return _parsed(read_toml(path), overrides, str(path))


def parse(text: str, overrides: Sequence[str], name: str) -> configs.Config:
    """Returns the experiment that a TOML text describes; errors are as of `load`."""
    return _parsed(parse_toml(text, name), overrides, name)


def _parsed(tree: dict[str, Any], overrides: Sequence[str], name: str) -> configs.Config:
    for override in overrides:
        _set(tree, override)
    return checked(configs.Config, tree, name)


def load_of_run(run: files.PathLike) -> configs.Config:
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
    return checked(configs.Config, parse_toml(text, path), str(path))


def read_toml(path: files.PathLike) -> dict[str, Any]:
    """Reads a TOML file; raises UserError if it is none."""
    return parse_toml(files.read_text(path, at_most=_MOST_TOML), path)


def parse_toml(text: str, name: files.PathLike) -> dict[str, Any]:
    """Returns what TOML says; raises UserError, which begins with `name`, if it is none."""
    try:
        return tomllib.loads(text)
    # Thousands of brackets, and of digits, are TOML, but not to Python.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: not TOML: {_short(str(error))}") from error


def override(config: configs.Config, overrides: Sequence[str]) -> configs.Config:
    """Returns `config` with some settings changed, `section.key=value` each."""
    tree = config.model_dump(exclude_none=True)
    for text in overrides:
        _set(tree, text)
    return checked(configs.Config, tree, "--set")


def replace(config: configs.Config, values: Mapping[str, Any], name: str) -> configs.Config:
    """Returns `config` with other values of some settings, `section.key`; errors begin with `name`.

    Raises:
      UserError: If one is not allowed.
    """
    tree = config.model_dump(exclude_none=True)
    for key, value in values.items():
        _put(tree, key, value, name)
    return checked(configs.Config, tree, name)


def of_population(config: configs.Config, training_users: int) -> configs.Config:
    """Returns an experiment with the defaults that follow from the number of training users."""
    tokenizer, ngrams = config.tokenizer, config.ngrams
    if tokenizer.minimum_users is None:
        users = default_minimum_users(training_users)
        tokenizer = tokenizer.model_copy(update={"minimum_users": users})
    if config.mixes_ngrams and ngrams.minimum_users is None:
        ngrams = ngrams.model_copy(update={"minimum_users": tokenizer.minimum_users})
    return config.model_copy(update={"tokenizer": tokenizer, "ngrams": ngrams})


def differences(config: configs.Config, other: configs.Config) -> list[str]:
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
        close = difflib.get_close_matches(str(error["loc"][-1]), section.model_fields, 1)
        meant = f"did you mean {close[0]}? " if close else ""
        return f"{key}: no such setting; {meant}there are {', '.join(section.model_fields)}"
    if error["type"] == "missing":
        return f"{key}: missing; it has no default"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if isinstance(error["input"], dict):
        return f"{key}: {message}" if key else message
    return f"{key}: {message}, not {_quoted(error['input'])}"


def _quoted(value: Any) -> str:
    """Returns a value as an error quotes it."""
    try:
        return _short(repr(value))
    except ValueError:  # Python writes no number of thousands of digits.
        return "so large a number"


def _short(text: str) -> str:
    """Returns a text on one line, and cut."""
    text = " ".join(text.split())
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 3] + "..."


def _set(tree: dict[str, Any], text: str) -> None:
    """Puts `section.key=value` into `tree`."""
    name, equals, value = text.partition("=")
    name = name.strip()
    caller = f"--set {_short(text)}"
    if not equals or not name or name.endswith("."):
        raise UserError(f"{caller}: write section.key=value, such as rounds.count=100")
    if len(text.splitlines()) > 1:
        raise UserError(f"{caller}: several lines; give each setting a --set of its own")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    except (ValueError, RecursionError) as error:
        raise UserError(f"{caller}: not a value of TOML: {_short(str(error))}") from error
    _put(tree, name, parsed, caller)


def _put(tree: dict[str, Any], name: str, value: Any, caller: str) -> None:
    """Puts a value at `section.key` into `tree`."""
    *sections, key = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"{caller}: {section} has no settings of its own")
    tree[key] = value
