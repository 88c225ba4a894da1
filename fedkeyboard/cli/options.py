"""Arguments and options that several commands have."""

import pathlib
from typing import Annotated, Literal

import typer

# What nobody means to exceed; without it a slip would never end.
MANY = 10_000_000

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
PackageDirectory = Annotated[
    pathlib.Path, typer.Argument(metavar="DIR", help="A phone package, or a run that has one.")
]
RunDirectory = Annotated[
    pathlib.Path, typer.Argument(metavar="RUN", help="A run directory, such as runs/latest.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: rounds.count=100."),
]
OtherPopulation = Annotated[
    pathlib.Path | None, typer.Option(help="A population file, instead of the experiment's.")
]
MovedPopulation = Annotated[
    pathlib.Path | None,
    typer.Option("--population", help="Where the run's population file is now, if it was moved."),
]
Split = Annotated[Literal["train", "validation", "test"], typer.Option(help="Whose text.")]
MEASURED_SENTENCES = 25
"""Of each user, on whose text an export measures what its precision costs."""
