"""The phone package: a directory with all that a client needs, and its manifest.

    model_infer.tflite  the model that suggests (`fedkeyboard.tflite_export.files.signatures`)
    model_train.tflite  the model that also learns
    ngrams.bin          what n-grams say beside the model (`fedkeyboard.ngrams.model`)
    vocabulary.txt      a word a line; the line's number, from 0, is the id
    spellings.json      how words are shown, if not as they are (`fedkeyboard.text.spellings`)
    characters.json     what each character is to a word (`fedkeyboard.text.characters`)
    golden.json         examples that every client must reproduce
    (`fedkeyboard.tflite_export.golden`) manifest.json       format, versions, hashes, signatures,
    training record, what it is worth

A package is whole or not there, and has been verified (`fedkeyboard.tflite_export.verify`).
"""

import contextlib
import dataclasses
import datetime
import glob
import hashlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import tensorflow as tf

import fedkeyboard
from fedkeyboard import files, hashed, model
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.evaluation.metrics import SUGGESTIONS
from fedkeyboard.ngrams import model as ngram_model
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text import characters, spellings
from fedkeyboard.text.subwords import SubwordTokenizer
from fedkeyboard.text.tokenizer import SPECIAL, VOCABULARY_FILE, Tokenizer
from fedkeyboard.tflite_export import accuracy, golden, manifest, parity, verify
from fedkeyboard.tflite_export.files import convert, order, signatures, storage
from fedkeyboard.tflite_export.manifest import INFERENCE_FILE, TRAINING_FILE, Manifest, Precision
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.tflite_export.phone.litert import LiteModel
from fedkeyboard.updates.update_file import weights_sha256

NO_SUBWORDS = 'a model of sub-words cannot be exported; train with tokenizer.kind = "word"'

# What the name of a package ends with that is being made.
_PART = ".part"
# In there, the package that it takes the place of.
_OLD = "old"

# How the weights of the file that learns can be stored.
Storage = Literal["float32", "int8"]

_PRIVACY = (
    "Learned in a simulation of federated learning: each phone's text stayed with it, and the "
    "server used the average of what the phones of a cohort learned.{updates} At least "
    "{minimum_users} users wrote each word of the vocabulary.{ngrams} There is no differential "
    "privacy: the weights may hold what one person wrote."
)
_PRIVACY_OF_NGRAMS = " At least {users} wrote each of the phrases in ngrams.bin."
_PRIVACY_OF_UPDATES = (
    " In {rounds} further rounds phones sent update files, each of which the server could read."
)


class Unseen(NamedTuple):
    """Text that the model has not seen, to measure on what fewer bits cost.

    Attributes:
      split: Whose it is.
      users: Each user's int32 `[n, T + 1]` sentences.
      sentences_per_user: At most so many of each, if not all.
    """

    split: str
    users: Iterable[np.ndarray]
    sentences_per_user: int | None = None


