"""What several packages' tests need: real text, a tiny population of it, TFF's runtime."""

import asyncio
import gc
import itertools
import os
import signal

import hypothesis
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.corpora import chitchat
from fedkeyboard.data.population import Population
from fedkeyboard.data.prepare import prepare
from fedkeyboard.text.tokenizer import Tokenizer

# The machine may be busy: how long an example takes says nothing.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")

# A shell starts what goes on in the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# TensorFlow keeps millions of objects for ever: to look for garbage among them, again and again,
# is a seventh of all time.
gc.disable()


def pytest_collection_finish():
    gc.set_threshold(100_000, 50, 50)
    gc.enable()


# A file is one process's: what takes longest begins first, so that none is alone at the end.
_LONGEST = ("test_run.py", "test_aggregation.py", "test_verify.py", "test_package.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture(scope="session")
def corpus():
    """All messages of the bundled corpus."""
    return list(chitchat())


@pytest.fixture(scope="session")
def few_messages():
    """The corpus' first conversations; to read all of it takes seconds."""
    return list(itertools.islice(chitchat(), 4000))


@pytest.fixture(scope="session")
def tiny_population(few_messages, tmp_path_factory):
    """A population file of real users: those of the corpus' first conversations."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.sqlite"
    prepare(few_messages, path, source="tiny", cleaning=Cleaning(maximum_sentences=40), seed=3)
    return path


@pytest.fixture(scope="session")
def tiny_texts(tiny_population):
    """The sentences of each training phone of the tiny population."""
    with Population.open(tiny_population) as population:
        return [population.sentences(phone) for phone in population.phones("train")]


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_texts):
    return Tokenizer.learn(tiny_texts, vocabulary_size=300, minimum_users=2)


@pytest.fixture(scope="module")
def in_tff():
    """Runs a coroutine function with TFF's worker as its context; one worker a module."""
    from fedkeyboard.runtime.session import tff_runtime

    with tff_runtime():
        yield lambda function: asyncio.run(function())


@pytest.fixture(scope="session")
def simulated_round():
    """Returns a function of a run and its phones' rows: TFF's state after one round more.

    The phones begin with the run's model.
    """
    import tensorflow_federated as tff

    from fedkeyboard.algorithms import averaging, templates
    from fedkeyboard.runtime import session
    from fedkeyboard.simulation import checkpoints, processes, selection

    async def one_round(run, phones):
        process = processes.simulated(run)
        initial = await tff.program.materialize_value(process.initialize())
        begun = selection.begin(initial, run.config.rounds)
        kept, _ = await checkpoints.Checkpoints(run.path).load(begun)
        state = averaging.moved_to(kept.process, run.weights()[0])
        data = [templates.phone_data(rows) for rows in phones]
        return await tff.program.materialize_value(process.next(state, data).state)

    def run_one_round(run, phones):
        with session.tff_runtime():
            return asyncio.run(one_round(run, phones))

    return run_one_round
