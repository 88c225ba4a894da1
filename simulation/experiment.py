"""An experiment from its settings to its figures: population, vocabulary, training, evaluation."""

import pathlib
from collections.abc import Sequence

from rich.console import Console

from data.cleaning import Cleaning
from data.population import Population
from data.prepare import ensure_chitchat
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.tokenizer import Tokenizer
from simulation import assessment, progress, report, runs, training
from simulation import config as configs

POPULATIONS = pathlib.Path("populations")


def begin(
    config: configs.Config,
    out: pathlib.Path,
    *,
    population_file: pathlib.Path | None,
    console: Console,
) -> runs.Run:
    """Runs an experiment from its begin to its final evaluation.

    Args:
      config: Its settings.
      out: The run directory to make.
      population_file: Instead of the settings' population.
      console: Where progress goes.

    Returns:
      The finished run.
    """
    if population_file is not None:
        other = configs.Population(file=str(population_file.absolute()))
        config = config.model_copy(update={"population": other})
    runs.check_new(out)
    with _open_population(config, console) as population:
        phones = {split: len(population.phones(split)) for split in population.splits}
        progress.say(
            console,
            f"population  {sum(phones.values()):,} phones "
            f"({', '.join(f'{count:,} {split}' for split, count in phones.items())}) "
            f"in {population.path}",
        )
        _check_cohort(config, population)
        texts = (population.sentences(phone) for phone in population.phones("train"))
        tokenizer = Tokenizer.learn(texts, **config.tokenizer.model_dump())
        progress.say(
            console, f"vocabulary  {len(tokenizer):,} entries, learned on the training phones"
        )
        with runs.claimed(out):
            runs.check_new(out)
            run = runs.begin(out, config, population, tokenizer)
            _train(run, population, console)
    return run


def resume(
    path: pathlib.Path,
    config: configs.Config | None,
    overrides: Sequence[str],
    *,
    population_file: pathlib.Path | None,
    console: Console,
) -> runs.Run:
    """Continues a run from its last checkpoint.

    Args:
      path: The run directory.
      config: Settings that must be the run's, but for `simulation.config.RESUMABLE`.
      overrides: Without `config`, changes to the run's settings, with the same exception.
      population_file: Where the run's population file is now, if it was moved.
      console: Where progress goes.

    Returns:
      The finished run.

    Raises:
      UserError: If other settings differ.
    """
    run = runs.open_run(path)
    with runs.claimed(run.path):
        if config is None:
            config = configs.override(run.config, overrides)
        if population_file is not None or run.config.population.file is not None:
            # Its fingerprint says whether it is the same population, not its name.
            config = config.model_copy(update={"population": run.config.population})
        different = configs.differences(run.config, config)
        if different:
            raise UserError(
                f"{run.path}: begun with other settings of {', '.join(different)}; "
                "resume without them, or begin a new run with another --out"
            )
        with run.open_population(population_file) as population:
            run = runs.begin(run.path, config, population, run.tokenizer)
            _train(run, population, console)
    return run


def _open_population(config: configs.Config, console: Console) -> Population:
    settings = config.population
    if settings.file is not None:
        return Population.open(settings.file)
    cleaning = Cleaning(
        minimum_sentences=settings.minimum_sentences, maximum_sentences=settings.maximum_sentences
    )
    with progress.counting(console, f"preparing {settings.corpus}") as update:
        return Population.open(ensure_chitchat(POPULATIONS, cleaning=cleaning, progress=update))


def _check_cohort(config: configs.Config, population: Population) -> None:
    available = len(population.phones("train"))
    if config.rounds.cohort > available:
        raise UserError(
            f"{population.path}: has {available} training phones, and rounds.cohort = "
            f"{config.rounds.cohort} asks for more; use --set rounds.cohort={available} or fewer"
        )


def _train(run: runs.Run, population: Population, console: Console) -> None:
    """Trains, evaluates on unseen users, and writes metrics and report."""
    progress.say(console, f"run         {run.path}")
    # What a finished run says of itself no longer holds once it trains on.
    for name in ("metrics.json", "report.html"):
        (run.path / name).unlink(missing_ok=True)
    try:
        with progress.rounds(console, run.config.rounds.count) as on_round:
            training.train(run, assessment.reader(run, population), on_round)
    except KeyboardInterrupt as error:
        raise RunFailure(
            f"stopped; continue with: fedkeyboard simulate --resume --out {run.path}"
        ) from error
    metrics = assessment.evaluate(run, population, "test", console)
    run.save_metrics(metrics)
    report.write(run, metrics)
