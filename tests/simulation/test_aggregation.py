"""A round by phones in LiteRT against the same round simulated in TFF."""

import asyncio
import contextlib
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_federated as tff

from fedkeyboard import hashed, model
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.data.population import Population
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.simulation import (
    aggregation,
    assessment,
    checkpoints,
    config_files,
    directories,
    experiment,
    processes,
    rounds,
    runs,
    training,
)
from fedkeyboard.simulation.fleet import fleet
from fedkeyboard.tflite_export.files import convert, signatures
from fedkeyboard.tflite_export.phone import phone
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.updates import admission, update_file
from fedkeyboard.updates.update_file import weights_sha256

VOCABULARY = "7" * 64
PHONES = 3


@pytest.fixture(scope="module")
def run(tiny_population, tiny_tokenizer, tmp_path_factory):
    """A run with Adam and schedules, whose state is more than weights, after two rounds."""
    settings = config_files.load(
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
    rate = float(processes._client_schedule(run)(np.int32(2)))
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
        update_file.write(directory / f"{i}.npz", learned)
    return sorted(directory.iterdir())


@pytest.fixture(scope="module")
def composed():
    """The process of a run, composed once: it has no state of its own, and takes seconds."""
    compose, known = processes.of_updates, {}

    def remembered(run):
        key = (run.config.model_dump_json(), run.sizes)
        if key not in known:
            known[key] = compose(run)
        return known[key]

    return remembered


@pytest.fixture
def aggregate(run, learner, paths, composed, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "of_updates", composed)
    learner.reset()
    name = weights_sha256(learner.weights())

    of_fixture = run

    def aggregate(
        updates=paths,
        out=tmp_path / "next",
        run=of_fixture,
        minimum=None,
        on_refused=print,
        **changes,
    ):
        base = admission.Base(round=2, weights_sha256=name, vocabulary_sha256=VOCABULARY)
        return aggregation.aggregate(
            run, updates, out, base._replace(**changes), minimum=minimum, on_refused=on_refused
        )

    return aggregate


def test_phones_and_simulation_give_the_same_next_round(run, aggregate, phones, simulated_round):
    expected = simulated_round(run, phones)
    made = aggregate().run
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
        return await checkpoints.Checkpoints(made.path).load(template)

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


@pytest.mark.heavy
def test_the_next_run_goes_on(run, aggregate, tiny_population):
    made = runs.open_run(aggregate().run.path)
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
    assert_refused("package is of round 1, its last checkpoint of round 2", round=1)
    assert_refused("0.npz: the same update as", [paths[0], paths[0], paths[0]])
    assert_refused("no updates", [])
    assert_refused("1 of 3 updates can count, and a round needs 2", [paths[0], *["missing"] * 2])
    assert_refused("3 of 3 updates can count, and a round needs 4", minimum=4)


@pytest.fixture(scope="module")
def brought(run, paths):
    return update_file.read(paths[0], model.weight_shapes(run.sizes))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"purpose": "personal"}, "stays on its phone"),
        ({"weight": 1e9}, r"claims the weight 1e\+09, but counts as"),
        ({"weight": 0.0}, "claims the weight 0"),
        ({"sentences": 10**6, "weight": 1e6}, "client.maximum_sentences"),
        ({"sentences": 0, "weight": 0.0}, "of 0 sentences"),
        ({"learning_rate": 1e6}, "learning_rate is 1e\\+06, above the run's client.learning_rate"),
        ({"epochs": 500}, "epochs is 500, and the run's client.epochs 1"),
        ({"batch_size": 1}, "batch_size is 1, and the run's client.batch_size 4"),
        ({"clipping_norm": 1e6}, "clipping_norm is 1e\\+06"),
        ({"steps": 10**6}, "of 1000000 steps, where .* sentences make"),
    ],
)
def test_what_an_update_says_must_be_the_runs_own(
    run, aggregate, brought, changed, match, tmp_path
):
    metadata = brought.metadata.model_copy(update=changed)
    update_file.write(tmp_path / "changed.npz", brought._replace(metadata=metadata))
    with pytest.raises(UserError, match=match) as caught:
        aggregate([tmp_path / "changed.npz"])
    assert "changed.npz" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "next").exists()


@pytest.mark.parametrize("value", [1e10, 3e38, -1e3])
def test_no_update_moves_the_weights_further_than_its_steps_can(
    aggregate, brought, value, tmp_path
):
    moved = model.Weights(*(np.full_like(w, value) for w in brought.difference))
    update_file.write(tmp_path / "far.npz", brought._replace(difference=moved))
    with pytest.raises(UserError, match=r"far.npz: moves the weights by .* steps at learning_rate"):
        aggregate([tmp_path / "far.npz"])


