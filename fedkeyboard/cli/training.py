"""The commands that train: a fleet without training, an experiment, a sweep."""

import math
import pathlib
import time
from typing import Annotated

import typer

from fedkeyboard import files
from fedkeyboard.cli import options, output, run_package
from fedkeyboard.errors import UserError
from fedkeyboard.terminal import say

_AUTO = pathlib.Path("auto")


def fleet(
    config: Annotated[
        pathlib.Path, typer.Option(help="The experiment: a TOML file, or a bundled one's name.")
    ],
    rounds: Annotated[
        int, typer.Option(min=1, max=options.MANY, help="How many to simulate.")
    ] = 3000,
    set_: options.Overrides = None,
    population: options.OtherPopulation = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="Directory of fleet.csv and fleet.png; default, runs/fleet-CONFIG."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Simulate an experiment's rounds without training: their length, losses and throughput."""
    from fedkeyboard.simulation import config_files, progress

    config = config_files.find(config)
    settings = config_files.load(config, set_ or [])
    out = out or pathlib.Path("runs", f"fleet-{config.stem}")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: not a directory; give another --out")
    with progress.loading(output.ERR):
        from fedkeyboard.simulation import experiment
        from fedkeyboard.simulation.fleet import fleet_report
    simulated = experiment.run_fleet(
        settings, rounds, population_file=population, console=output.ERR
    )
    figures = fleet_report.figures(simulated)
    fleet_report.write_rounds(out / "fleet.csv", simulated)
    plot = fleet_report.draw(simulated, f"{config.stem}: {rounds:,} rounds")
    files.write_bytes(out / "fleet.png", plot)
    if as_json:
        output.print_json(
            {"csv": str(out / "fleet.csv"), "plot": str(out / "fleet.png"), **figures}
        )
        return
    output.print_table(fleet_report.rows(figures))
    say(output.OUT, f"plot {out / 'fleet.png'}")


def simulate(
    config: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="The experiment: a TOML file, a bundled one's name, such as chitchat, or auto, "
            "which chooses by the population; with --resume, the run's own."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=1e5, help="Be over, and have exported, after so long; a new run's."
        ),
    ] = None,
    set_: options.Overrides = None,
    population: options.OtherPopulation = None,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="The run directory; default, a new one in runs/.")
    ] = None,
    start: Annotated[
        pathlib.Path | None,
        typer.Option("--from", metavar="RUN", help="Begin with another run's model."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out (default: runs/latest).")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Train on simulated phones, evaluate on unseen users, and export the phone package."""
    if config is None and not resume:
        raise UserError("give --config, such as --config auto, or --resume")
    if minutes is not None and not math.isfinite(minutes):
        raise UserError("--minutes: give a number, such as 60")
    until = None if minutes is None else time.monotonic() + 60 * minutes
    if start is not None and resume:
        raise UserError("--from is for a new run; one that is resumed has begun")
    if minutes is not None and resume:
        raise UserError("--minutes is for a new run; give --set rounds.minutes=N")
    from fedkeyboard.simulation import config_files, directories, progress

    # Before TensorFlow is imported, which takes seconds: a slip is answered at once.
    settings, automatic = None, config == _AUTO
    if automatic and resume:
        raise UserError("--config auto is for a new run; leave it out to go on")
    if config is not None and not automatic:
        config = config_files.find(config)
        settings = config_files.load(config, set_ or [])
    if start is not None:
        directories.check_run(start)
    if resume:
        out = out or directories.LATEST
        directories.check_run(out)
    else:
        out = out or directories.new_directory(config.stem)
        directories.check_new(out)
    with progress.loading(output.ERR, tell=True):
        from fedkeyboard.simulation import assessment, experiment, runs

    if resume:
        run = experiment.resume(
            out, settings, set_ or [], population_file=population, console=output.ERR
        )
    else:
        if automatic:
            settings = experiment.choose(set_ or [], population_file=population, console=output.ERR)
        if start is not None:
            settings = settings.model_copy(update={"start": str(start.resolve())})
        run = experiment.begin(
            settings, out, population_file=population, console=output.ERR, until=until
        )
    if not as_json:  # Before the export, which may fail.
        output.print_metrics(run.metrics())
    if run.config.tokenizer.kind != "word":
        progress.say(output.ERR, "not exported: the phone package has no sub-words yet")
        package = None
    else:
        package = run.path / runs.PACKAGE
        with run_package.unseen(run, population) as unseen:
            run_package.export(run, package, unseen=unseen)
    if as_json:
        exported = None if package is None else str(package)
        made = {"run": str(run.path), "report": str(run.report_html), "export": exported}
        output.print_json({**made, **run.metrics()})
        return
    for text in assessment.beginnings(
        run.tokenizer, lambda text: run_package.suggest(run.path, text)
    ):
        output.print_suggestions(text, run_package.suggest(run.path, text))
    made = [f"run {run.path}", f"report {run.report_html}"]
    made += [] if package is None else [f"export {package}"]
    made.append(f"curves: tensorboard --logdir {run.path / 'tensorboard'}")
    for line in made:
        say(output.OUT, line)


def sweep(
    config: Annotated[
        pathlib.Path,
        typer.Option(help="The sweep: a TOML file, or a bundled one's name, such as chitchat."),
    ],
    population: options.OtherPopulation = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="The sweep's directory; default, runs/sweep-CONFIG. Goes on if begun."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Tune an experiment's settings on validation users: trials, a table, a page and best.toml."""
    from fedkeyboard.simulation import config_files, progress
    from fedkeyboard.simulation.tuning import ranges

    config = config_files.find(config, "sweeps")
    settings = ranges.load(config)
    with progress.loading(output.ERR, tell=True):
        from fedkeyboard.simulation.tuning import sweep as sweeping
        from fedkeyboard.simulation.tuning import sweep_report

    out = out or pathlib.Path("runs", f"sweep-{config.stem}")
    known = sweeping.run(settings, out, population_file=population, console=output.ERR)
    page, best = out / "sweep.html", out / "best.toml"
    if as_json:
        of_trials = [known[number].model_dump() for number in sorted(known)]
        output.print_json({"best": str(best), "page": str(page), "trials": of_trials})
        return
    output.print_table(sweep_report.rows(settings, known), sweep_report.header(settings))
    say(output.OUT, f"best {best}")
    say(output.OUT, f"page {page}")
