import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.errors import UserError
from simulation import config

CONFIGS = sorted(pathlib.Path(config.__file__).parent.glob("configs/*.toml"))
CHITCHAT = CONFIGS[0].with_name("chitchat.toml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid_and_saved_as_it_was_read(path, tmp_path):
    loaded = config.load(path)
    loaded.save(tmp_path / "saved.toml")
    assert config.load(tmp_path / "saved.toml") == loaded


def test_overrides():
    changed = config.load(
        CHITCHAT, ["rounds.count=7", "server.optimizer=sgd", "client.weighting='uniform'"]
    )
    assert (changed.rounds.count, changed.server.optimizer) == (7, "sgd")
    assert changed.client.weighting == "uniform"
    assert config.differences(config.load(CHITCHAT), changed) == [
        "client.weighting",
        "server.optimizer",
    ]
    assert config.override(changed, ["seed=5"]).seed == 5


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("client.lr=1", ["client.lr", "no such setting", "learning_rate"]),
        ("rouds.count=1", ["rouds", "no such setting", "rounds"]),
        ("rounds.count=0", ["rounds.count", "greater than or equal to 1", "0"]),
        ("rounds.count=1.5", ["rounds.count", "integer", "1.5"]),
        ("rounds.count=many", ["rounds.count", "integer", "many"]),
        ("client.learning_rate=nan", ["client.learning_rate", "finite"]),
        ("client.learning_rate=-1", ["client.learning_rate", "greater than 0"]),
        ("server.weight_decay=0.1", ["weight_decay", '"adam"']),
        ("server.optimizer=adma", ["server.optimizer", "'adam', 'adamw' or 'yogi'"]),
        ("server.warmup_rounds=330", ["server", "warmup_rounds = 330", "decay_rounds = 330"]),
        ("server.warmup_rounds=0", ["server.warmup_rounds", "greater than or equal to 1"]),
        ("client.algorithm=fedadam", ["client.algorithm", "'fedprox', 'fedsgd' or 'mime_lite'"]),
        ("client.proximal_strength=0.1", ["client", "proximal_strength", '"fedavg"']),
        ("population.file=x.sqlite", ["population", "either corpus"]),
        ("fleet.over_selection=0.5", ["fleet.over_selection", "greater than or equal to 1"]),
        ("fleet.sampling=all", ["fleet.sampling", "'check_in'", "'random_check_in'"]),
        ("fleet.minimum_reports=11", ["fleet.minimum_reports = 11", "rounds.cohort = 10"]),
        ("fleet.reuse_hours=2", ["fleet", "reuse_hours needs [fleet.habits]"]),
        ("fleet.cycle=5", ["fleet", "cycle is of sampling"]),
        ("fleet.habits.night=0.5", ["fleet.habits.night", "no such setting", "nights"]),
        ("fleet.habits.nights=1.5", ["fleet.habits.nights", "less than 1"]),
        ("fleet.habits.time_zones={east = 1.0}", ["fleet.habits.time_zones", "'east'", "UTC"]),
        ("fleet.habits.time_zones={}", ["fleet.habits.time_zones", "needs a time zone"]),
        ("fleet.habits.time_zones={'0' = 1.0, '+0' = 1.0}", ["time_zones", "twice"]),
        ("fleet.deadline_minutes=1e8", ["fleet.deadline_minutes", "less than or equal to 100000"]),
        ("fleet.dropout=1", ["fleet.dropout", "less than 1"]),
        ("seed.x=1", ["seed"]),
        ("rounds", ["rounds", "section.key=value"]),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(override, parts):
    with pytest.raises(UserError) as caught:
        config.load(CHITCHAT, [override])
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("algorithm", "useless"),
    [
        ("fedsgd", "epochs=2"),
        ("fedsgd", "warmup_rounds=5"),
        ("mime_lite", "decay_rounds=5"),
        ("mime_lite", "proximal_strength=1.0"),
    ],
)
def test_what_an_algorithm_has_no_use_for_is_refused(algorithm, useless):
    config.load(CHITCHAT, [f"client.algorithm={algorithm}"])
    with pytest.raises(UserError) as caught:
        config.load(CHITCHAT, [f"client.algorithm={algorithm}", f"client.{useless}"])
    message = str(caught.value)
    assert message.endswith(
        f'client: {useless.partition("=")[0]} is of no use to algorithm = "{algorithm}"'
    )


@given(st.text(max_size=40))
def test_any_override_is_taken_or_refused_in_a_line(text):
    try:
        config.load(CHITCHAT, [text])
    except UserError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "UTF-8"),
        (b"[rounds\ncount=1", "not TOML"),
        (b"", "population: missing"),
        (b"population.corpus = 'chitchat'\nrounds.count = 5", "rounds.cohort: missing"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(content, part, tmp_path):
    path = tmp_path / "my.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=part) as caught:
        config.load(path)
    assert str(path) in str(caught.value)
