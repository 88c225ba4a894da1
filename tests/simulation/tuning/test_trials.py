import math
import pathlib
import re

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from fedkeyboard.errors import RunFailure
from fedkeyboard.simulation import config, config_files
from fedkeyboard.simulation.tuning import sweep_report, trials
from fedkeyboard.simulation.tuning.ranges import Sweep
from fedkeyboard.simulation.tuning.trials import Trial

RANGES = {
    "client.learning_rate": FloatDistribution(0.01, 10.0, log=True),
    "server.optimizer": CategoricalDistribution(["adam", "sgd"]),
}
EXPERIMENT = config.Config(
    population=config.Population(corpus="chitchat"), rounds=config.Rounds(count=20, cohort=2)
)


def a_sweep(seed=1):
    return Sweep(pathlib.Path("rates.toml"), 20, seed, EXPERIMENT, RANGES, ())


def recall(settings):
    """Best at 1.0 with Adam."""
    distance = abs(math.log10(settings["client.learning_rate"]))
    return 0.2 - 0.05 * distance - 0.05 * (settings["server.optimizer"] == "sgd")


def a_trial(number, settings, state="complete", **of):
    value = recall(settings)
    if state == "complete":
        of = {"top1_recall": value, "top3_recall": 2 * value, "perplexity": 100.0} | of
    validated = {10: value / 2, 20: value}
    defaults = {"validated": validated, "rounds": 20, "seconds": 60.0, "settings": settings}
    return Trial(number=number, state=state, **defaults | of)


def go_on(sweep, known, until):
    """Runs trials up to `until`, of settings that are drawn as a sweep does."""
    for number in range(1, until + 1):
        if number not in known:
            asked = trials.study(sweep, known, number).ask(sweep.ranges)
            known[number] = a_trial(number, asked.params)
    return known


@pytest.fixture(scope="module")
def known():
    return go_on(a_sweep(), {}, 15)


def test_a_sweep_that_goes_on_draws_what_an_unbroken_one_does(known, tmp_path):
    for trial in go_on(a_sweep(), {}, 12).values():
        trial.save(trials.directory(tmp_path, trial.number) / "trial.json")
    read = trials.read(tmp_path)
    assert read == {number: known[number] for number in range(1, 13)}
    assert go_on(a_sweep(), read, 15) == known
    assert go_on(a_sweep(seed=2), {}, 2)[1].settings != known[1].settings


def test_draws_differ_and_come_to_the_best(known):
    rates = [trial.settings["client.learning_rate"] for trial in known.values()]
    assert len(set(rates)) == len(rates)
    assert trials.best(known).top1_recall == max(trial.top1_recall for trial in known.values())
    learned = go_on(a_sweep(), dict(known), 40)
    late = [learned[number].top1_recall for number in range(31, 41)]
    assert sum(late) / 10 > sum(trial.top1_recall for trial in known.values()) / 15


def test_numbers_are_those_of_the_trials_and_failed_ones_count_for_nothing(known):
    failed = {**known, 3: Trial(number=3, state="failed", reason="no", settings={})}
    study = trials.study(a_sweep(), failed, 16)
    assert [t.number for t in study.get_trials(states=[TrialState.COMPLETE])] == [
        n for n in range(1, 16) if n != 3
    ]
    assert study.best_trial.params == trials.best(failed).settings
    assert study.ask(RANGES).number == 16


@pytest.mark.parametrize(("before", "value", "pruned"), [(15, 0.0, True), (15, 1.0, False)])
def test_the_median_prunes(known, before, value, pruned):
    asked = trials.study(a_sweep(), known, before + 1).ask(RANGES)
    asked.report(value, 10)
    assert asked.should_prune() == pruned


