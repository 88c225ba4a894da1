"""A small model with opinions, its tokenizer, and the file made from it."""

import copy
import hashlib
import shutil

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from packages import METRICS, contents

from fedkeyboard import model
from fedkeyboard.ngrams import counts, fitting
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text.tokenizer import Tokenizer
from fedkeyboard.tflite_export import package
from fedkeyboard.tflite_export.files import convert, flatbuffer, signatures
from fedkeyboard.tflite_export.phone import probe
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.tflite_export.phone.litert import LiteModel
from fedkeyboard.updates.update_file import weights_sha256

TEXT = (
    "i you the to and it is a in that don't know are am how see at all about home tell will when "
    "on friday then we can go out ok good think café strasse οσ οδοσ hello 10 day rock roll right "
    "yes no what"
)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    made = Tokenizer.learn([[TEXT]], vocabulary_size=50, minimum_users=1, digits=True)
    assert len(made) == 50
    return made


@pytest.fixture(scope="session")
def sizes() -> model.Sizes:
    return model.Sizes(vocabulary=50, embedding=8, units=12, length=6)


@pytest.fixture(scope="session")
def ngrams(tokenizer, sizes) -> NGrams:
    """Of three people who say much the same."""
    said = ["I am going home", "how are you", "see you at home", "how are you", "I am good"]
    users = [tokenizer.text(said[i:], sizes.length).words for i in range(3)]
    counted = counts.count(users, sizes.vocabulary, order=4, minimum_users=2)
    return fitting.ngrams(counted, fitting.fit(counted, []))


@pytest.fixture(scope="session")
def make_weights():
    """Weights far from uniform predictions, so that a wrong word shows in every answer."""

    def make(sizes: model.Sizes, seed: int = 0) -> model.Weights:
        weights = model.initial_weights(sizes, seed)
        generator = np.random.default_rng(seed)
        return weights._replace(
            embedding=weights.embedding * np.float32(20),
            output_bias=generator.normal(0, 1, sizes.vocabulary).astype(np.float32),
        )

    return make


@pytest.fixture(scope="session")
def weights(sizes, make_weights) -> model.Weights:
    return make_weights(sizes)


@pytest.fixture(scope="session")
def to_file(tmp_path_factory):
    """Converts a module and returns the file's path."""

    def convert_module(module, names=signatures.INFERENCE_SIGNATURES):
        path = tmp_path_factory.mktemp("model") / "model.tflite"
        path.write_bytes(convert.convert(module, names))
        return path

    return convert_module


@pytest.fixture(scope="session")
def exported_path(to_file, weights, sizes):
    return to_file(signatures.InferenceModule(weights, sizes))


@pytest.fixture
def exported(exported_path) -> LiteModel:
    return LiteModel(exported_path)


@pytest.fixture(scope="session")
def training_path(to_file, weights, sizes):
    return to_file(signatures.TrainingModule(weights, sizes), signatures.TRAINING_SIGNATURES)


@pytest.fixture
def learner(training_path) -> Learner:
    return Learner(training_path)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """What somebody wrote, in words of the vocabulary."""
    return [
        "how are you",
        "i know that",
        "ok",
        "we can go out on friday",
        "see you at home then",
        "what is it in the home",
        "yes it is",
        "no i don't know",
        "tell me about it when you can",
        "i am good",
        "are you ok",
        "we can go on friday",
    ]


@pytest.fixture(scope="session")
def weights_apart():
    """Returns how far two models are apart: the largest difference of a weight."""

    def apart(one: model.Weights, other: model.Weights) -> float:
        return max(float(np.max(np.abs(a - b))) for a, b in zip(one, other, strict=True))

    return apart


@pytest.fixture(scope="session")
def made_to_harm():
    """Returns a function of a file that learns: one that ends the process which opens it."""

    def two_that_call_each_other(content):
        """Its initialisation calls another subgraph, which calls it: LiteRT's stack ends."""
        file = flatbuffer.unpack(content)
        (operator, *_) = (
            operator
            for graph in file.subgraphs
            for operator in graph.operators
            if flatbuffer.kind(file, operator) == schema.BuiltinOperator.CALL_ONCE
        )

        def call(subgraph):
            made = copy.copy(operator)
            made.builtinOptions = schema.CallOnceOptionsT(initSubgraphIndex=subgraph)
            return made

        number = operator.builtinOptions.initSubgraphIndex
        first = file.subgraphs[number]
        second = copy.copy(first)
        second.tensors, second.operators = [], [call(number)]
        file.subgraphs.append(second)
        first.operators = [call(len(file.subgraphs) - 1), *first.operators]
        return flatbuffer.pack(file)

    return two_that_call_each_other


@pytest.fixture(scope="session")
def _probed():
    return set()


@pytest.fixture
def probed_once(_probed, monkeypatch):
    """Has files that opened well in a process of their own not opened in another one again."""
    check = probe.check

    def once(*paths):
        digests = tuple(hashlib.sha256(path.read_bytes()).digest() for path in paths)
        if digests not in _probed:
            check(*paths)
            _probed.add(digests)

    monkeypatch.setattr(probe, "check", once)


@pytest.fixture(scope="session")
def training_record():
    """How a run says its weights were made, as far as a package needs it."""
    client = {"algorithm": "fedavg", "learning_rate": 0.5, "batch_size": 4, "epochs": 1}
    client |= {"clipping_norm": 5.0, "maximum_sentences": 9, "weighting": "uniform"}
    return {"rounds": 3, "settings": {"client": client}}


@pytest.fixture(scope="session")
def converted():
    """Makes a conversion one that remembers, since most packages here are of the same weights."""
    files = {}

    def remembering(convert):
        def of(weights, sizes, how):
            key = (convert.__name__, weights_sha256(weights), sizes, how)
            if key not in files:
                files[key] = convert(weights, sizes, how)
            return files[key]

        return of

    return remembering


@pytest.fixture
def export(weights, sizes, tokenizer, ngrams, training_record, converted, monkeypatch):
    for function in (package.inference_file, package.training_file):
        monkeypatch.setattr(package, function.__name__, converted(function))

    def run(directory, **changes):
        arguments = {
            "weights": weights,
            "sizes": sizes,
            "tokenizer": tokenizer,
            "ngrams": ngrams,
            "training": training_record,
            "metrics": METRICS,
            "precision": "float32",
            "train_storage": "float32",
        }
        return package.export(directory, **{**arguments, **changes})

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("made") / "export"


@pytest.fixture
def package_in(export, made):
    """Returns a function that puts the package of the default arguments into a place."""

    def put(directory):
        if not made.exists():
            export(made)
        shutil.copytree(made, directory)
        return contents(directory)

    return put


@pytest.fixture(scope="session")
def whole(tmp_path_factory, weights, sizes, tokenizer, ngrams, training_record):
    directory = tmp_path_factory.mktemp("package") / "export"
    package.export(
        directory,
        weights=weights,
        sizes=sizes,
        tokenizer=tokenizer,
        ngrams=ngrams,
        training=training_record,
        metrics=None,
    )
    return directory


@pytest.fixture
def broken(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "export")
