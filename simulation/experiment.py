"""An experiment from its settings to its figures: population, vocabulary, training, evaluation."""

import contextlib
import errno
import pathlib
import shutil
from collections.abc import Collection, Iterator, Sequence

import tensorflow as tf
import tomli_w
from rich.console import Console

from fedkeyboard import precision
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.population import SPLITS, Population
from fedkeyboard.data.prepare import ensure_chitchat
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.ngrams import model as ngram_model
from fedkeyboard.simulation import (
    assessment,
    automatic,
    config_files,
    directories,
    ngrams,
    progress,
    report,
    rounds,
    runs,
    training,
    vocabulary,
    warm_start,
)
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation.fleet import fleet
from fedkeyboard.simulation.fleet.fleet_round import FleetRound

POPULATIONS = pathlib.Path("populations")


def choose(
    overrides: Sequence[str], *, population_file: pathlib.Path | None, console: Console
) -> configs.Config:
    """Returns the experiment that suits a population (`automatic`), and says why.

    Args:
      overrides: `section.key=value` each, which are as they are told.
      population_file: The population; default, the bundled corpus.
      console: Where the choice is told.
    """
    population = configs.Population(corpus="chitchat")
    if population_file is not None:
        population = _of_file(population_file)
    with open_population(population, console, ("train", "validation")) as opened:
        text = automatic.measure(opened)
    chosen = automatic.experiment(text, tomli_w.dumps(population.model_dump(exclude_none=True)))
    config = config_files.parse(chosen, overrides, "auto")
    for line in automatic.reasons(chosen, config, text):
        progress.say(console, f"auto        {line}")
    return config


def begin(
    config: configs.Config,
    out: pathlib.Path,
    *,
    population_file: pathlib.Path | None,
    console: Console,
    until: float | None = None,
) -> runs.Run:
    """Runs an experiment from its begin to its final evaluation.

    Args:
      config: Its settings.
      out: The run directory to make.
      population_file: Instead of the settings' population.
      console: Where progress goes.
      until: When all is to be over, and exported, by `time.monotonic`; training has what time the
        rest leaves.

    Returns:
      The finished run.
    """
    if population_file is not None:
        config = on_population(config, population_file)
    directories.check_new(out)
    other = None if config.start is None else warm_start.source(config.start, config)
    with open_population(config.population, console) as population:
        phones = {split: len(population.phones(split)) for split in population.splits}
        progress.say(
            console,
            f"population  {sum(phones.values()):,} phones "
            f"({', '.join(f'{count:,} {split}' for split, count in phones.items())}) "
            f"in {population.path}",
        )
        if population.multiplied:
            progress.say(
                console,
                f"            the training phones are voices of {len(population.users('train')):,} "
                "real users",
            )
        config = config_files.of_population(config, len(population.users("train")))
        of_run = fleet.of(config, population)
        tokenizer = vocabulary.learn(population, config.tokenizer)
        progress.say(
            console,
            f"vocabulary  {len(tokenizer):,} entries, of words that "
            f"{config.tokenizer.minimum_users} or more training users wrote",
        )
        initial = None
        if other is not None:
            sizes = runs.sizes_of(config, len(tokenizer))
            initial = warm_start.weights(other, tokenizer, sizes, config.seed)
            progress.say(
                console,
                f"begins with {other.path}, which has {warm_start.known(other, tokenizer):,} of "
                "these entries",
            )
        if until is not None:
            config = automatic.in_time(config, population, until)
        with directories.claimed(out):
            directories.check_new(out)
            latest = directories.latest()
            with _nothing_left(out, latest):
                run = runs.begin(out, config, population, tokenizer, initial)
                if directories.latest() != latest:
                    progress.say(console, f"{directories.LATEST} now points to {run.path.name}")
                _train(run, population, of_run, console)
    return run


@contextlib.contextmanager
def _nothing_left(out: pathlib.Path, latest: str | None) -> Iterator[None]:
    """Removes the run, if it fails before its first round is done: there is nothing to go on with.

    One that is stopped stays, as one that is killed does.
    """
    try:
        yield
    except Exception as error:
        stopped = isinstance(error.__cause__, KeyboardInterrupt)
        if not stopped and not rounds.any_done(out / "rounds.csv"):
            with contextlib.suppress(OSError):
                # With it, what is left if this is killed would be a run.
                (out / "config.toml").unlink(missing_ok=True)
                shutil.rmtree(out)
            directories.point_latest_back(out, latest)
        raise


def run_fleet(
    config: configs.Config, rounds: int, *, population_file: pathlib.Path | None, console: Console
) -> list[FleetRound]:
    """Returns the rounds of an experiment's fleet; nobody trains.

    Args:
      config: The experiment's settings.
      rounds: How many.
      population_file: Instead of the settings' population.
      console: Where progress goes.
    """
    if population_file is not None:
        config = on_population(config, population_file)
    with open_population(config.population, console) as population:
        of_run = fleet.of(config, population)
        with progress.counting(console, "rounds", rounds) as advance:
            simulated = []
            for _ in range(rounds):
                simulated.append(of_run.next_round())
                advance()
    return simulated