def export(
    output_dir: files.PathLike,
    *,
    weights: model.Weights,
    sizes: model.Sizes,
    tokenizer: Tokenizer,
    ngrams: NGrams | None = None,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any] | None,
    unseen: Unseen | None = None,
    precision: Precision = "int8",
    train_storage: Storage = "int8",
) -> verify.Report:
    """Writes a phone package, in place of an older one if there is one.

    Args:
      output_dir: The package; absent, empty, or a package.
      weights: NumPy arrays of `model.weight_shapes(sizes)`.
      sizes: The model's sizes.
      tokenizer: Of `sizes.vocabulary` entries.
      ngrams: What is mixed with the model, if there are any.
      training: How the weights were made, for the manifest; as JSON. Its `settings.client` says how
        phones go on (`manifest.Client`).
      metrics: The final evaluation, for the manifest; as JSON.
      unseen: What accuracy is measured on; without it the manifest has none.
      precision: Of the file that suggests.
      train_storage: Of the file that learns, which computes in float32.

    Returns:
      What verification found.

    Raises:
      UserError: If `output_dir` is something else than a package, or the arguments do not fit
        together. It is then as it was.
      RunFailure: If the model cannot be converted, a file disagrees with the weights, or the disk
        fails. `output_dir` is then as it was.
    """
    target = pathlib.Path(output_dir).resolve()
    _check_replaceable(target)
    _check_model(weights, sizes, tokenizer, ngrams)
    mixed_in = NGrams.none(sizes.vocabulary) if ngrams is None else ngrams
    # float32 also for the proof that the conversion is right.
    all_of_them = get_args(Precision)
    wanted = all_of_them if unseen is not None else {precision, "float32"}
    inference = {
        each: inference_file(weights, sizes, each) for each in all_of_them if each in wanted
    }
    learning = training_file(weights, sizes, train_storage)
    try:
        with _replacing_directory(target) as directory:
            files.write_bytes(directory / INFERENCE_FILE, inference[precision])
            files.write_bytes(directory / TRAINING_FILE, learning)
            files.write_bytes(directory / ngram_model.FILE, mixed_in.dump())
            tokenizer.save_vocabulary(directory / VOCABULARY_FILE)
            files.write_bytes(directory / characters.FILE, characters.PATH.read_bytes())
            exported = LiteModel(directory / INFERENCE_FILE)
            learner = Learner(directory / TRAINING_FILE)
            opened = learner.weights()
            examples = golden.content(exported, mixed_in, learner, tokenizer, sizes.length)
            _write_json(directory / golden.FILE, examples)
            if precision != "float32":  # Which verification holds against the weights itself.
                _check_conversion(inference["float32"], weights, sizes, tokenizer)
            stored = {
                INFERENCE_FILE: precision,
                TRAINING_FILE: train_storage,
                ngram_model.FILE: None,
                VOCABULARY_FILE: None,
                spellings.FILE: None,
                characters.FILE: None,
                golden.FILE: None,
            }
            content = Manifest(
                format=manifest.Format(name=manifest.FORMAT_NAME, version=manifest.FORMAT_VERSION),
                fedkeyboard=fedkeyboard.__version__,
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                model=manifest.Model(
                    **dataclasses.asdict(sizes),
                    weights=sum(weight.size for weight in weights),
                    weights_sha256=weights_sha256(opened),
                ),
                files={name: _described(directory / name, of) for name, of in stored.items()},
                signatures={
                    INFERENCE_FILE: exported.signatures(),
                    TRAINING_FILE: learner.signatures(),
                },
                runtimes={
                    "tensorflow": tf.__version__,
                    "ai-edge-litert": importlib.metadata.version("ai-edge-litert"),
                },
                training=dict(training),
                metrics=None if metrics is None else dict(metrics),
                accuracy=None
                if unseen is None
                else _accuracy(unseen, inference, mixed_in, opened, sizes, train_storage),
                privacy=manifest.Privacy(statement=_privacy(training)),
                sha256=hashlib.sha256().hexdigest(),  # Until it is sealed.
            )
            _write_json(directory / manifest.FILE, content.model_dump())
            report = verify.verify(directory, weights)
            report.require(f"{output_dir}: not written")
    except OSError as error:
        raise RunFailure(f"{output_dir}: could not be written: {error.strerror}") from error
    return report


def inference_file(weights: model.Weights, sizes: model.Sizes, precision: Precision) -> bytes:
    """Returns the bytes of a `model_infer.tflite`."""
    module = signatures.InferenceModule(weights, sizes)
    return convert.convert(module, signatures.INFERENCE_SIGNATURES, precision)


def training_file(weights: model.Weights, sizes: model.Sizes, stored: Storage) -> bytes:
    """Returns the bytes of a `model_train.tflite`."""
    module = signatures.TrainingModule(weights, sizes)
    content = convert.convert(module, signatures.TRAINING_SIGNATURES)
    return order.read_late(storage.store_int8(content) if stored == "int8" else content)


def _check_conversion(
    content: bytes, weights: model.Weights, sizes: model.Sizes, tokenizer: Tokenizer
) -> None:
    sentences = golden.text_ids(tokenizer, sizes.length)
    with _opened({"float32": content}) as exported:
        parity.check(exported["float32"], weights, sizes, sentences)


def _accuracy(
    unseen: Unseen,
    inference: Mapping[Precision, bytes],
    ngrams: NGrams,
    opened: model.Weights,
    sizes: model.Sizes,
    train_storage: Storage,
) -> manifest.Accuracy:
    contents = dict(inference)
    if train_storage != "float32":
        # The file that learns computes as this one does (`verify`), which is quicker.
        contents["learning"] = inference_file(opened, sizes, "float32")
    with _opened(contents) as exported:
        users, hits = accuracy.measure(exported, ngrams, unseen.users)
    of_learning = hits.pop("learning", hits["float32"])
    return manifest.Accuracy(
        split=unseen.split,
        users=users,
        sentences_per_user=unseen.sentences_per_user,
        words=of_learning.words,
        inference={each: manifest.Recall(**of.recall()) for each, of in hits.items()},
        training={train_storage: manifest.Recall(**of_learning.recall())},
    )