def test_a_phone_whose_every_gradient_is_clipped_is_within_its_bound(
    run, learner, phones, aggregate, tmp_path
):
    """At the run's own rate the honest norm is nearly as large as can be."""
    of = run.config.client
    settings = LocalTraining(of.learning_rate, batch_size=4, clipping_norm=of.clipping_norm)
    base = learner.weights()
    learned = phone.learn(
        learner,
        phones[0][:4],
        settings,
        purpose="update",
        vocabulary_sha256=VOCABULARY,
        weight=4.0,
    )
    bound = of.learning_rate * of.clipping_norm
    scale = bound / admission.norm(learned.difference)
    at_bound = model.Weights(*(np.float32(scale) * d for d in learned.difference))
    # As a phone would have it: what is left of float32 weights when the start is taken off.
    at_bound = update_file.subtract(update_file.add(base, at_bound), base)
    update_file.write(tmp_path / "honest.npz", learned._replace(difference=at_bound))
    made = aggregate([tmp_path / "honest.npz"])
    assert made.updates == 1
    beyond = model.Weights(*(np.float32(1.01) * d for d in at_bound))
    update_file.write(tmp_path / "beyond.npz", learned._replace(difference=beyond))
    with pytest.raises(UserError, match="moves the weights"):
        aggregate([tmp_path / "beyond.npz"], out=tmp_path / "other")


def test_a_bad_update_is_refused_by_name_and_the_others_go_on(aggregate, paths, tmp_path):
    (tmp_path / "cut.npz").write_bytes(paths[1].read_bytes()[:500])
    said = []
    made = aggregate([paths[0], tmp_path / "cut.npz", *paths[1:]], on_refused=said.append)
    alone = aggregate(paths, out=tmp_path / "alone")
    assert made.updates == 3 and len(made.refused) == 1 and "cut.npz" in made.refused[0]
    assert said == [f"refused: {made.refused[0]}"]
    for one, other in zip(made.run.weights()[0], alone.run.weights()[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_round_that_changes_nothing_is_an_error(run, aggregate, brought, tmp_path):
    nothing = model.Weights(*map(np.zeros_like, brought.difference))
    update_file.write(tmp_path / "nothing.npz", brought._replace(difference=nothing))
    sgd = run.config.server.model_copy(update={"optimizer": "sgd"})
    # Of Adam the momentum moves the weights all the same.
    of_sgd = runs.Run(run.path, run.config.model_copy(update={"server": sgd}), run.tokenizer)
    with pytest.raises(RunFailure):
        aggregate([tmp_path / "nothing.npz"], run=of_sgd)
    assert not (tmp_path / "next").exists()


def test_rows_of_rounds_after_the_checkpoint_are_not_kept(run, aggregate, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    text = run.rounds_csv.read_text()
    last = text.splitlines()[-1]
    hashed.write_text(copy / "rounds.csv", text + last.replace("2,", "3,", 1) + "\n")
    made = aggregate(run=runs.Run(copy, run.config, run.tokenizer))
    assert [row["round"] for row in rounds.lines(made.run.rounds_csv)] == ["1", "2"]


def test_a_run_that_lost_the_figures_of_its_rounds_says_so(run, aggregate, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    (copy / "rounds.csv").unlink()
    made = runs.Run(copy, run.config, run.tokenizer)
    with pytest.raises(RunFailure, match="copy/rounds.csv: missing, with the figures of 2 rounds"):
        aggregate(run=made)
    assert not (tmp_path / "next/config.toml").exists()
    with pytest.raises(RunFailure, match="copy/rounds.csv: missing"):
        rounds.keep(made.rounds_csv, 2)


class Stopped(BaseException):
    """A kill, as near as can be: no handler of errors sees it."""


@pytest.fixture(scope="module")
def unbroken():
    """Weights and names of files of an aggregate that nothing stopped, once there is one."""
    return []


@pytest.mark.heavy
@pytest.mark.parametrize("at", range(14))
def test_the_same_command_goes_on_after_a_stop(
    aggregate, unbroken, paths, tmp_path, monkeypatch, at
):
    """Stopped as the n-th file of the new run is replaced."""
    out = tmp_path / "next"
    replace, replaced = pathlib.Path.replace, []

    def stop(path, target):
        if pathlib.Path(target).is_relative_to(out):
            if len(replaced) == at:
                raise Stopped
            replaced.append(target)
        return replace(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", stop)
    with contextlib.suppress(Stopped):
        aggregate(out=out)
    monkeypatch.undo()
    made = aggregate(out=out).run
    if not unbroken:
        whole = aggregate(out=tmp_path / "unbroken").run
        unbroken.append((whole.weights()[0], {path.name for path in whole.path.iterdir()}))
    [(weights, names)] = unbroken
    for one, other in zip(made.weights()[0], weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert {path.name for path in made.path.iterdir()} == names
    with pytest.raises(UserError, match="begun with other updates"):
        aggregate(paths[:2], out=out)
    (out / "export").mkdir()
    (out / "export/manifest.json").write_text("{}")
    with pytest.raises(UserError, match="has the run and its package already"):
        aggregate(out=out)
