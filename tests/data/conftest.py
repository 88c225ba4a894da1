import contextlib

import pytest

from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.prepare import prepare
from fedkeyboard.errors import UserError


@pytest.fixture
def refuses():
    """Checks that a block raises a UserError of one line with all of `parts`, none of `secrets`."""

    @contextlib.contextmanager
    def check(*parts, secrets=(), error=UserError):
        with pytest.raises(error) as caught:
            yield
        message = str(caught.value)
        assert type(caught.value) is error
        assert message and len(message.splitlines()) == 1
        for part in parts:
            assert str(part) in message
        for secret in secrets:
            assert secret not in message

    return check


@pytest.fixture
def file(tmp_path_factory):
    # Not tmp_path, whose name holds the parameters of the test, secrets among them.
    path = tmp_path_factory.mktemp("files") / "messages"

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture(scope="session")
def chitchat_population(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("chitchat") / "chitchat.sqlite"
    return path, prepare(corpus, path, source="chitchat", cleaning=Cleaning())


@pytest.fixture(scope="session")
def few(few_messages):
    """The first messages of the corpus: some 30 users, interleaved."""
    return few_messages[:2000]


@pytest.fixture
def population_file(few, tmp_path):
    path = tmp_path / "population.sqlite"
    prepare(few, path, source="few", cleaning=Cleaning())
    return path