@contextlib.contextmanager
def _opened(contents: Mapping[str, bytes]) -> Iterator[dict[str, LiteModel]]:
    """Opens files that are not part of a package."""
    with tempfile.TemporaryDirectory() as directory:
        paths = {name: pathlib.Path(directory, f"{name}.tflite") for name in contents}
        for name, path in paths.items():
            path.write_bytes(contents[name])
        yield {name: LiteModel(path) for name, path in paths.items()}


def _privacy(training: Mapping[str, Any]) -> str:
    settings = training.get("settings", {})
    tokenizer, ngrams = settings.get("tokenizer", {}), settings.get("ngrams", {})
    rounds = len(training.get("rounds_of_updates", []))
    return _PRIVACY.format(
        minimum_users=tokenizer.get("minimum_users", 1),
        updates=_PRIVACY_OF_UPDATES.format(rounds=rounds) if rounds else "",
        ngrams=_PRIVACY_OF_NGRAMS.format(users=ngrams.get("minimum_users", 1))
        if ngrams.get("order")
        else "",
    )


def _check_replaceable(target: pathlib.Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target}: is a file; name a directory for the phone package")
    there = {path.name for path in target.iterdir()}
    strange = sorted(there - manifest.names(target))
    if strange:
        raise UserError(
            f"{target}: holds {strange[0]}, which is not a phone package's; name another directory"
        )


def _check_model(
    weights: model.Weights, sizes: model.Sizes, tokenizer: Tokenizer, ngrams: NGrams | None
) -> None:
    if isinstance(tokenizer, SubwordTokenizer):
        raise UserError(NO_SUBWORDS)
    if len(tokenizer) != sizes.vocabulary:
        raise UserError(
            f"the tokenizer has {len(tokenizer)} entries, the model {sizes.vocabulary}; take both "
            "from one run"
        )
    if ngrams is not None and ngrams.trie.vocabulary != sizes.vocabulary:
        raise UserError(
            f"the n-grams are of {ngrams.trie.vocabulary} entries, the model of "
            f"{sizes.vocabulary}; take both from one run"
        )
    if sizes.vocabulary < len(SPECIAL) + SUGGESTIONS:
        raise UserError(
            f"a vocabulary of {sizes.vocabulary} entries has fewer than {SUGGESTIONS} words to "
            "suggest; bring more text"
        )
    for name, weight, shape in zip(
        model.Weights._fields, weights, model.weight_shapes(sizes), strict=True
    ):
        if weight.shape != shape:
            raise UserError(f"the weight {name} has the shape {weight.shape}, not {shape}")
        if not np.all(np.isfinite(weight)):
            raise RunFailure(
                f"the weight {name} is not finite: training has diverged; lower the learning rate"
            )


@contextlib.contextmanager
def _replacing_directory(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a new directory that becomes `target` on success; on failure `target` is as it was.

    A process killed between the two renames leaves no `target`; the next one has it again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _take_up(target)
    made = tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)
    with files.locked(made):
        beside = pathlib.Path(f"{made}{_PART}")
        # Not before it is locked.
        os.rename(made, beside)
        new = beside / "new"
        try:
            new.mkdir()
            yield new
            files.sync(new)
            if target.exists():
                target.rename(beside / _OLD)
            new.rename(target)
            files.sync(target.parent)
        finally:
            _put_back(beside, target)


def _put_back(beside: pathlib.Path, target: pathlib.Path) -> None:
    """Ends a replacement: the old package is in place again if no new one is, and the rest goes."""
    if (beside / _OLD).exists() and not target.exists():
        (beside / _OLD).rename(target)
    shutil.rmtree(beside, ignore_errors=True)


def _take_up(target: pathlib.Path) -> None:
    """Ends the replacements that killed processes have begun."""
    for beside in target.parent.glob(f".{glob.escape(target.name)}.*{_PART}/"):
        try:
            with files.locked(beside):
                _put_back(beside, target)
        except RunFailure:
            # Of a process that is at it.
            continue


def _write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes JSON in ASCII: no editor or tool on the way can then normalise the examples' text."""
    try:
        if path.name == manifest.FILE:
            text = hashed.sealed(content)
        else:
            text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise RunFailure(
            f"{path.name}: holds a number that JSON has not (NaN or infinity)"
        ) from error
    files.write_text(path, text)


def _described(path: pathlib.Path, precision: Precision | None) -> manifest.File:
    content = path.read_bytes()
    return manifest.File(
        bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), precision=precision
    )
