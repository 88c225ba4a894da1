"""The phone package: a directory with all that a client needs, and its manifest.

    model_infer.tflite  the model (`tflite_export.signatures`), float32
    vocabulary.txt      a word a line; the line's number, from 0, is the id
    golden.json         examples that every client must reproduce (`tflite_export.golden`)
    manifest.json       format, versions, sizes, hashes, signatures, training record, metrics

A package is whole or not there, and its file has been held against the trained weights.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

import fedkeyboard
from fedkeyboard import files, model
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.metrics import SUGGESTIONS
from fedkeyboard.subwords import SubwordTokenizer
from fedkeyboard.tokenizer import SPECIAL, VOCABULARY_FILE, Tokenizer
from tflite_export import convert, golden, parity, signatures
from tflite_export.litert import LiteModel

INFERENCE_FILE = "model_infer.tflite"
GOLDEN_FILE = "golden.json"
MANIFEST_FILE = "manifest.json"

NO_SUBWORDS = 'a model of sub-words cannot be exported; train with tokenizer.kind = "word"'

FORMAT_NAME = "fedkeyboard-phone-package"
FORMAT_VERSION = 1


def export(
    output_dir: files.PathLike,
    *,
    weights: model.Weights,
    sizes: model.Sizes,
    tokenizer: Tokenizer,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes a phone package, in place of an older one if there is one.

    Args:
      output_dir: The package; absent, empty, or a package.
      weights: NumPy arrays of `model.weight_shapes(sizes)`.
      sizes: The model's sizes.
      tokenizer: Of `sizes.vocabulary` entries.
      training: How the weights were made, for the manifest; as JSON.
      metrics: The final evaluation, for the manifest; as JSON.

    Returns:
      The manifest.

    Raises:
      UserError: If `output_dir` is something else than a package, or the arguments do not fit
        together. It is then as it was.
      RunFailure: If the model cannot be converted, the file disagrees with the weights, or the
        disk fails. `output_dir` is then as it was.
    """
    target = pathlib.Path(output_dir).resolve()
    _check_replaceable(target)
    _check_model(weights, sizes, tokenizer)
    content = convert.convert(
        signatures.InferenceModule(weights, sizes), signatures.INFERENCE_SIGNATURES
    )
    try:
        with _replacing_directory(target) as directory:
            files.write_bytes(directory / INFERENCE_FILE, content)
            exported = LiteModel(directory / INFERENCE_FILE)
            sentences = [tokenizer.encode(text) for text in golden.texts(sizes.length)]
            parity.check(exported, weights, sizes, sentences)
            tokenizer.save_vocabulary(directory / VOCABULARY_FILE)
            examples = golden.examples(exported, tokenizer, sizes.length)
            _write_json(directory / GOLDEN_FILE, {"examples": examples})
            manifest = {
                "format": {"name": FORMAT_NAME, "version": FORMAT_VERSION},
                "fedkeyboard": fedkeyboard.__version__,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "model": {
                    **dataclasses.asdict(sizes),
                    "weights": sum(weight.size for weight in weights),
                },
                "files": {
                    name: _described(directory / name)
                    for name in (INFERENCE_FILE, VOCABULARY_FILE, GOLDEN_FILE)
                },
                "signatures": {INFERENCE_FILE: exported.signatures()},
                "runtimes": {
                    "tensorflow": tf.__version__,
                    "ai-edge-litert": importlib.metadata.version("ai-edge-litert"),
                },
                "training": training,
                "metrics": metrics,
            }
            _write_json(directory / MANIFEST_FILE, manifest)
    except OSError as error:
        raise RunFailure(f"{output_dir}: could not be written: {error.strerror}") from error
    return manifest


def load_manifest(directory: files.PathLike) -> dict[str, Any]:
    """Reads the manifest of a phone package.

    Raises:
      UserError: If there is none, or one of a format that this version does not know.
    """
    manifest = _read_manifest(pathlib.Path(directory))
    if manifest is None:
        raise UserError(f"{directory}: not a phone package; write one with `fedkeyboard export`")
    version = manifest["format"].get("version")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{directory}: a phone package of format {version}; fedkeyboard "
            f"{fedkeyboard.__version__} reads format {FORMAT_VERSION}, so export it again"
        )
    return manifest


def _read_manifest(directory: pathlib.Path) -> dict[str, Any] | None:
    """Returns a package's manifest, of any version; None if `directory` is no package."""
    try:
        manifest = json.loads((directory / MANIFEST_FILE).read_bytes())
        return manifest if manifest["format"]["name"] == FORMAT_NAME else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_replaceable(target: pathlib.Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target}: is a file; name a directory for the phone package")
    if any(target.iterdir()) and _read_manifest(target) is None:
        raise UserError(
            f"{target}: holds files that are not a phone package; name another directory"
        )


def _check_model(weights: model.Weights, sizes: model.Sizes, tokenizer: Tokenizer) -> None:
    if isinstance(tokenizer, SubwordTokenizer):
        raise UserError(NO_SUBWORDS)
    if len(tokenizer) != sizes.vocabulary:
        raise UserError(
            f"the tokenizer has {len(tokenizer)} entries, the model {sizes.vocabulary}; take both "
            "from one run"
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

    A process killed between the two renames leaves no `target`; the old one is then whole in a
    hidden directory beside it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = pathlib.Path(
        tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    )
    new, old = beside / "new", beside / "old"
    try:
        new.mkdir()
        yield new
        files.sync(new)
        if target.exists():
            target.rename(old)
        new.rename(target)
        files.sync(target.parent)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(beside, ignore_errors=True)


def _write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes JSON in ASCII: no editor or tool on the way can then normalise the examples' text."""
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError as error:
        raise RunFailure(
            f"{path.name}: holds a number that JSON has not (NaN or infinity)"
        ) from error
    files.write_text(path, text + "\n")


def _described(path: pathlib.Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
