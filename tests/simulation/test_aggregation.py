"""A round by phones in LiteRT against the same round simulated in TFF."""

import asyncio
import shutil

import numpy as np
import pytest
import tensorflow_federated as tff

from data.population import Population
from fedkeyboard import model, update
from fedkeyboard.errors import UserError
from fedkeyboard.local_training import LocalTraining
from simulation import (
    aggregation,
    assessment,
    config,
    directories,
    experiment,
    fleet,
    runs,
    training,
)
from tflite_export import convert, phone, signatures
from tflite_export.learner import Learner, weights_sha256

VOCABULARY = "7" * 64
PHONES = 3


@pytest.fixture(scope="module")
def run(tiny_population, tiny_tokenizer, tmp_path_factory):
    """A run with Adam and schedules, whose state is more than weights, after two rounds."""
    settings = config.load(
        "simulation/configs/chitchat.toml",
        [
            *("model.embedding=6", "model.units=9", "model.length=8"),
            *("rounds.count=2", "rounds.cohort=3", "rounds.validate_every=2"),
            *("client.batch_size=4", "client.learning_rate=0.3", "client.decay_rounds=50"),
            *("server.optimizer=adam", "server.learning_rate=0.01", "server.warmup_rounds=5"),
        ],
    )
    settings = experiment.on_population(settings, tiny_population)
    path = tmp_path_factory.mktemp("runs") / "one"
    with Population.open(tiny_population) as population, directories.claimed(path):
        made = runs.begin(path, settings, population, tiny_tokenizer)
        training.train(
            made,
            assessment.reader(made, population),
            fleet.of(settings, population),
            lambda report: None,
        )
    return made


@pytest.fixture(scope="module")
def learner(run, tmp_path_factory):
    weights, _ = run.weights()
    path = tmp_path_factory.mktemp("phone") / "model_train.tflite"
    module = signatures.TrainingModule(weights, run.sizes)
    path.write_bytes(convert.convert(module, signatures.TRAINING_SIGNATURES))
    return Learner(path)


@pytest.fixture(scope="module")
def phones(run, tiny_texts):
    return [run.tokenizer.rows(text, run.sizes.length) for text in tiny_texts[:PHONES]]


@pytest.fixture(scope="module")
def paths(run, learner, phones, tmp_path_factory):
    """What the phones send after their round, at the rate that the schedule has reached."""
    rate = float(training.client_schedule(run)(np.int32(2)))
    client = run.config.client
    settings = LocalTraining(rate, batch_size=4, clipping_norm=client.clipping_norm)
    directory = tmp_path_factory.mktemp("updates")
    for i, rows in enumerate(phones):
        learned = phone.learn(
            learner,
            rows,
            settings,
            purpose="update",
            vocabulary_sha256=VOCABULARY,
            weight=float(len(rows)),
        )
        update.write(directory / f"{i}.npz", learned)
    return sorted(directory.iterdir())


@pytest.fixture
def aggregate(run, learner, paths, tmp_path):
    learner.reset()
    name = weights_sha256(learner.weights())

    def aggregate(updates=paths, out=tmp_path / "next", **changes):
        base = aggregation.Base(round=2, weights_sha256=name, vocabulary_sha256=VOCABULARY)
        return aggregation.aggregate(run, updates, out, base._replace(**changes))

    return aggregate


def test_phones_and_simulation_give_the_same_next_round(run, aggregate, phones, simulated_round):
    expected = simulated_round(run, phones)
    made = aggregate()
    weights, number = made.weights()
    assert number == 3
    assert made.training_record()["rounds_of_updates"] == [3]
    was, _ = run.weights()
    for name, mine, theirs, before in zip(
        model.Weights._fields,
        weights,
        expected.global_model_weights.trainable,
        was,
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5, err_msg=name)
        assert np.max(np.abs(mine - before)) > 1e-4

    async def load(template):
        return await training.Checkpoints(made).load(template)

    state, number = asyncio.run(load(expected))
    assert number == 3
    # Moments and the rounds of both schedules too.
    leaves = zip(
        tff.structure.flatten(tff.structure.from_container(state, recursive=True)),
        tff.structure.flatten(tff.structure.from_container(expected, recursive=True)),
        strict=True,
    )
    for mine, theirs in leaves:
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def test_the_next_run_goes_on(run, aggregate, tiny_population):
    made = runs.open_run(aggregate().path)
    assert made.config.rounds.count == 3 and len(made.tokenizer) == len(run.tokenizer)
    longer = made.config.rounds.model_copy(update={"count": 4})
    settings = made.config.model_copy(update={"rounds": longer})
    seen = []
    with Population.open(tiny_population) as population, directories.claimed(made.path):
        going_on = runs.begin(made.path, settings, population, made.tokenizer)
        training.train(
            going_on,
            assessment.reader(going_on, population),
            fleet.of(settings, population),
            seen.append,
        )
    assert [report.round for report in seen] == [4]


def test_what_does_not_belong_to_the_round_is_refused(run, aggregate, paths, tmp_path):
    def assert_refused(match, updates=paths, **changes):
        with pytest.raises(UserError, match=match) as caught:
            aggregate(updates, **changes)
        assert "\n" not in str(caught.value) and not (tmp_path / "next").exists()

    assert_refused("trained from another package", weights_sha256="3" * 64)
    assert_refused("trained from another package", vocabulary_sha256="3" * 64)
    assert_refused("No such file", [*paths, tmp_path / "missing.npz"])
    assert_refused("package is of round 1, its last checkpoint of round 2", round=1)
    shutil.copy(paths[0], tmp_path / "again.npz")
    assert_refused("again.npz: the same update as .*0.npz", [*paths, tmp_path / "again.npz"])
    assert_refused("the same update as", [paths[0], paths[0]])
    assert_refused("no updates", [])
    brought = update.read(paths[0], model.weight_shapes(run.sizes))
    more = brought.metadata.sentences + 1
    metadata = brought.metadata.model_copy(update={"sentences": more, "weight": float(more)})
    update.write(tmp_path / "again.npz", brought._replace(metadata=metadata))
    assert_refused("again.npz: the same update as .*0.npz", [*paths, tmp_path / "again.npz"])
    for changed, match in (
        ({"purpose": "personal"}, "stays on its phone"),
        ({"weight": 1e39}, r"claims the weight 1e\+39, but counts as"),
        ({"weight": 0.0}, "claims the weight 0"),
        ({"sentences": 10**6, "weight": 1e6}, "client.maximum_sentences"),
        ({"sentences": 0, "weight": 0.0}, "of 0 sentences"),
    ):
        metadata = brought.metadata.model_copy(update=changed)
        update.write(tmp_path / "changed.npz", brought._replace(metadata=metadata))
        assert_refused(match, [tmp_path / "changed.npz"])


def test_only_federated_averaging_takes_updates(run, paths, tmp_path):
    client = run.config.client.model_copy(update={"algorithm": "fedsgd"})
    other = runs.Run(run.path, run.config.model_copy(update={"client": client}), run.tokenizer)
    with pytest.raises(UserError, match='algorithm = "fedavg"'):
        aggregation.aggregate(
            other, paths, tmp_path / "next", aggregation.Base(2, "1" * 64, VOCABULARY)
        )
