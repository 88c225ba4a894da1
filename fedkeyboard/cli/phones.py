"""The commands of the phone: its package, its suggestions, what it learns and sends."""

import json
import pathlib
from typing import Annotated, Literal

import typer

from fedkeyboard.cli import options, output, run_package
from fedkeyboard.errors import UserError
from fedkeyboard.terminal import say


def export(
    run: options.RunDirectory,
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
    split: options.Split = "test",
    sentences: Annotated[
        int,
        typer.Option(min=1, max=options.MANY, help="Of each user, to measure the precisions on."),
    ] = options.MEASURED_SENTENCES,
    moved_to: options.MovedPopulation = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the phone package, measure what its precision costs, and verify it."""
    from fedkeyboard.simulation import progress

    with progress.loading(output.ERR):
        from fedkeyboard.simulation import runs

    opened = runs.open_run(run)
    package = out or opened.path / runs.PACKAGE
    with run_package.unseen(opened, moved_to, split, sentences) as unseen:
        report = run_package.export(
            opened, package, unseen=unseen, precision=precision, train_storage=train_storage
        )
    if as_json:
        output.print_json(json.loads((package / "manifest.json").read_text(encoding="utf-8")))
    else:
        output.print_verified(report)


def verify(
    package: options.PackageDirectory,
    run: Annotated[
        pathlib.Path | None,
        typer.Option(help="The run it was exported from; default, the one it lies in, if it does."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a phone package as a stranger would, and time it."""
    from fedkeyboard.simulation import progress

    with progress.loading(output.ERR):
        from fedkeyboard.simulation import runs
        from fedkeyboard.tflite_export import verify as verifying

    package, run = runs.package(package, run)
    weights = None if run is None else runs.open_run(run).weights()[0]
    report = verifying.verify(package, weights)
    if as_json:
        output.print_json(report.as_dict())
    else:
        output.print_verified(report)
        if weights is None:
            say(output.ERR, "not held against a run's weights: give --run")
    report.require(str(package))


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
    as_json: options.AsJson = False,
) -> None:
    """Suggest the next word: the top three with their probabilities, computed by LiteRT.

    A run with sub-words, which has no exported file, suggests from its weights.
    """
    if migrate and personal is None:
        raise UserError("--migrate is for a checkpoint: give --personal")
    suggestions = (
        run_package.suggest(model, text)
        if personal is None
        else run_package.suggest_to(personal, model, text, migrate)
    )
    if as_json:
        output.print_json([{"word": word, "probability": p} for word, p in suggestions])
    else:
        output.print_suggestions(text, suggestions)


def personalize(
    package: options.PackageDirectory,
    split: options.Split = "test",
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
    moved_to: options.MovedPopulation = None,
    as_json: options.AsJson = False,
) -> None:
    """Train model_train.tflite on the first 80% of each unseen user's text; test on the rest.

    An option that is given several times is tried with each, on validation users.
    """
    from fedkeyboard.simulation import progress

    with progress.loading(output.ERR):
        from fedkeyboard.simulation import assessment, report, runs
        from fedkeyboard.tflite_export.phone import personalization
        from fedkeyboard.tflite_export.phone.opened import Package

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
            population, opened.tokenizer, opened.learner.length, split, "personalizing", output.ERR
        ) as texts,
    ):
        outcomes = personalization.personalize(
            opened.learner, opened.ngrams, texts, opened.prefixes, grid
        )
    reports = [
        {"split": split, **settings.as_dict(), **personalization.report(phones)}
        for settings, phones in zip(grid, outcomes, strict=True)
    ]
    if as_json:
        output.print_json(reports[0] if len(grid) == 1 else reports)
    elif len(grid) == 1:
        output.print_table(report.gain_rows(reports[0]), ("", "global", "personal", "gated"))
    else:
        output.print_table(*report.gains_table(reports))


def update(
    package: options.PackageDirectory,
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
    as_json: options.AsJson = False,
) -> None:
    """Do what a phone does in a round: train on its text through LiteRT, write what changed.

    As the simulated phones did that made the package: its manifest has their settings.
    """
    from fedkeyboard.simulation import progress

    with progress.loading(output.ERR):
        from fedkeyboard.simulation import runs
        from fedkeyboard.tflite_export.phone import phone
        from fedkeyboard.tflite_export.phone.opened import Package
        from fedkeyboard.updates import update_file

    found, _ = runs.package(package)
    learned = phone.learn_from_file(
        Package(found), text, personal=personal, learning_rate=learning_rate
    )
    update_file.write(out, learned)
    if as_json:
        output.print_json(learned.metadata.model_dump())
        return
    said = learned.metadata
    output.print_table(
        [
            ("sentences", f"{said.sentences:,}"),
            ("steps", f"{said.steps:,}"),
            ("loss", f"{said.loss:.3f}"),
            ("file", str(out)),
        ]
    )


def aggregate(
    run: options.RunDirectory,
    update: Annotated[
        list[pathlib.Path], typer.Argument(metavar="UPDATE...", help="What phones sent.")
    ],
    out: Annotated[pathlib.Path, typer.Option(help="The new run directory, one round further.")],
    minimum_updates: Annotated[
        int | None,
        typer.Option(
            min=1, max=options.MANY, help="How many must be left; default, half of those given."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Aggregate phones' updates, as a simulated round would, into a new run and its package.

    Updates that cannot count are refused by name. The same command goes on if it was stopped.
    """
    from fedkeyboard.simulation import progress

    with progress.loading(output.ERR):
        from fedkeyboard.simulation import aggregation, runs
        from fedkeyboard.tflite_export.phone.opened import Package

    opened = runs.open_run(run)
    package = Package(runs.package(run)[0])
    stored = package.stored()
    done = aggregation.aggregate(
        opened,
        update,
        out,
        package.base,
        minimum=minimum_updates,
        on_refused=lambda line: progress.say(output.ERR, line),
    )
    made = done.run
    run_package.export(made, made.path / runs.PACKAGE, **stored)
    if as_json:
        counts = {"updates": done.updates, "refused": done.refused}
        made_of = {"run": str(made.path), "export": str(made.path / runs.PACKAGE)}
        output.print_json({**made_of, **counts})
        return
    refused = f", {len(done.refused):,} refused" if done.refused else ""
    for line in (
        f"updates {done.updates:,}{refused}",
        f"run {made.path}",
        f"export {made.path / runs.PACKAGE}",
    ):
        say(output.OUT, line)
