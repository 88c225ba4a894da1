import pathlib

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from fedkeyboard.errors import UserError
from fedkeyboard.simulation import config
from fedkeyboard.simulation.tuning import ranges

SWEEPS = sorted(pathlib.Path(ranges.__file__).parents[1].glob("sweeps/*.toml"))
EXPERIMENT = """
population.corpus = "chitchat"
rounds = { count = 5, cohort = 4 }
"""


@pytest.fixture
def load(tmp_path):
    def load(content):
        (tmp_path / "experiment.toml").write_text(EXPERIMENT)
        path = tmp_path / "sweep.toml"
        path.write_text(content)
        return ranges.load(path)

    return load


def with_range(text):
    return f'experiment = "experiment.toml"\ntrials = 2\n[ranges]\n{text}'


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_is_valid(path):
    sweep = ranges.load(path)
    assert sweep.trials > 1 and sweep.ranges
    assert len(sweep.corners) == 2 ** len(sweep.ranges)


def test_a_file_says_what_is_fixed_and_what_varies(load):
    sweep = load(
        """
        experiment = "experiment.toml"
        trials = 7
        seed = 3
        [set]
        rounds.count = 9
        fleet.habits = {}
        [ranges]
        client.learning_rate = { low = 1, high = 10, log = true }
        "client.batch_size" = { low = 8, high = 32, step = 8 }
        [ranges.server]
        optimizer = ["adam", "sgd"]
        epsilon = [1e-5, 1e-3]
        """
    )
    assert (sweep.trials, sweep.seed) == (7, 3)
    assert sweep.experiment.rounds == config.Rounds(count=9, cohort=4)
    assert sweep.experiment.fleet.habits == config.Habits()
    assert sweep.ranges == {
        "client.learning_rate": FloatDistribution(1.0, 10.0, log=True),
        "client.batch_size": IntDistribution(8, 32, step=8),
        "server.optimizer": CategoricalDistribution(["adam", "sgd"]),
        "server.epsilon": CategoricalDistribution([1e-5, 1e-3]),
    }
    assert len(sweep.corners) == 16
    assert {ranges.setting(corner, "client.batch_size") for corner in sweep.corners} == {8, 32}


def test_ends_are_judged_together(load):
    load(with_range("fleet.sampling = ['cyclic']\nfleet.cycle = { low = 2, high = 5 }"))
    with pytest.raises(UserError, match="fleet: cycle is of"):
        load(
            with_range("fleet.sampling = ['cyclic', 'uniform']\nfleet.cycle = {low = 2, high = 5}")
        )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("client.lr = {low = 0.1, high = 1.0}", ["client.lr", "no such setting", "learning_rate"]),
        ("client = {low = 1, high = 2}", ["client", "dictionary"]),
        ("client.learning_rate.x = {low = 1, high = 2}", ["learning_rate", "no settings"]),
        (
            "client.learning_rate = {low = -1, high = 2}",
            ["learning_rate", "greater than or equal to", "-1"],
        ),
        ("client.learning_rate = {low = 1, high = inf}", ["learning_rate", "finite", "inf"]),
        ("client.learning_rate = {low = nan, high = 1}", ["learning_rate", "finite", "nan"]),
        ("client.learning_rate = {low = 2, high = 1}", ["learning_rate", "low <= high"]),
        ("client.learning_rate = {low = 1}", ["learning_rate", "high", "missing"]),
        ("client.learning_rate = {low = 'a', high = 1}", ["low", "should be a number", "'a'"]),
        ("client.learning_rate = {low = true, high = 1}", ["low", "should be a number", "True"]),
        ("client.learning_rate = {low = 1, high = 2, lg = true}", ["lg", "no such", "log"]),
        ("client.learning_rate = {low = 1, high = 2, step = 0}", ["learning_rate", "step > 0"]),
        ("client.learning_rate = {min = 1, max = 2}", ["learning_rate.min", "low = ..., high"]),
        ("client.learning_rate = 1", ["client.learning_rate", "low = ..., high", "1"]),
        ("client.learning_rate = {}", ["client.learning_rate", "low", "missing"]),
        ("client.batch_size = {low = 1.5, high = 2}", ["client.batch_size", "integer", "1.5"]),
        ("client.batch_size = {low = 8, high = 32, step = 7}", ["batch_size", "steps of 7"]),
        ("client.batch_size = {low = 8, high = 9, step = 0.5}", ["batch_size", "whole", "0.5"]),
        ("client.batch_size = {low = 8, high = 9, step = 0}", ["batch_size", "step > 0"]),
        ("client.bfloat16 = {low = 0, high = 1}", ["client.bfloat16", "boolean"]),
        ("server.optimizer = ['adam', 'adma']", ["server.optimizer", "'momentum'", "'adma'"]),
        ("server.optimizer = []", ["server.optimizer", "one or more"]),
        ("server.optimizer = [['adam']]", ["server.optimizer", "words or numbers"]),
        ("server.optimizer = ['adam', 'adam']", ["server.optimizer", "twice"]),
        ("population.minimum_sentences = {low = 5, high = 9}", ["population", "compared"]),
        ("model.length = [10, 20]", ["model.length", "compared"]),
        ("rounds.validation_users = [10, 20]", ["rounds.validation_users", "compared"]),
        ("", ["ranges", "empty"]),
    ],
)
def test_a_bad_range_is_one_line_that_names_it(text, parts, load, tmp_path):
    with pytest.raises(UserError) as caught:
        load(with_range(text))
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and str(tmp_path / "sweep.toml") in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["experiment", "missing"]),
        (EXPERIMENT, ["experiment", "missing"]),
        ("experiment = 3\ntrials = 2\nranges = {}", ["experiment", "string", "3"]),
        ("experiment = 'experiment.toml'\ntrials = 2", ["ranges", "missing"]),
        ("experiment = 'experiment.toml'\ntrials = 0\nranges = {}", ["trials", "equal to 1"]),
        ("experiment = 'experiment.toml'\ntrials = 2\nranges = 3", ["ranges", "dictionary"]),
        ("experiment = 'x.toml'\ntrials = 2\nranges.seed = [1]", ["experiment", "No such file"]),
        ("experiment = '.'\ntrials = 2\nranges.seed = [1]", ["experiment", "a directory"]),
        (with_range("seed = [1, 2]\n[set]\nseed = 1"), ["seed", "both"]),
        (with_range("seed = [1, 2]\n[set]\nclient.lr = 1"), ["set", "client.lr", "no such"]),
        (with_range("seed = [1, 2]\n[set]\nseed.x = 1"), ["set", "seed", "no settings"]),
        (with_range("seed = [1, 2]\n[sets]\nseed.x = 1"), ["sets", "no such", "ranges"]),
        (with_range("seed = ["), ["not TOML"]),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(content, parts, load, tmp_path):
    with pytest.raises(UserError) as caught:
        load(content)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and str(tmp_path / "sweep.toml") in message
    assert all(part in message for part in parts), message
