import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkeyboard.errors import UserError
from fedkeyboard.simulation import config, config_files

CONFIGS = sorted(pathlib.Path(config.__file__).parent.glob("configs/*.toml"))
CHITCHAT = CONFIGS[0].with_name("chitchat.toml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid_and_saved_as_it_was_read(path, tmp_path):
    loaded = config_files.load(path)
    loaded.save(tmp_path / "saved.toml")
    assert config_files.load(tmp_path / "saved.toml") == loaded


def test_overrides():
    changed = config_files.load(
        CHITCHAT, ["rounds.count=7", "server.optimizer=sgd", "client.weighting='uniform'"]
    )
    assert (changed.rounds.count, changed.server.optimizer) == (7, "sgd")
    assert changed.client.weighting == "uniform"
    assert config_files.differences(config_files.load(CHITCHAT), changed) == [
        "client.weighting",
        "server.optimizer",
    ]
    assert config_files.override(changed, ["seed=5"]).seed == 5


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("client.lr=1", ["client.lr", "no such setting", "learning_rate"]),
        ("rouds.count=1", ["rouds", "no such setting", "rounds"]),
        ("rounds.count=0", ["rounds.count", "greater than or equal to 1", "0"]),
        ("rounds.count=1.5", ["rounds.count", "integer", "1.5"]),
        ("rounds.count=many", ["rounds.count", "integer", "many"]),
        ("client.learning_rate=nan", ["client.learning_rate", "finite"]),
        ("client.learning_rate=-1", ["client.learning_rate", "greater than or equal to 0.000"]),
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
        ("seed=1\nrounds.count=7", ["several lines"]),
        ("seed=1\rrounds.count=7", ["several lines"]),
        ("seed=" + "1" * 5000, ["--set seed=111", "not a value of TOML"]),
        ("seed=" + "1" * 4000, ["seed", "less than 9223372036854775808", "..."]),
        ("seed=" + "[" * 20_000, ["--set seed=[[[", "not a value of TOML"]),
        ("client.learning_rate=1e39", ["client.learning_rate", "less than or equal to 1000000"]),
        ("client.learning_rate=1e-40", ["client.learning_rate", "greater than or equal to"]),
        ("client.dropout=0.99999999", ["client.dropout", "less than or equal to 0.9999"]),
        ("server.momentum=0.99999999", ["server.momentum", "less than or equal to 0.9999"]),
        ("server.epsilon=1e39", ["server.epsilon", "less than or equal to 1"]),
        ("server.epsilon=1e-30", ["server.epsilon", "greater than or equal to"]),
        ("model.units=1000000000000", ["model.units", "less than or equal to 100000"]),
        ("model.units=100000", None),
        ("model.length=1000000000", ["model.length", "less than or equal to 1000"]),
        ("client.batch_size=100000", None),
        ("client.maximum_sentences=100000", None),
        ("runtime.threads=" + "1" + "0" * 30, ["runtime.threads", "less than or equal to 1024"]),
        ("runtime.concurrent_clients=1000000000", ["runtime.concurrent_clients", "1024"]),
        ("client.learing_rate=1", ["did you mean learning_rate?"]),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(override, parts):
    if parts is None:  # Allowed: only together they are too much.
        config_files.load(CHITCHAT, [override])
        return
    with pytest.raises(UserError) as caught:
        config_files.load(CHITCHAT, [override])
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
    config_files.load(CHITCHAT, [f"client.algorithm={algorithm}"])
    with pytest.raises(UserError) as caught:
        config_files.load(CHITCHAT, [f"client.algorithm={algorithm}", f"client.{useless}"])
    message = str(caught.value)
    assert message.endswith(
        f'client: {useless.partition("=")[0]} is of no use to algorithm = "{algorithm}"'
    )


def test_a_model_that_fits_into_no_memory_is_refused():
    with pytest.raises(UserError, match=r"model\.units = 100,000 make about .* weights"):
        config_files.load(CHITCHAT, ["model.units=100000", "model.embedding=1000"])


def test_a_batch_that_fits_into_no_memory_is_refused():
    with pytest.raises(UserError, match=r"client\.batch_size.*fit into memory"):
        config_files.load(CHITCHAT, ["client.batch_size=100000", "client.maximum_sentences=100000"])


def _numbers(section, prefix=""):
    for name, value in section.items():
        if isinstance(value, dict) and name != "time_zones":
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


NUMBERS = dict(_numbers(config_files.load(CONFIGS[0].with_name("gboard.toml")).model_dump()))


@given(
    st.sampled_from(sorted(NUMBERS)),
    st.one_of(
        st.integers(-(10**40), 10**40),
        st.floats(),
        st.sampled_from([0, 1, -1, 1e38, 1e39, 1e-38, 1e-46, 1e300, 2**31, 2**63, 1 - 1e-9]),
    ),
)
def test_a_number_that_is_taken_is_one_that_float32_has(key, value):
    try:
        changed = config_files.load(
            CONFIGS[0].with_name("gboard.toml"), [f"{key}={value!r}".replace("e+", "e")]
        )
    except UserError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 400
        assert key.rpartition(".")[2] in str(error)
        return
    taken = dict(_numbers(changed.model_dump()))[key]
    rounded = np.float32(taken)
    assert np.isfinite(rounded) and (rounded != 0 or taken < 1e-30)
    if key in ("client.dropout", "server.momentum"):  # One less it is divided by.
        assert rounded < 1


@given(st.text(max_size=40))
def test_any_override_is_taken_or_refused_in_a_line(text):
    try:
        config_files.load(CHITCHAT, [text])
    except UserError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "UTF-8"),
        (b"[rounds\ncount=1", "not TOML"),
        (b"seed = " + b"1" * 5000, "not TOML"),
        (b"seed = " + b"[" * 20_000, "not TOML"),
        (b"#" * (2 << 20), "at most 1,048,576"),
        (b"", "population: missing"),
        (b"population.corpus = 'chitchat'\nrounds.count = 5", "rounds.cohort: missing"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(content, part, tmp_path):
    path = tmp_path / "my.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=part) as caught:
        config_files.load(path)
    assert str(path) in str(caught.value)
