"""Settings that follow from a text, and a budget of time."""

import math
import re
import time

import pytest

from fedkeyboard.data.population import Population
from fedkeyboard.errors import UserError
from fedkeyboard.simulation import automatic, config_files
from fedkeyboard.simulation.automatic import Text
from fedkeyboard.text.words import words

TEXT = Text(users=690, words=792_209, steps=4.0, validation_users=86)


def chosen(**changed):
    toml = automatic.experiment(TEXT._replace(**changed), 'corpus = "chitchat"')
    return config_files.parse(toml, [], "auto")


def test_what_is_measured_is_what_there_is(tiny_population, tiny_texts):
    # Without the test users, who can then not be read.
    with Population.open(tiny_population, ("train", "validation")) as population:
        measured = automatic.measure(population)
    assert measured.users == len(tiny_texts)
    assert measured.words == sum(len(words(text)) for user in tiny_texts for text in user)
    batches = [math.ceil(min(len(user), 128) / 16) for user in tiny_texts]
    assert measured.steps == pytest.approx(sum(batches) / len(batches))


def test_of_many_users_some_are_read(tiny_population, tiny_texts, monkeypatch):
    monkeypatch.setattr(automatic, "_SAMPLE", 8)
    with Population.open(tiny_population) as population:
        measured = automatic.measure(population)
    exact = sum(len(words(text)) for user in tiny_texts for text in user)
    assert measured.users == len(tiny_texts) > 8
    assert measured.words != exact and 0.1 * exact < measured.words < 10 * exact


@pytest.mark.parametrize(
    ("count", "dropout"), [(0, 0.5), (50_000, 0.5), (316_228, 0.4), (1_000_000, 0.3), (10**9, 0.3)]
)
def test_the_less_text_the_more_dropout(count, dropout):
    assert chosen(words=count).client.dropout == pytest.approx(dropout)


def test_few_users_are_the_cohort():
    assert chosen(users=3, validation_users=0).rounds.cohort == 3
    assert chosen().rounds.cohort == 10


def test_validation_is_on_all_users_and_bounded():
    few, many = chosen(validation_users=5).rounds, chosen(validation_users=9000).rounds
    assert few.validation_users == 5 and few.validation_users * few.validation_sentences == 2000
    assert many.validation_users == 9000 and many.validation_sentences == 1


def test_every_reason_is_told(monkeypatch):
    monkeypatch.setattr(automatic, "_seconds_per_step", lambda sizes, client: 0.01)
    monkeypatch.setattr(automatic, "_CORES", 2)
    toml = automatic.experiment(TEXT, 'corpus = "chitchat"')
    config = config_files.parse(toml, [], "auto")
    *told, cost = automatic.reasons(toml, config, TEXT)
    assert len(told) == toml.count("#")
    assert told[0].startswith("Chosen for 690 training users with 792,209 words")
    assert any(line.startswith("server.learning_rate = 0.02 ") for line in told)
    assert all(re.search(r"\w", line) and "#" not in line for line in told)
    # 40 steps; 10,000 words and Gboard's sizes are 1.42 million weights of four bytes.
    assert cost == (
        "a round of 10 phones takes about 0.2 s here, and moves at most 5.7 MB to each phone "
        "and back"
    )


def test_training_has_the_time_that_the_rest_leaves(tiny_population, monkeypatch):
    monkeypatch.setattr(automatic, "_WORDS_PER_SECOND", 10.0)
    monkeypatch.setattr(automatic, "_COUNTED_PER_SECOND", 100.0)
    config = chosen()
    with Population.open(tiny_population) as population:
        in_time = automatic.in_time(config, population, time.monotonic() + 600)
        test, train = (
            sum(
                len(words(text))
                for user in population.users(split)
                for text in population.sentences(user)
            )
            for split in ("test", "train")
        )
    assert test > 500 and train > 2000
    afterwards = automatic._EXPORT_SECONDS + test / 10 + automatic._FIT_SECONDS + train / 100
    assert 60 * in_time.rounds.minutes == pytest.approx(600 - afterwards, abs=1)
    assert in_time.rounds.model_copy(update={"minutes": None}) == config.rounds


def test_without_time_to_train_nothing_begins(tiny_population):
    with (
        Population.open(tiny_population) as population,
        pytest.raises(UserError, match=r"--minutes: too few: .* take \d+\.\d more"),
    ):
        automatic.in_time(chosen(), population, time.monotonic() + 55)