def test_nothing_is_pruned_too_early(known):
    asked = trials.study(a_sweep(), known, 16).ask(RANGES)
    asked.report(0.0, 4)
    assert not asked.should_prune()
    few = {number: known[number] for number in range(1, 5)}
    asked = trials.study(a_sweep(), few, 5).ask(RANGES)
    asked.report(0.0, 10)
    assert not asked.should_prune()


def test_who_diverged_is_shunned(known):
    shunned = {
        number: trial
        if trial.settings["server.optimizer"] == "adam"
        else a_trial(number, trial.settings, "diverged", validated={19: 0.9}, reason="why")
        for number, trial in known.items()
    }
    states = [t.state for t in trials.study(a_sweep(), shunned, 16).get_trials(deepcopy=False)[1:]]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    drawn = [
        trials.study(a_sweep(seed), shunned, 16).ask(RANGES).params["server.optimizer"]
        for seed in range(20)
    ]
    assert drawn.count("adam") > 15
    assert trials.best(shunned).settings["server.optimizer"] == "adam"


def test_a_damaged_record_is_named(tmp_path):
    path = trials.directory(tmp_path, 1) / "trial.json"
    a_trial(1, {"client.learning_rate": 1.0, "server.optimizer": "adam"}).save(path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(RunFailure, match="trial.json: damaged"):
        trials.read(tmp_path)


@pytest.fixture
def written(known, tmp_path):
    """A sweep's directory with the report of its trials, of which some came to nothing."""
    some = dict(known)
    some[4] = a_trial(4, known[4].settings, "pruned", rounds=10)
    some[5] = a_trial(5, known[5].settings, "diverged", reason="the loss is <not> finite")
    best = trials.best(some)
    settings = config_files.replace(EXPERIMENT, best.settings, "")
    path = trials.directory(tmp_path, best.number)
    path.mkdir(parents=True)
    settings.save(path / "config.toml")
    sweep_report.write(tmp_path, a_sweep(), some, users=96)
    return tmp_path, some


def test_table_and_csv(written):
    out, some = written
    table = sweep_report.rows(a_sweep(), some)
    best = trials.best(some)
    assert table[0][0] == str(best.number) and table[0][-1] == ""
    assert [line[-1] for line in table[-2:]] == ["pruned", "diverged: the loss is <not> finite"]
    assert {len(line) for line in table} == {len(sweep_report.header(a_sweep()))}
    lines = (out / "trials.csv").read_text().splitlines()
    assert lines[0] == (
        "trial,state,client.learning_rate,server.optimizer,top1_recall,top3_recall,perplexity,"
        "rounds,seconds,reason"
    )
    assert [line.split(",")[0] for line in lines[1:]] == [str(n) for n in range(1, 16)]
    assert lines[4].split(",")[1] == "pruned" and ",,,,10," in lines[4]


def test_the_best_experiment_is_ready(written):
    out, some = written
    assert config_files.load(out / "best.toml") == config_files.replace(
        EXPERIMENT, trials.best(some).settings, ""
    )
    assert "on 96 validation users" in (out / "best.toml").read_text().splitlines()[0]


def test_the_page_opens_offline_and_has_all_charts(written):
    page = (written[0] / "sweep.html").read_text()
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)
    assert page.count('class="plotly-graph-div"') == 5
    assert "Which settings matter" in page
    assert "the loss is &lt;not&gt; finite" in page


def test_a_page_before_the_first_trial(tmp_path):
    sweep_report.write(tmp_path, a_sweep(), {}, users=96)
    assert "No trials yet." in (tmp_path / "sweep.html").read_text()
    assert not (tmp_path / "best.toml").exists()


def test_one_completed_trial_is_enough_for_a_page(known, tmp_path):
    runs_config = trials.directory(tmp_path, 1)
    runs_config.mkdir(parents=True)
    EXPERIMENT.save(runs_config / "config.toml")
    sweep_report.write(tmp_path, a_sweep(), {1: known[1]}, users=96)
    assert (tmp_path / "sweep.html").read_text().count('class="plotly-graph-div"') == 4
