"""Which round's model a run has, when training ends by itself, and what it may begin with."""

import json
import shutil

import numpy as np
import pytest
from commands import fails, process
from tiny_runs import rounds, simulate

from fedkeyboard.simulation import runs


def looks(path):
    """Top-1 recall on validation users, by round."""
    return {
        int(row["round"]): float(row["validation_top1_recall"])
        for row in rounds(path)
        if row["validation_top1_recall"]
    }


def best_of(path):
    recalls = looks(path)
    return max(recalls, key=recalls.get)  # The first of several.


def test_the_model_of_the_best_round_is_the_runs(run):
    opened = runs.open_run(run)
    assert opened.kept_round() == best_of(run)
    assert opened.rounds_done() == 9
    manifest = json.loads((run / "export/manifest.json").read_text())
    assert manifest["training"]["rounds"] == 9
    assert manifest["training"]["kept_round"] == best_of(run)


@pytest.mark.heavy
def test_a_run_begins_with_anothers_model_and_ends_by_itself(run, place, population):
    """Then it goes on with more patience, the other run being gone, until time is over."""
    other = shutil.copytree(run, place / "other")
    out = place / "warm"
    more = ("--from", other, "--set", "rounds.count=200", "--set", "rounds.patience=2")
    done = process(*simulate(population, out), *more, cwd=place)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(other)
    warm = runs.open_run(out)
    assert f"begins with {other}, which has {len(warm.tokenizer)} of these" in done.stderr
    ended = warm.rounds_done()
    assert ended < 200 and ended == best_of(out) + 2 * 2
    assert (
        f"trained     {ended} rounds: no better on validation users since round {best_of(out)}; "
        f"the model is that of round {best_of(out)}"
    ) in done.stderr.replace("\n", " ").replace("  the model", " the model")
    for first, learned in zip(warm.initial_weights(), runs.open_run(run).weights()[0], strict=True):
        np.testing.assert_array_equal(first, learned)
    first_losses = [float(rounds(path)[0]["loss"]) for path in (out, run)]
    assert first_losses[0] < 0.9 * first_losses[1]

    # As it stands there is nothing left to do; with more patience there is.
    resume = ("simulate", "--resume", "--out", out, "--json")
    again = process(*resume, cwd=place)
    assert again.returncode == 0, again.stderr
    assert warm.rounds_done() == ended
    last = process(
        *resume, "--set", "rounds.patience=100", "--set", "rounds.minutes=0.01", cwd=place
    )
    assert last.returncode == 0, last.stderr
    assert "0.01 minutes are over" in last.stderr
    assert runs.open_run(out).kept_round() == best_of(out)


def test_a_run_that_has_begun_begins_with_no_other(run, place, population):
    line = fails(2, "simulate", "--resume", "--out", run, "--from", run)
    assert "--from is for a new run" in line
    nowhere = fails(2, *simulate(population, "new"), "--from", "nowhere", cwd=place)
    assert "nowhere: no such run directory" in nowhere
    sizes = fails(
        2, *simulate(population, "new"), "--from", run, "--set", "model.units=17", cwd=place
    )
    assert "has model.units = 16, and the experiment 17" in sizes
    assert not (place / "new").exists()
