"""The commands that judge a model on users it has not seen."""

import pathlib
from typing import Annotated, Literal

import typer

from fedkeyboard.cli import options, output
from fedkeyboard.errors import UserError
from fedkeyboard.terminal import say


def evaluate(
    run: options.RunDirectory,
    split: options.Split = "test",
    artifact: Annotated[
        pathlib.Path | None,
        typer.Option(help="Evaluate this .tflite through LiteRT instead of the run's weights."),
    ] = None,
    moved_to: options.MovedPopulation = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure next-word recall and perplexity on all users of a split."""
    from fedkeyboard.simulation import progress

    with progress.loading(output.ERR):
        from fedkeyboard.simulation import assessment, runs

    opened = runs.open_run(run)
    output.tell_if_alone(opened)
    log_probabilities = None
    if artifact is not None:
        from fedkeyboard.tflite_export.phone import exported_files

        if opened.config.tokenizer.kind != "word":
            raise UserError(f"{run}: has sub-words, with which no file is exported yet")
        exported = exported_files.open_of_vocabulary(artifact, opened.tokenizer.vocabulary)
        log_probabilities = exported.log_probabilities
    with opened.open_population(moved_to) as population:
        metrics = assessment.evaluate(opened, population, split, output.ERR, log_probabilities)
    if as_json:
        output.print_json(metrics)
        return
    from fedkeyboard.simulation import report

    output.print_metrics(metrics)
    for group, title in report.GROUPS.items():
        header, *lines = report.breakdown(metrics, group)
        output.OUT.print()
        output.print_table(lines, (title, *header[1:]))


def baseline(
    name: Annotated[
        Literal["unigram", "kneser-ney", "local", "central", "federated", "personalized"],
        typer.Argument(help="What to measure; docs/using.md says what each is."),
    ],
    run: options.RunDirectory,
    split: options.Split = "test",
    moved_to: options.MovedPopulation = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a model to compare with, on a run's users and vocabulary, and measure it."""
    from fedkeyboard.simulation import progress

    with progress.loading(output.ERR):
        from fedkeyboard.simulation import directories, report, runs
        from fedkeyboard.simulation.comparison import comparison
        from fedkeyboard.simulation.comparison.task import Task

    opened = runs.open_run(run)
    with opened.open_population(moved_to) as population, directories.claimed(opened.path):
        assessed = comparison.assess(name, Task(opened, population, split, output.ERR))
    if as_json:
        output.print_json(
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
    output.print_table(report.figures(assessed.report), (title, name, "95% interval"))


def compare(
    run: Annotated[
        list[pathlib.Path],
        typer.Argument(
            metavar="RUN...", help="Runs on one population; the first has the baselines."
        ),
    ],
    split: options.Split = "test",
    central: Annotated[
        bool, typer.Option(help="Train the model on all text in one place, which takes minutes.")
    ] = True,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="The page; default, RUN/comparison.html.")
    ] = None,
    moved_to: options.MovedPopulation = None,
    as_json: options.AsJson = False,
) -> None:
    """Hold federated runs against phones left alone, an n-gram and a model with all the text."""
    from fedkeyboard.simulation import progress

    with progress.loading(output.ERR):
        from fedkeyboard.simulation import report, runs
        from fedkeyboard.simulation.comparison import comparison, comparison_page

    opened = [runs.open_run(path) for path in run]
    for of_run in opened:
        output.tell_if_alone(of_run)
    out = out or opened[0].path / "comparison.html"
    if out.suffix != ".html" or out.is_dir():
        raise UserError(f"{out}: a page is written; give a name that ends with .html as --out")
    compared = comparison.compare(opened, split, output.ERR, central=central, moved_to=moved_to)
    comparison_page.write(out, compared)
    if as_json:
        output.print_json({"page": str(out), **compared})
        return
    for of_run in compared["runs"]:
        for on, title in (("whole", "all sentences"), ("later", "last fifth of each user's")):
            header = (f"{of_run['name']}, {title}", *report.COMPARED.values())
            output.print_table(report.comparison_rows(of_run, on), header)
            output.OUT.print()
        output.print_table(report.ratio_rows(of_run), ("top-1 recall", "ratio", "95% interval"))
        for verdict in of_run["verdicts"]:
            say(output.OUT, verdict)
        output.OUT.print()
    say(output.OUT, f"page {out}")
