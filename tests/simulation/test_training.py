"""The process of each algorithm's config line, and its state through a checkpoint."""

import asyncio

import numpy as np
import pytest
import tensorflow_federated as tff

from fedkeyboard.algorithms.templates import phone_data
from fedkeyboard.data.population import Population
from fedkeyboard.simulation import config_files, processes, rounds, runs, training
from fedkeyboard.simulation.checkpoints import Checkpoints
from fedkeyboard.simulation.cohorts import Reader
from fedkeyboard.simulation.fleet import fleet

SETTINGS = """
population.corpus = "chitchat"
model = { embedding = 6, units = 9, length = 8 }
client = { learning_rate = 0.5, batch_size = 4 }
server = { optimizer = "yogi", learning_rate = 0.05, epsilon = 1e-3, warmup_rounds = 2 }
rounds = { count = 3, cohort = 3 }
"""


@pytest.fixture
def run(tmp_path, tiny_tokenizer):
    """What training needs of a run, with some settings changed."""

    def opened(*overrides):
        (tmp_path / "tiny.toml").write_text(SETTINGS)
        settings = config_files.load(tmp_path / "tiny.toml", overrides)
        return runs.Run(tmp_path, settings, tiny_tokenizer)

    return opened


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["client.warmup_rounds=2", "client.decay_rounds=4"], marks=pytest.mark.heavy),
        pytest.param(["client.algorithm=fedsgd"], marks=pytest.mark.heavy),
        ["client.algorithm=mime_lite", "server.decay_rounds=5"],
    ],
    ids=["fedavg", "fedsgd", "mime_lite"],
)
def test_a_resumed_run_goes_on_as_an_unbroken_one(
    in_tff, run, tiny_texts, tiny_tokenizer, overrides
):
    opened = run(*overrides)
    process, checkpoints = processes.simulated(opened), Checkpoints(opened.path)
    data = [phone_data(tiny_tokenizer.rows(user, opened.sizes.length)) for user in tiny_texts[:3]]

    async def weights_of(state):
        return await tff.program.materialize_value(state.global_model_weights.trainable)

    async def unbroken_and_resumed():
        state = process.initialize()
        begun = await weights_of(state)
        for _ in range(2):
            state = process.next(state, data).state
        await checkpoints.save(await tff.program.materialize_value(state), 2)
        unbroken = process.next(state, data).state
        initial = await tff.program.materialize_value(process.initialize())
        resumed, done = await checkpoints.load(initial)
        assert done == 2
        resumed = process.next(resumed, data).state
        return begun, await weights_of(unbroken), await weights_of(resumed)

    for first, one, other in zip(*in_tff(unbroken_and_resumed), strict=True):
        assert np.abs(one - first).max() > 1e-4
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_a_perplexity_beyond_float32_is_released(tmp_path):
    """Of a model that is about to diverge; round 20 of a trial of a sweep had one."""
    manager = tff.program.TensorBoardReleaseManager(tmp_path)
    values = {"perplexity": 1e300, "loss": 700.0, "rejected": 3, "validation_top1_recall": None}
    with pytest.raises(ValueError, match="out of range"):
        asyncio.run(manager.release({"perplexity": 1e300}, 1))
    asyncio.run(manager.release(training.scalars(values), 1))
    assert training.scalars(values) == {"perplexity": np.inf, "loss": 700.0, "rejected": 3}


def test_what_tff_had_begun_to_write_goes_with_the_next_training(tmp_path, monkeypatch):
    path = tmp_path / "rounds.csv"
    manager = tff.program.CSVFileReleaseManager(path, key_fieldname="round")

    def killed(*_, **__):
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr("tensorflow.io.gfile.rename", killed)
        with pytest.raises(InterruptedError):
            asyncio.run(manager.release({"loss": 1.0}, 1))
    assert len(list(tmp_path.glob("rounds.csv?*"))) == 1
    rounds.keep(path, 0)
    assert not list(tmp_path.glob("rounds.csv?*"))


@pytest.mark.heavy
def test_a_poisson_round_without_phones_counts_and_changes_nothing(
    tmp_path, tiny_population, tiny_tokenizer, monkeypatch
):
    # As after a minute: the weights of each round, though the experiment says to save seldom.
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0)
    (tmp_path / "tiny.toml").write_text(
        """
        population.corpus = "chitchat"
        tokenizer.vocabulary_size = 300
        model = { embedding = 6, units = 9, length = 8 }
        client = { learning_rate = 0.5, maximum_sentences = 5 }
        server = { optimizer = "adam", learning_rate = 0.1, warmup_rounds = 2 }
        rounds = { count = 7, cohort = 1, checkpoint_every = 100 }
        fleet.sampling = "poisson"
        """
    )
    settings = config_files.load(tmp_path / "tiny.toml")
    weights, reported = {}, {}
    with Population.open(tiny_population) as population:
        run = runs.begin(tmp_path / "run", settings, population, tiny_tokenizer)

        def after(report):
            weights[report.round], number = run.weights()
            assert number == report.round
            reported[report.round] = report.reported

        reader = Reader(population, tiny_tokenizer, run.sizes.length, settings.seed)
        training.train(run, reader, fleet.of(settings, population), after)
    assert len(weights) == len(rounds.read(run.rounds_csv)) == 7
    # Adam's momentum would move the weights if the server took a step.
    assert {0} < set(reported.values())
    for number in range(2, 8):
        moved = any(
            np.any(new != old)
            for new, old in zip(weights[number], weights[number - 1], strict=True)
        )
        assert moved == (reported[number] > 0)
    assert [number for number in range(2, 8) if reported[number] == 0 < reported[number - 1]]
