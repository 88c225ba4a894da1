"""Refuses settings with which no round could ever succeed, and names them."""

from collections.abc import Callable

import numpy as np
from scipy import special

from fedkeyboard.errors import UserError
from fedkeyboard.simulation.fleet.habits import Phones
from fedkeyboard.simulation.fleet.knowledge import Knowledge
from fedkeyboard.simulation.fleet.plan import Plan
from fedkeyboard.simulation.fleet.reporting import Reporting
from fedkeyboard.simulation.fleet.selection import Selection

_HOPELESS = 1e-3  # The chance of an attempt below which settings are refused.


def check(
    plan: Plan,
    traits: Phones | None,
    knowledge: Knowledge,
    selection: Selection,
    reporting: Reporting,
    sentences: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Raises UserError, naming the settings, if no round could ever succeed.

    Args:
      plan: What a round wants.
      traits: The phones'; None of an ideal fleet.
      knowledge: Of the fleet.
      selection: Before the first round.
      reporting: The phones' work.
      sentences: Gives how many sentences phones train on: int64 `[n]` of numbers `[n]`.
    """
    _check_enough(plan, selection)
    if traits is not None:
        _check_awake(plan, traits, knowledge, selection)
    _check_reports(plan, knowledge.sample, reporting, sentences)


def _check_enough(plan: Plan, selection: Selection) -> None:
    settings = plan.settings
    asks = f"rounds.cohort = {plan.goal}" + (
        f" times fleet.over_selection = {settings.over_selection}"
        if settings.over_selection > 1
        else ""
    )
    if plan.wanted > plan.phones:
        raise UserError(
            f"{asks} asks for {plan.wanted:,} phones a round, and the population has "
            f"{plan.phones:,} training phones; lower rounds.cohort"
        )
    if plan.takes_turns and plan.wanted * selection.cycle > plan.phones:
        raise UserError(
            f"fleet.cycle = {selection.cycle} leaves {plan.phones // selection.cycle:,} of "
            f"{plan.phones:,} phones a round, and {asks} asks for {plan.wanted:,}; use at most "
            f"{plan.phones // plan.wanted}"
        )


def _check_awake(plan: Plan, traits: Phones, knowledge: Knowledge, selection: Selection) -> None:
    settings = plan.settings
    if not np.any(traits.memory_gb(knowledge.sample) >= settings.minimum_memory_gb):
        raise UserError(
            f"fleet.minimum_memory_gb = {settings.minimum_memory_gb:g}: no phone has so much; "
            "lower it"
        )
    awake = knowledge.most_awake
    if plan.takes_turns:
        awake /= selection.cycle
    if settings.sampling in ("check_in", "uniform", "cyclic") and awake < plan.goal:
        raise UserError(
            f"rounds.cohort = {plan.goal:,} is the report goal, and of the population's "
            f"{plan.phones:,} training phones about {awake:,.0f} are awake for a round at the "
            "best hour; lower it, or give more phones (population.phones)"
        )
    if settings.sampling == "poisson":
        come = awake * plan.coin
    elif settings.sampling == "random_check_in":
        come = awake
    else:
        interval = selection.interval(awake * knowledge.hourly.mean() / knowledge.most_awake)
        come = awake * min(1.0, 60 * settings.selection_minutes / interval)
    least = max(1, plan.least)
    if special.pdtrc(least - 1, come) < _HOPELESS:
        raise UserError(
            f"of the population's {plan.phones:,} training phones about {come:,.0f} check in "
            f"within fleet.selection_minutes = {settings.selection_minutes:g} at the best "
            f"hour, and a round needs {least:,}; raise it, or lower fleet.minimum_reports"
        )


def _check_reports(
    plan: Plan,
    sample: np.ndarray,
    reporting: Reporting,
    sentences: Callable[[np.ndarray], np.ndarray],
) -> None:
    settings, in_time, allowed = plan.settings, 1.0, ""
    if settings.deadline_minutes is not None:
        seconds = 60 * settings.deadline_minutes
        fastest = reporting.seconds(sample, 1).min()
        if fastest > seconds:
            raise UserError(
                f"fleet.deadline_minutes = {settings.deadline_minutes:g}: the fastest phone "
                f"needs {fastest / 60:.2g} minutes to download the model, train on one "
                "sentence and upload; raise it"
            )
        in_time = np.mean(reporting.seconds(sample, sentences(sample)) <= seconds)
        allowed = f" within fleet.deadline_minutes = {settings.deadline_minutes:g}"
    if settings.sampling in ("poisson", "random_check_in"):
        return
    chance = special.bdtrc(plan.least - 1, plan.wanted, in_time * (1 - settings.dropout))
    if chance < _HOPELESS:
        raise UserError(
            f"of {plan.wanted:,} phones asked about "
            f"{plan.wanted * in_time * (1 - settings.dropout):.0f} would report{allowed} with "
            f"fleet.dropout = {settings.dropout:g}, and a round needs {plan.least:,}; lower "
            "fleet.minimum_reports, or raise fleet.over_selection or the deadline"
        )
