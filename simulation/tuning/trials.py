"""The trials of a sweep: what became of each, and Optuna's study of them, which draws the next.

Optuna draws by TPE (Bergstra et al. 2011), and prunes a trial whose recall on the sample of
validation users is below the median of the trials before.

The trials' own records are the only ones. The study is made of them for every draw, and a draw has
a seed of its own, so a sweep that was killed goes on with what an unbroken one would have drawn.
Optuna's storage would be a second record to keep in step with the first, and lacks the state of the
random numbers; its journal cannot be read after an append to a line that a crash cut short.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, Literal

import optuna
import pydantic

from fedkeyboard import files, hashed, streams
from fedkeyboard.errors import RunFailure
from fedkeyboard.simulation.tuning.ranges import Sweep
from fedkeyboard.streams import Stream

# Trials are pruned when so many have been completed, and after this part of their rounds: small
# learning rates are slow at first.
_COMPLETED_BEFORE_PRUNING = 5
_WARM_UP = 1 / 4
# Bytes of a `trial.json`, whose largest part is a number for each round that validated.
_MOST_JSON = 16 * files.MEGABYTE
_WITHOUT = "without it the trial runs again"

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Trial(pydantic.BaseModel):
    """What became of a trial: its `trial.json`.

    Attributes:
      number: From 1.
      state: Over are all but one that `failed`, which the next sweep tries again.
      reason: Why it is not complete.
      settings: What was drawn.
      validated: Top-1 recall on the sample of validation users, by round.
      rounds: That it trained.
      seconds: That they took.
      top1_recall: On the whole text of all validation users, if complete.
      top3_recall: The same.
      perplexity: The same.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    number: int
    state: Literal["complete", "pruned", "diverged", "failed"]
    reason: str = ""
    settings: dict[str, Any]
    validated: dict[int, float] = {}
    rounds: int = 0
    seconds: float = 0.0
    top1_recall: float | None = None
    top3_recall: float | None = None
    perplexity: float | None = None

    def save(self, path: pathlib.Path) -> None:
        """Writes `trial.json`."""
        hashed.write_text(path, self.model_dump_json(indent=2) + "\n")


def directory(out: pathlib.Path, number: int) -> pathlib.Path:
    """Returns the run directory of a sweep's trial."""
    return out / "trials" / f"{number:03d}"


def read(out: pathlib.Path) -> dict[int, Trial]:
    """Returns the trials of a sweep's directory, by their numbers."""
    found = {}
    for path in sorted((out / "trials").glob("*/trial.json")):
        try:
            content = hashed.read_bytes(path, at_most=_MOST_JSON, remedy=_WITHOUT)
            trial = Trial.model_validate_json(content)
        except ValueError as error:
            raise RunFailure(f"{path}: damaged; {_WITHOUT}") from error
        found[trial.number] = trial
    return found


def best(trials: Mapping[int, Trial]) -> Trial | None:
    """Returns the completed trial with the highest recall; the first of several."""
    complete = [trials[number] for number in sorted(trials) if trials[number].state == "complete"]
    return max(complete, key=lambda trial: trial.top1_recall, default=None)


def study(sweep: Sweep, trials: Mapping[int, Trial], number: int) -> optuna.Study:
    """Returns Optuna's study of the trials before `number`, which draws that one."""
    (seed,) = streams.sequence(sweep.seed, Stream.TRIALS, number).generate_state(1)
    made = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=int(seed)),
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=_COMPLETED_BEFORE_PRUNING,
            n_warmup_steps=int(_WARM_UP * sweep.experiment.rounds.count),
        ),
    )
    # Optuna counts from 0, where a failed trial stands, which counts for nothing.
    made.add_trials([_frozen(sweep, trials.get(before)) for before in range(number)])
    return made


def _frozen(sweep: Sweep, trial: Trial | None) -> optuna.trial.FrozenTrial:
    if trial is None or trial.state == "failed":
        return optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)
    drawn = {"params": trial.settings, "distributions": sweep.ranges}
    if trial.state == "complete":
        return optuna.trial.create_trial(
            value=trial.top1_recall, intermediate_values=trial.validated, **drawn
        )
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.PRUNED,
        # Without any a trial counts as the worst: it is no merit to diverge late.
        intermediate_values=trial.validated if trial.state == "pruned" else {},
        **drawn,
    )
