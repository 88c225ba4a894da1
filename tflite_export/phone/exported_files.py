"""Exported files by their paths: opened, held against the manifest beside them, and suggesting."""

import logging
import pathlib
from collections.abc import Sequence

from fedkeyboard import files
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.evaluation.metrics import SUGGESTIONS
from fedkeyboard.ngrams import model as ngram_model
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text import spellings
from fedkeyboard.text.tokenizer import VOCABULARY_FILE, Tokenizer
from fedkeyboard.tflite_export import manifest
from fedkeyboard.tflite_export.phone import probe
from fedkeyboard.tflite_export.phone.litert import LiteModel

_LOG = logging.getLogger("fedkeyboard")


def inference_file(path: files.PathLike) -> pathlib.Path:
    """Returns the exported file that `path` means: itself, or that of a package or a run.

    Raises:
      UserError: If the run has not been exported.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        return path
    if (path / manifest.FILE).exists():
        return path / manifest.INFERENCE_FILE
    exported = path / "export" / manifest.INFERENCE_FILE
    if not exported.exists():
        raise UserError(f"{path}: has no exported model; write it with `fedkeyboard export {path}`")
    return exported


def open_file(path: files.PathLike) -> LiteModel:
    """Opens a `.tflite` file that is of a package, or of no one knows what.

    The manifest beside it says what it must hold. Without, a child process opens it first, and a
    line says that nothing is known of it.

    Raises:
      UserError: As `LiteModel`, or if the manifest is damaged.
      RunFailure: If it has other contents than the manifest says, or the child process died.
    """
    path = pathlib.Path(path)
    if not check_beside(path):
        probe.check(path)
    return LiteModel(path)


def check_beside(path: pathlib.Path) -> bool:
    """Checks a file against the manifest of its package; False, and a line, if it has none.

    Raises:
      UserError: As `manifest.load` and `manifest.check_file`.
    """
    if not (path.parent / manifest.FILE).exists():
        files.open_regular(path).close()
        _LOG.warning("%s: no %s beside it, so damage would not be noticed", path, manifest.FILE)
        return False
    manifest.check_file(path.parent, manifest.load(path.parent), path.name)
    return True


def open_of_vocabulary(path: files.PathLike, vocabulary: Sequence[str]) -> LiteModel:
    """Opens a `.tflite` file that must have been exported with `vocabulary`.

    Raises:
      UserError: As `open_file`; or if it has another size, or the `vocabulary.txt` beside it, if
        any, has other words.
    """
    model = open_file(path)
    beside = pathlib.Path(path).with_name(VOCABULARY_FILE)
    if model.vocabulary != len(vocabulary) or (
        beside.exists() and _read_vocabulary(beside).vocabulary != tuple(vocabulary)
    ):
        raise UserError(f"{path}: exported with another vocabulary; evaluate it with its own run")
    return model


def suggest_words(
    path: files.PathLike, vocabulary_path: files.PathLike, text: str
) -> list[tuple[str, float]]:
    """Returns the likeliest next words after `text` and their probabilities, best first.

    With the n-grams of the package, if `path` is of one.

    Args:
      path: A `.tflite` file.
      vocabulary_path: The `vocabulary.txt` of the same package.
      text: What the user has typed so far; its last word counts as finished.

    Raises:
      UserError: If a file is missing or unreadable, or they do not belong together.
    """
    model = open_file(path)
    tokenizer = _read_vocabulary(pathlib.Path(vocabulary_path))
    if len(tokenizer) != model.vocabulary:
        raise UserError(
            f"{vocabulary_path}: has {len(tokenizer)} lines, but {path} has a vocabulary of "
            f"{model.vocabulary} entries; take both from one package"
        )
    ngrams = NGrams.none(len(tokenizer))
    if pathlib.Path(path).with_name(manifest.FILE).exists():
        beside = pathlib.Path(path).with_name(ngram_model.FILE)
        check_beside(beside)
        ngrams = read_ngrams(beside, len(tokenizer))
    return suggest_after(text, model, ngrams, tokenizer)


def suggest_after(
    text: str, model: LiteModel, ngrams: NGrams, tokenizer: Tokenizer
) -> list[tuple[str, float]]:
    """Returns what `suggest_words` does, of open files."""
    ids = tokenizer.encode(text)
    suggested = ngrams.suggest(ids, model.next_word(ids), SUGGESTIONS)
    return [(tokenizer.shown[i], probability) for i, probability in suggested]


def read_ngrams(path: files.PathLike, vocabulary: int) -> NGrams:
    """Reads the n-grams of a package with so many entries.

    Raises:
      UserError: If they cannot be read.
      RunFailure: If they are damaged, or of another vocabulary.
    """
    content = files.read_bytes(path, at_most=ngram_model.MOST_BYTES)
    try:
        return ngram_model.load(content, vocabulary)
    except ValueError as error:
        raise RunFailure(f"{path}: {error}; export the package again") from error


def _read_vocabulary(path: pathlib.Path) -> Tokenizer:
    """Reads a `vocabulary.txt` that has what the manifest beside it says, if there is one.

    And its spellings, which are read with it.
    """
    if (path.parent / manifest.FILE).exists():
        check_beside(path)
        check_beside(path.with_name(spellings.FILE))
    return Tokenizer.load_vocabulary(path)
