"""The command line: it puts the parts together and holds no logic of its own.

What a person or a machine asked for goes to stdout, everything else to stderr. Exit codes: 0, 1
(right use that failed), 2 (wrong use). TensorFlow is imported by the commands that need it, so
that the others, and every --help, answer at once.
"""

import contextlib
import io
import json
import logging
import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import click
import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fedkeyboard import __version__, files
from fedkeyboard.errors import UserError
from fedkeyboard.terminal import Formatter, printable, say

app = typer.Typer(
    help="Federated next-word prediction for phone keyboards, from text to TFLite.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    suggest_commands=False,  # Click does it, and once is enough.
    context_settings={"help_option_names": ["-h", "--help"]},
)

population_commands = typer.Typer(help="Population files.", no_args_is_help=True)
app.add_typer(population_commands, name="population")

# What nobody means to exceed; without it a slip would never end.
_MANY = 10_000_000

_OUT = Console()
_ERR = Console(stderr=True)

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
_LONGEST_WORD = 24


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def prepare(
    out: Annotated[pathlib.Path, typer.Option(help="The population file to write (.sqlite).")],
    corpus: Annotated[
        Literal["chitchat"] | None, typer.Option(help="A bundled corpus instead of --input.")
    ] = None,
    input: Annotated[  # noqa: A002, the option's name
        pathlib.Path | None,
        typer.Option(help="Your own text: a file, a directory, or - for standard input."),
    ] = None,
    format: Annotated[  # noqa: A002
        Literal[
            *("csv", "jsonl", "json", "parquet", "leaf", "tff"),
            *("telegram", "whatsapp", "discord", "slack", "sms"),
        ]
        | None,
        typer.Option(help="Of --input; default, as its name ends and as it begins."),
    ] = None,
    user_column: Annotated[
        str | None, typer.Option(help="Column or key of the user's id; default, user.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column or key of the message; default, text; TFF's, tokens.")
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            help="Column or key of the time: ISO 8601 or epoch; default, file order; TFF's, "
            "creation_date."
        ),
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(help="How times are written, as strptime has it: %d.%m.%Y %H:%M.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of CSV; default, a comma; of .tsv a tab.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="How the file is written; default, UTF-8.")
    ] = None,
    source_split: Annotated[
        str | None, typer.Option(help="Read one split of TFF's, such as train; default, all.")
    ] = None,
    min_sentences: Annotated[
        int, typer.Option(max=_MANY, help="Leave out users with fewer usable messages.")
    ] = 5,
    max_sentences: Annotated[
        int, typer.Option(max=_MANY, help="Keep a user's first so many.")
    ] = 500,
    keep_links: Annotated[
        bool, typer.Option("--keep-links", help="Leave links, mentions and placeholders in.")
    ] = False,
    seed: Annotated[int, typer.Option(max=2**64 - 1, help="Draws who is held out.")] = 0,
    phones: Annotated[
        int | None,
        typer.Option(max=2**31, help="Multiply the training users to so many virtual phones."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a population that is at --out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a population file: phones by number, split 80/10/10 into train, validation and test."""
    from data import corpora
    from data import prepare as preparing
    from data.cleaning import Cleaning
    from simulation import progress

    cleaning = Cleaning(
        minimum_sentences=min_sentences, maximum_sentences=max_sentences, links=keep_links
    )
    with (
        corpora.source(
            corpus,
            "-" if str(input) == "-" else input,
            format,
            user_column=user_column,
            text_column=text_column,
            time_column=time_column,
            time_format=time_format,
            delimiter=delimiter,
            encoding=encoding,
            source_split=source_split,
        ) as source,
        progress.preparing(_ERR, "messages read", phones) as (on_message, on_voices),
    ):
        summary = preparing.prepare(
            source.messages,
            out,
            source=source.name,
            cleaning=cleaning,
            seed=seed,
            phones=phones,
            progress=on_message,
            on_voices=on_voices,
            overwrite=force,
        )
    skipped = source.skipped.note()
    if skipped:
        progress.say(_ERR, skipped)
    if summary.note:
        progress.say(_ERR, summary.note)
    if as_json:
        _print_json({**summary.as_dict(), "skipped": dict(source.skipped.counts)})
    else:
        _print_table(
            [
                ("file", str(summary.path)),
                *((f"{split} phones", f"{count:,}") for split, count in summary.phones.items()),
                *([] if phones is None else [("real train users", f"{summary.users['train']:,}")]),
                ("sentences", f"{summary.sentences:,}"),
                ("words", f"{summary.words:,}"),
            ]
        )


@population_commands.command()
def stats(
    file: Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="A population file.")],
    vocabulary_size: Annotated[
        int, typer.Option(min=8, max=1_000_000, help="Of the vocabulary whose misses are counted.")
    ] = 10_000,
    minimum_users: Annotated[
        int | None,
        typer.Option(
            min=1, max=_MANY, help="How many wrote a word of it; default, as in an experiment."
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, max=_MANY, help="Read at most so many phones a split.")
    ] = 2000,
    as_json: AsJson = False,
) -> None:
    """Describe a population: words per phone, what a vocabulary misses, how users differ."""
    from data import statistics
    from data.population import Population
    from simulation import progress

    with (
        Population.open(file) as population,
        progress.counting(_ERR, "phones read") as advance,
    ):
        described = statistics.describe(
            population,
            vocabulary_size=vocabulary_size,
            minimum_users=minimum_users,
            sample=sample,
            on_phone=advance,
        )
    if as_json:
        _print_json(described)
        return
    splits = described["splits"]
    _print_table(statistics.rows(described), ("", *splits))
    _OUT.print()
    bars = statistics.bars(splits["train"]["histogram"])
    _print_table(bars, ("words a train phone", "phones", ""), left=(0, 2))
    _OUT.print()
    for line in statistics.sentences(described):
        say(_OUT, line)


@app.command()
def fleet(
    config: Annotated[
        pathlib.Path, typer.Option(help="The experiment: a TOML file, or a bundled one's name.")
    ],
    rounds: Annotated[int, typer.Option(min=1, max=_MANY, help="How many to simulate.")] = 3000,
    set_: Overrides = None,
    population: OtherPopulation = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="Directory of fleet.csv and fleet.png; default, runs/fleet-CONFIG."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate an experiment's rounds without training: their length, losses and throughput."""
    from simulation import config as configs
    from simulation import progress

    config = configs.find(config)
    settings = configs.load(config, set_ or [])
    out = out or pathlib.Path("runs", f"fleet-{config.stem}")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: not a directory; give another --out")
    with progress.loading(_ERR):
        from simulation import experiment, fleet_report
    simulated = experiment.run_fleet(settings, rounds, population_file=population, console=_ERR)
    figures = fleet_report.figures(simulated)
    fleet_report.write_rounds(out / "fleet.csv", simulated)
    plot = fleet_report.draw(simulated, f"{config.stem}: {rounds:,} rounds")
    files.write_bytes(out / "fleet.png", plot)
    if as_json:
        _print_json({"csv": str(out / "fleet.csv"), "plot": str(out / "fleet.png"), **figures})
        return
    _print_table(fleet_report.rows(figures))
    say(_OUT, f"plot {out / 'fleet.png'}")


@app.command()
def simulate(
    config: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="The experiment: a TOML file, or a bundled one's name, such as chitchat; with "
            "--resume, the run's own."
        ),
    ] = None,
    set_: Overrides = None,
    population: OtherPopulation = None,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="The run directory; default, a new one in runs/.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out (default: runs/latest).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train on simulated phones, evaluate on unseen users, and export the phone package."""
    if config is None and not resume:
        raise UserError("give --config, such as --config chitchat, or --resume")
    from simulation import config as configs
    from simulation import directories, progress

    # Before TensorFlow is imported, which takes seconds: a slip is answered at once.
    settings = None
    if config is not None:
        config = configs.find(config)
        settings = configs.load(config, set_ or [])
    if resume:
        out = out or directories.LATEST
        directories.check_run(out)
    else:
        out = out or directories.new_directory(config.stem)
        directories.check_new(out)
    with progress.loading(_ERR, tell=True):
        from simulation import assessment, experiment, runs

    if resume:
        run = experiment.resume(out, settings, set_ or [], population_file=population, console=_ERR)
    else:
        run = experiment.begin(settings, out, population_file=population, console=_ERR)
    if not as_json:  # Before the export, which may fail.
        _print_metrics(run.metrics())
    if run.config.tokenizer.kind != "word":
        progress.say(_ERR, "not exported: the phone package has no sub-words yet")
        package = None
    else:
        package = run.path / runs.PACKAGE
        with _unseen(run, population) as unseen:
            _export(run, package, unseen=unseen)
    if as_json:
        exported = None if package is None else str(package)
        made = {"run": str(run.path), "report": str(run.report_html), "export": exported}
        _print_json({**made, **run.metrics()})
        return
    for text in assessment.beginnings(run.tokenizer, lambda text: _suggest(run.path, text)):
        _print_suggestions(text, _suggest(run.path, text))
    made = [f"run {run.path}", f"report {run.report_html}"]
    made += [] if package is None else [f"export {package}"]
    made.append(f"curves: tensorboard --logdir {run.path / 'tensorboard'}")
    for line in made:
        say(_OUT, line)


@app.command()
def sweep(
    config: Annotated[
        pathlib.Path,
        typer.Option(help="The sweep: a TOML file, or a bundled one's name, such as chitchat."),
    ],
    population: OtherPopulation = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="The sweep's directory; default, runs/sweep-CONFIG. Goes on if begun."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tune an experiment's settings on validation users: trials, a table, a page and best.toml."""
    from simulation import config as configs
    from simulation import progress, ranges

    config = configs.find(config, "sweeps")
    settings = ranges.load(config)
    with progress.loading(_ERR, tell=True):
        from simulation import sweep as sweeping
        from simulation import sweep_report

    out = out or pathlib.Path("runs", f"sweep-{config.stem}")
    known = sweeping.run(settings, out, population_file=population, console=_ERR)
    page, best = out / "sweep.html", out / "best.toml"
    if as_json:
        of_trials = [known[number].model_dump() for number in sorted(known)]
        _print_json({"best": str(best), "page": str(page), "trials": of_trials})
        return
    _print_table(sweep_report.rows(settings, known), sweep_report.header(settings))
    say(_OUT, f"best {best}")
    say(_OUT, f"page {page}")


@app.command()
def evaluate(
    run: RunDirectory,
    split: Split = "test",
    artifact: Annotated[
        pathlib.Path | None,
        typer.Option(help="Evaluate this .tflite through LiteRT instead of the run's weights."),
    ] = None,
    moved_to: MovedPopulation = None,
    as_json: AsJson = False,
) -> None:
    """Measure next-word recall and perplexity on all users of a split."""
    from simulation import progress

    with progress.loading(_ERR):
        from simulation import assessment, runs

    opened = runs.open_run(run)
    log_probabilities = None
    if artifact is not None:
        from tflite_export import litert

        if opened.config.tokenizer.kind != "word":
            raise UserError(f"{run}: has sub-words, with which no file is exported yet")
        exported = litert.open_of_vocabulary(artifact, opened.tokenizer.vocabulary)
        log_probabilities = exported.log_probabilities
    with opened.open_population(moved_to) as population:
        metrics = assessment.evaluate(opened, population, split, _ERR, log_probabilities)
    if as_json:
        _print_json(metrics)
        return
    from simulation import report

    _print_metrics(metrics)
    for group, title in report.GROUPS.items():
        header, *lines = report.breakdown(metrics, group)
        _OUT.print()
        _print_table(lines, (title, *header[1:]))


@app.command()
def export(
    run: RunDirectory,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="The package's directory; default, RUN/export.")
    ] = None,
    precision: Annotated[
        Literal["int8", "float16", "float32"],
        typer.Option(help="Of the weights in model_infer.tflite."),
    ] = "int8",
    train_storage: Annotated[
        Literal["int8", "float32"],
        typer.Option(help="Of the weights in model_train.tflite, which computes in float32."),
    ] = "int8",
    split: Split = "test",
    sentences: Annotated[
        int, typer.Option(min=1, max=_MANY, help="Of each user, to measure the precisions on.")
    ] = MEASURED_SENTENCES,
    moved_to: MovedPopulation = None,
    as_json: AsJson = False,
) -> None:
    """Write the phone package, measure what its precision costs, and verify it."""
    from simulation import progress

    with progress.loading(_ERR):
        from simulation import runs

    opened = runs.open_run(run)
    package = out or opened.path / runs.PACKAGE
    with _unseen(opened, moved_to, split, sentences) as unseen:
        report = _export(
            opened, package, unseen=unseen, precision=precision, train_storage=train_storage
        )
    if as_json:
        _print_json(json.loads((package / "manifest.json").read_text(encoding="utf-8")))
    else:
        _print_verified(report)


@app.command()
def verify(
    package: PackageDirectory,
    run: Annotated[
        pathlib.Path | None,
        typer.Option(help="The run it was exported from; default, the one it lies in, if it does."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a phone package as a stranger would, and time it."""
    from simulation import progress

    with progress.loading(_ERR):
        from simulation import runs
        from tflite_export import verify as verifying

    package, run = runs.package(package, run)
    weights = None if run is None else runs.open_run(run).weights()[0]
    report = verifying.verify(package, weights)
    if as_json:
        _print_json(report.as_dict())
    else:
        _print_verified(report)
        if weights is None:
            say(_ERR, "not held against a run's weights: give --run")
    report.require(str(package))


@app.command()
def personalize(
    package: PackageDirectory,
    split: Split = "test",
    learning_rate: Annotated[
        list[float] | None, typer.Option(help="Of SGD on the phone; default, 0.1.")
    ] = None,
    epochs: Annotated[
        list[int] | None, typer.Option(max=1000, help="Passes over the user's text; default, 3.")
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(max=1_000_000, help="Sentences in a batch; default, 16.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="Weights that learn, such as embedding,output_bias; default, all."),
    ] = None,
    clipping_norm: Annotated[float, typer.Option(help="Of a batch's gradient.")] = 1.0,
    moved_to: MovedPopulation = None,
    as_json: AsJson = False,
) -> None:
    """Train model_train.tflite on the first 80% of each unseen user's text; test on the rest.

    An option that is given several times is tried with each, on validation users.
    """
    from simulation import progress

    with progress.loading(_ERR):
        from simulation import assessment, report, runs
        from tflite_export import personalization
        from tflite_export.opened import Package

    grid = personalization.grid(
        learning_rate or [0.1], epochs or [3], batch_size or [16], layers or ["all"], clipping_norm
    )
    if len(grid) > 1 and split == "test":
        raise UserError("settings are chosen on validation users: give --split validation")
    found, run = runs.package(package)
    opened = Package(found)
    with (
        runs.population_of(run, moved_to) as population,
        assessment.texts(
            population, opened.tokenizer, opened.learner.length, split, "personalizing", _ERR
        ) as texts,
    ):
        outcomes = personalization.personalize(opened.learner, texts, opened.prefixes, grid)
    reports = [
        {"split": split, **settings.as_dict(), **personalization.report(phones)}
        for settings, phones in zip(grid, outcomes, strict=True)
    ]
    if as_json:
        _print_json(reports[0] if len(grid) == 1 else reports)
    elif len(grid) == 1:
        _print_table(report.gain_rows(reports[0]), ("", "global", "personal", "gated"))
    else:
        _print_table(*report.gains_table(reports))


@app.command()
def update(
    package: PackageDirectory,
    text: Annotated[
        pathlib.Path, typer.Argument(help="What the phone's user wrote, a message a line.")
    ],
    out: Annotated[pathlib.Path, typer.Option(help="The update to write (.npz).")],
    learning_rate: Annotated[
        float | None, typer.Option(help="Of SGD; default, that of the package's rounds.")
    ] = None,
    personal: Annotated[
        bool, typer.Option("--personal", help="Write a personal checkpoint, which stays.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Do what a phone does in a round: train on its text through LiteRT, write what changed.

    As the simulated phones did that made the package: its manifest has their settings.
    """
    from simulation import progress

    with progress.loading(_ERR):
        from fedkeyboard import update as updates
        from simulation import runs
        from tflite_export import phone
        from tflite_export.opened import Package

    found, _ = runs.package(package)
    learned = phone.learn_from_file(
        Package(found), text, personal=personal, learning_rate=learning_rate
    )
    updates.write(out, learned)
    if as_json:
        _print_json(learned.metadata.model_dump())
        return
    said = learned.metadata
    _print_table(
        [
            ("sentences", f"{said.sentences:,}"),
            ("steps", f"{said.steps:,}"),
            ("loss", f"{said.loss:.3f}"),
            ("file", str(out)),
        ]
    )


@app.command()
def aggregate(
    run: RunDirectory,
    update: Annotated[
        list[pathlib.Path], typer.Argument(metavar="UPDATE...", help="What phones sent.")
    ],
    out: Annotated[pathlib.Path, typer.Option(help="The new run directory, one round further.")],
    minimum_updates: Annotated[
        int | None,
        typer.Option(min=1, max=_MANY, help="How many must be left; default, half of those given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Aggregate phones' updates, as a simulated round would, into a new run and its package.

    Updates that cannot count are refused by name. The same command goes on if it was stopped.
    """
    from simulation import progress

    with progress.loading(_ERR):
        from simulation import admission, aggregation, runs
        from tflite_export.opened import Package

    opened = runs.open_run(run)
    package = Package(runs.package(run)[0])
    stored = package.stored()
    base = admission.Base(
        round=package.manifest.training.get("rounds"),
        weights_sha256=package.manifest.model.weights_sha256,
        vocabulary_sha256=package.vocabulary_sha256,
    )
    done = aggregation.aggregate(
        opened,
        update,
        out,
        base,
        minimum=minimum_updates,
        on_refused=lambda line: progress.say(_ERR, line),
    )
    made = done.run
    _export(made, made.path / runs.PACKAGE, **stored)
    if as_json:
        counts = {"updates": done.updates, "refused": done.refused}
        made_of = {"run": str(made.path), "export": str(made.path / runs.PACKAGE)}
        _print_json({**made_of, **counts})
        return
    refused = f", {len(done.refused):,} refused" if done.refused else ""
    for line in (
        f"updates {done.updates:,}{refused}",
        f"run {made.path}",
        f"export {made.path / runs.PACKAGE}",
    ):
        say(_OUT, line)


@app.command()
def baseline(
    name: Annotated[
        Literal["unigram", "kneser-ney", "local", "central", "federated", "personalized"],
        typer.Argument(help="What to measure; docs/using.md says what each is."),
    ],
    run: RunDirectory,
    split: Split = "test",
    moved_to: MovedPopulation = None,
    as_json: AsJson = False,
) -> None:
    """Make a model to compare with, on a run's users and vocabulary, and measure it."""
    from simulation import progress

    with progress.loading(_ERR):
        from simulation import comparison, directories, report, runs
        from simulation.task import Task

    opened = runs.open_run(run)
    with opened.open_population(moved_to) as population, directories.claimed(opened.path):
        assessed = comparison.assess(name, Task(opened, population, split, _ERR))
    if as_json:
        _print_json(
            {
                "baseline": name,
                "split": split,
                "settings": assessed.settings,
                **assessed.notes,
                **assessed.report,
            }
        )
        return
    part = "" if assessed.report["on"] == "whole" else ", last fifth of their sentences"
    title = f"{assessed.report['users']:,} {split} users{part}"
    _print_table(report.figures(assessed.report), (title, name, "95% interval"))


@app.command()
def compare(
    run: Annotated[
        list[pathlib.Path],
        typer.Argument(
            metavar="RUN...", help="Runs on one population; the first has the baselines."
        ),
    ],
    split: Split = "test",
    central: Annotated[
        bool, typer.Option(help="Train the model on all text in one place, which takes minutes.")
    ] = True,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="The page; default, RUN/comparison.html.")
    ] = None,
    moved_to: MovedPopulation = None,
    as_json: AsJson = False,
) -> None:
    """Hold federated runs against phones left alone, an n-gram and a model with all the text."""
    from simulation import progress

    with progress.loading(_ERR):
        from simulation import comparison, comparison_page, report, runs

    opened = [runs.open_run(path) for path in run]
    out = out or opened[0].path / "comparison.html"
    if out.suffix != ".html" or out.is_dir():
        raise UserError(f"{out}: a page is written; give a name that ends with .html as --out")
    compared = comparison.compare(opened, split, _ERR, central=central, moved_to=moved_to)
    comparison_page.write(out, compared)
    if as_json:
        _print_json({"page": str(out), **compared})
        return
    for of_run in compared["runs"]:
        for on, title in (("whole", "all sentences"), ("later", "last fifth of each user's")):
            header = (f"{of_run['name']}, {title}", *report.COMPARED.values())
            _print_table(report.comparison_rows(of_run, on), header)
            _OUT.print()
        _print_table(report.ratio_rows(of_run), ("top-1 recall", "ratio", "95% interval"))
        _OUT.print()
    say(_OUT, f"page {out}")


@app.command()
def suggest(
    model: Annotated[
        pathlib.Path,
        typer.Argument(metavar="RUN|FILE.tflite", help="A run, or an exported file."),
    ],
    text: Annotated[str, typer.Argument(help="What was typed so far.")],
    personal: Annotated[
        pathlib.Path | None,
        typer.Option(help="Of a run or package: what the user of this personal checkpoint sees."),
    ] = None,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Also if it was learned on top of another model.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Suggest the next word: the top three with their probabilities, computed by LiteRT.

    A run with sub-words, which has no exported file, suggests from its weights.
    """
    if migrate and personal is None:
        raise UserError("--migrate is for a checkpoint: give --personal")
    suggestions = (
        _suggest(model, text) if personal is None else _suggest_to(personal, model, text, migrate)
    )
    if as_json:
        _print_json([{"word": word, "probability": p} for word, p in suggestions])
    else:
        _print_suggestions(text, suggestions)


def _export(run: Any, out: pathlib.Path, **options: Any) -> Any:
    from tflite_export import package

    return package.export(
        out,
        weights=run.weights()[0],
        sizes=run.sizes,
        tokenizer=run.tokenizer,
        training=run.training_record(),
        metrics=run.metrics(),
        **options,
    )


@contextlib.contextmanager
def _unseen(
    run: Any,
    moved_to: pathlib.Path | None,
    split: str = "test",
    sentences: int = MEASURED_SENTENCES,
) -> Iterator[Any]:
    """Yields the text that an export measures its precisions on."""
    from simulation import assessment
    from tflite_export.package import Unseen

    with assessment.unseen_rows(run, moved_to, split, sentences, _ERR) as rows:
        yield None if rows is None else Unseen(split, rows, sentences)


def _suggest_to(
    personal: pathlib.Path, model: pathlib.Path, text: str, migrate: bool
) -> list[tuple[str, float]]:
    from fedkeyboard.subwords import WORDS_FILE
    from simulation import runs
    from tflite_export import package, phone
    from tflite_export.opened import Package

    if (model / WORDS_FILE).exists():
        raise UserError(package.NO_SUBWORDS)
    return phone.suggest_to(Package(runs.package(model)[0]), text, personal, migrate=migrate)


def _suggest(model: pathlib.Path, text: str) -> list[tuple[str, float]]:
    from fedkeyboard.subwords import WORDS_FILE
    from fedkeyboard.tokenizer import VOCABULARY_FILE
    from tflite_export import litert

    if (model / WORDS_FILE).exists():
        from simulation import assessment, runs

        return assessment.suggest(runs.open_run(model), text)
    file = litert.inference_file(model)
    return litert.suggest_words(file, file.with_name(VOCABULARY_FILE), text)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def _print_table(
    rows: list[tuple[str, ...]], header: tuple[str, ...] | None = None, left: tuple[int, ...] = (0,)
) -> None:
    table = Table(show_header=header is not None, box=None, pad_edge=False)
    for i, name in enumerate(header or rows[0]):
        words = [word for text in (name, *(row[i] for row in rows)) for word in text.split()]
        # Paths and the like may be folded, words of a header or figures not.
        longest = max((len(word) for word in words if len(word) <= _LONGEST_WORD), default=1)
        justify = "left" if i in left else "right"
        table.add_column(Text(printable(name)), justify=justify, overflow="fold", min_width=longest)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # A word is broken nowhere; a table with more columns than fit is as wide as it must be.
    least = Measurement.get(_OUT, _OUT.options.update(width=10_000), table).minimum
    _OUT.print(table, width=max(_OUT.width, least), no_wrap=least > _OUT.width, crop=False)


def _print_metrics(metrics: dict[str, Any]) -> None:
    from simulation import report

    header = (f"{metrics['users']:,} {metrics['split']} users", *report.HEADER)
    _print_table(report.rows(metrics), header)


def _print_verified(report: Any) -> None:
    _print_table(*report.check_table(), left=(0, 1, 2))
    if report.timings:
        _OUT.print()
        _print_table(*report.timing_table(), left=(0, 1))


def _print_suggestions(text: str, suggestions: list[tuple[str, float]]) -> None:
    words = "   ".join(f"{word} {probability:.1%}" for word, probability in suggestions)
    say(_OUT, f"{text} → {words}")


def _stop(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _thrown_away(unraisable: Any) -> None:
    """What was raised where none can catch it: by a finalizer, or what a collection calls (jax)."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # Then again, and a Ctrl-C is not lost.
    else:
        sys.__unraisablehook__(unraisable)


def main() -> None:
    """Runs the command line; every error is one line on stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Not every terminal has an arrow.
    # What a plain `kill` ends is cleaned up like what Ctrl-C ends.
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _stop)
    sys.unraisablehook = _thrown_away
    try:
        try:
            _check_names()
            # Not by typer's own handling: it draws a box around what is a line here.
            sys.exit(app(prog_name="fedkeyboard", standalone_mode=False))
        finally:
            sys.stdout.flush()  # Here, where what fails becomes a line.
    except SystemExit as ended:
        if ended.code == 130:  # typer's own code for Ctrl-C
            _fail("stopped", 1)
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        message = error.format_message().rstrip(".")
        name = error.ctx.command_path if error.ctx else "fedkeyboard"
        _fail(f"{message}; see {name} -h", error.exit_code)
    except BrokenPipeError:  # Who read the output has enough of it.
        _close_stdout()
        sys.exit(1)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        try:
            sys.stdout.flush()
        except OSError:
            name = "stdout: "
            _close_stdout()
        _fail(f"{name}{error.strerror or error}", 1)
    except Exception as error:  # noqa: BLE001, a bug: still one line, and how to see more.
        if os.environ.get("FEDKEYBOARD_DEBUG"):
            traceback.print_exc()
        line = " ".join(str(error).split())[:300]
        _fail(f"internal error: {type(error).__name__}: {line} (FEDKEYBOARD_DEBUG=1 shows more)", 1)


def _check_names() -> None:
    """Refuses names that the files of a run, which are UTF-8, could not say."""
    names = list(sys.argv)
    with contextlib.suppress(OSError):  # It may be gone.
        names.append(os.getcwd())
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            shown = name.encode("ascii", "backslashreplace").decode()
            raise UserError(f"{shown}: not UTF-8, as names must be here; rename it") from error


def _close_stdout() -> None:
    """Throws away what stdout could not take, so that Python's exit does not try again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, exit_code: int) -> None:
    print(f"fedkeyboard: {printable(message)}", file=sys.stderr)
    sys.exit(exit_code)