def on_population(config: configs.Config, population_file: pathlib.Path) -> configs.Config:
    """Returns an experiment on another population."""
    return config.model_copy(update={"population": _of_file(population_file)})


def _of_file(path: pathlib.Path) -> configs.Population:
    return configs.Population(file=str(path.absolute()))


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
      config: Settings that must be the run's, but for `config_files.RESUMABLE`.
      overrides: Without `config`, changes to the run's settings, with the same exception.
      population_file: Where the run's population file is now, if it was moved.
      console: Where progress goes.

    Returns:
      The finished run.

    Raises:
      UserError: If other settings differ, or it has trained more rounds than these say.
      RunFailure: If it has trained, and its checkpoints are gone.
    """
    run = runs.open_run(path)
    with directories.claimed(run.path):
        if config is None:
            config = config_files.override(run.config, overrides)
        if population_file is not None or run.config.population.file is not None:
            # Its fingerprint says whether it is the same population, not its name.
            config = config.model_copy(update={"population": run.config.population})
        config = config_files.of_population(config, run.population_record()["users"]["train"])
        different = config_files.differences(run.config, config)
        if different:
            raise UserError(
                f"{run.path}: begun with other settings of {', '.join(different)}; "
                "resume without them, or begin a new run with another --out"
            )
        done = run.rounds_done()
        if config.rounds.count < done:
            raise UserError(
                f"{run.path}: has trained {done} rounds already, more than "
                f"rounds.count = {config.rounds.count}; give as many or more"
            )
        if done and not any((run.path / "checkpoints").glob("round_*")):
            raise RunFailure(
                f"{run.path}/checkpoints: empty, and weights.npz is of round {done}; begin a new "
                "run with another --out"
            )
        with run.open_population(population_file) as population:
            of_run = fleet.of(config, population)
            run = runs.begin(run.path, config, population, run.tokenizer)
            _train(run, population, of_run, console)
    return run


def open_population(
    settings: configs.Population, console: Console, splits: Collection[str] = SPLITS
) -> Population:
    """Opens some splits of an experiment's population, which is made if it is a bundled corpus'."""
    if settings.file is not None:
        return Population.open(settings.file, splits)
    cleaning = Cleaning(
        minimum_sentences=settings.minimum_sentences,
        maximum_sentences=settings.maximum_sentences,
        links=settings.links,
    )
    with progress.preparing(console, f"preparing {settings.corpus}", settings.phones) as (
        on_message,
        on_voices,
    ):
        path = ensure_chitchat(
            POPULATIONS,
            cleaning=cleaning,
            phones=settings.phones,
            progress=on_message,
            on_voices=on_voices,
        )
    return Population.open(path, splits)


def _train(run: runs.Run, population: Population, of_run: fleet.Fleet, console: Console) -> None:
    """Trains, evaluates on unseen users, and writes metrics and report."""
    progress.say(console, f"run         {run.path}")
    if run.config.client.bfloat16:
        slower = precision.notice(precision.bfloat16_by_float32(run.sizes))
        if slower:
            progress.say(console, slower)
    # What a finished run says of itself no longer holds once it trains on.
    for name in ("metrics.json", "report.html", ngram_model.FILE):
        (run.path / name).unlink(missing_ok=True)
    try:
        with (
            _room_on_disk(run),
            progress.rounds(console, *_expected(run.config.rounds)) as on_round,
        ):
            trained = training.train(run, assessment.reader(run, population), of_run, on_round)
    except KeyboardInterrupt as error:
        raise RunFailure(f"stopped; {_go_on(run)}") from error
    if trained.rounds < run.config.rounds.count or trained.kept < trained.rounds:
        progress.say(
            console,
            f"trained     {trained.rounds:,} rounds: {trained.why}; the model is that of round "
            f"{trained.kept:,}",
        )
    with _room_on_disk(run):
        if run.config.mixes_ngrams:
            ngrams.learn(run, population, console)
        metrics = assessment.evaluate(run, population, "test", console)
        run.save_metrics(metrics)
        report.write(run, metrics)


def _expected(settings: configs.Rounds) -> tuple[int | None, float | None]:
    """Returns the last round, if training does not end by itself, and the seconds it may take."""
    last = settings.count if settings.patience is None else None
    return last, None if settings.minutes is None else 60 * settings.minutes


def _go_on(run: runs.Run) -> str:
    return f"continue with: fedkeyboard simulate --resume --out {run.path}"


@contextlib.contextmanager
def _room_on_disk(run: runs.Run) -> Iterator[None]:
    """Says of a disk that is full what to do; the last checkpoint is whole.

    TensorFlow has errors of its own for that, which have the system's words and no number.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            reason = error.strerror
        elif "No space left" in str(error) or "quota exceeded" in str(error):
            reason = "No space left on device"
        else:
            raise
        raise RunFailure(f"{run.path}: {reason}; make room, then {_go_on(run)}") from error
