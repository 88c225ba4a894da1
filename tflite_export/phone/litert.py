"""An exported file at work: suggestions and scores from a `.tflite`, through LiteRT.

The same runtime that the phones use (https://ai.google.dev/edge/litert), on one thread. TensorFlow
is not imported here, so that a suggestion does not wait seconds for it.
"""

import logging
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from fedkeyboard import files
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation.metrics import SUGGESTIONS
from fedkeyboard.text import spellings
from fedkeyboard.text.tokenizer import BEGIN, PAD, VOCABULARY_FILE, Tokenizer
from fedkeyboard.tflite_export import manifest
from fedkeyboard.tflite_export.phone import probe
from fedkeyboard.tflite_export.quiet import quiet_stderr

# Bytes of a file; a flatbuffer can have no more.
_MOST = 2**31
_IDENTIFIER = b"TFL3"

_LOG = logging.getLogger("fedkeyboard")


class LiteModel:
    """An open `.tflite` file with the signatures `step` and `score`
    (`fedkeyboard.tflite_export.files.signatures`).

    Attributes:
      vocabulary: Entries of the vocabulary it was trained with, V.
      start: The state before the first word of a sentence, by the names of the inputs.
    """

    def __init__(self, path: files.PathLike):
        """Opens a file.

        LiteRT believes what is in it: one that is damaged or made to harm may end the process
        (`open_file`, `fedkeyboard.tflite_export.phone.probe`).

        Raises:
          UserError: If `path` is not there, is no `.tflite`, or is one of something else.
        """
        self._path = pathlib.Path(path)
        with files.open_regular(path, at_most=_MOST) as file:
            begin = file.read(8)
        try:
            if begin[4:] != _IDENTIFIER:
                raise ValueError(begin)
            self._interpreter = Interpreter(str(path), num_threads=1)
            self._runners = {
                name: self._interpreter.get_signature_runner(name)
                for name in self._interpreter.get_signature_list()
            }
            self._check_signatures()  # Names that are not UTF-8 are a ValueError.
        except ValueError as error:
            raise UserError(
                f"{path}: not a .tflite file, or only part of one; export it again"
            ) from error
        scored = self._runners["score"].get_output_details()
        self.vocabulary = int(scored["log_probabilities"]["shape"][1])
        inputs = self._runners["step"].get_input_details()
        self.start = {
            name: np.zeros(inputs[name]["shape"], np.float32) for name in ("output", "cell")
        }
        # The first run allocates, and LiteRT then tells the terminal about its delegate.
        with quiet_stderr():
            self.run("step", word=np.array([BEGIN], np.int32), **self.start)

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Runs a signature once; inputs and outputs by name, as in
        `fedkeyboard.tflite_export.files.signatures`.

        Raises:
          UserError: If the file cannot do what it says.
        """
        try:
            return self._runners[signature](**inputs)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self._path}: LiteRT cannot run its signature {signature}: {reason}"
            ) from error

    def signatures(self) -> dict[str, Any]:
        """Returns what the file says of its signatures, for the manifest.

        By name of the signature, then "inputs" and "outputs", then by name: `shape` and `type`.
        """
        return {
            name: {
                "inputs": _described(runner.get_input_details()),
                "outputs": _described(runner.get_output_details()),
            }
            for name, runner in sorted(self._runners.items())
        }

    def suggest(self, ids: Sequence[int]) -> list[tuple[int, float]]:
        """Returns the likeliest words after a sentence's beginning, best first.

        Args:
          ids: Its words, without the begin token; any number.

        Returns:
          `SUGGESTIONS` pairs of a word's id and its probability among all V entries.

        Raises:
          UserError: If an id is not of this file's vocabulary.
        """
        self._check_ids(ids)
        state = self.start
        for word in (BEGIN, *ids):
            after = self.run("step", word=np.array([word], np.int32), **state)
            state = {name: after[name] for name in self.start}
        return list(
            zip(after["suggestions"][0].tolist(), after["probabilities"][0].tolist(), strict=True)
        )

    def log_probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Returns what the model says at each target of some sentences, in their order.

        Args:
          rows: int32 `[n, L + 1]`, such as `Text.words`; L is any.

        Returns:
          float32 `[N, V]`, N the targets that are not padding.

        Raises:
          UserError: If an id is not of this file's vocabulary.
        """
        self._check_ids(rows.ravel())
        real = rows[:, 1:] != PAD
        said = np.empty((np.count_nonzero(real), self.vocabulary), np.float32)
        place = 0
        for row, length in zip(rows, np.count_nonzero(real, axis=1), strict=True):
            state = self.start
            for t in range(length):
                after = self.run("score", word=row[t : t + 1], **state)
                state = {name: after[name] for name in self.start}
                said[place] = after["log_probabilities"][0]
                place += 1
        return said

    def _check_signatures(self) -> None:
        for name in ("step", "score"):
            if name not in self._runners:
                names = ", ".join(sorted(self._runners)) or "none"
                raise UserError(
                    f"{self._path}: not a fedkeyboard model: it has no signature {name} (has: "
                    f"{names}); export it again"
                )
        found = self.signatures()
        try:
            embedding = found["step"]["inputs"]["output"]["shape"][1]
            units = found["step"]["inputs"]["cell"]["shape"][1]
            vocabulary = found["score"]["outputs"]["log_probabilities"]["shape"][1]
        except (KeyError, IndexError):
            embedding = units = vocabulary = 0
        state = {"output": _float32(1, embedding), "cell": _float32(1, units)}
        inputs = {"word": {"shape": [1], "type": "int32"}, **state}
        suggested = {
            "suggestions": {"shape": [1, SUGGESTIONS], "type": "int32"},
            "probabilities": _float32(1, SUGGESTIONS),
        }
        expected = {
            "step": {"inputs": inputs, "outputs": {**suggested, **state}},
            "score": {
                "inputs": inputs,
                "outputs": {"log_probabilities": _float32(1, vocabulary), **state},
            },
        }
        for name in expected:
            if found[name] != expected[name]:
                raise UserError(
                    f"{self._path}: not a fedkeyboard model: the inputs and outputs of its "
                    f"signature {name} are others"
                )

    def _check_ids(self, ids: Sequence[int] | np.ndarray) -> None:
        if len(ids) and not 0 <= min(ids) <= max(ids) < self.vocabulary:
            raise UserError(
                f"{self._path}: has a vocabulary of {self.vocabulary} entries, but the text has "
                f"ids from {min(ids)} to {max(ids)}; use the tokenizer of the same run"
            )


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
        beside.exists() and _vocabulary(beside).vocabulary != tuple(vocabulary)
    ):
        raise UserError(f"{path}: exported with another vocabulary; evaluate it with its own run")
    return model


def suggest_words(
    path: files.PathLike, vocabulary_path: files.PathLike, text: str
) -> list[tuple[str, float]]:
    """Returns the likeliest next words after `text` and their probabilities, best first.

    Args:
      path: A `.tflite` file.
      vocabulary_path: The `vocabulary.txt` of the same package.
      text: What the user has typed so far; its last word counts as finished.

    Raises:
      UserError: If either file is missing or unreadable, or they do not belong together.
    """
    model = open_file(path)
    tokenizer = _vocabulary(pathlib.Path(vocabulary_path))
    if len(tokenizer) != model.vocabulary:
        raise UserError(
            f"{vocabulary_path}: has {len(tokenizer)} lines, but {path} has a vocabulary of "
            f"{model.vocabulary} entries; take both from one package"
        )
    return suggest_after(text, model, tokenizer)


def _vocabulary(path: pathlib.Path) -> Tokenizer:
    """Reads a `vocabulary.txt` that has what the manifest beside it says, if there is one.

    And its spellings, which are read with it.
    """
    if (path.parent / manifest.FILE).exists():
        check_beside(path)
        check_beside(path.with_name(spellings.FILE))
    return Tokenizer.load_vocabulary(path)


def suggest_after(text: str, model: LiteModel, tokenizer: Tokenizer) -> list[tuple[str, float]]:
    """Returns what `suggest_words` does, of an open file and its vocabulary."""
    suggested = model.suggest(tokenizer.encode(text))
    return [(tokenizer.shown[i], probability) for i, probability in suggested]


def _described(details: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"shape": detail["shape_signature"].tolist(), "type": np.dtype(detail["dtype"]).name}
        for name, detail in sorted(details.items())
    }


def _float32(*shape: int) -> dict[str, Any]:
    return {"shape": list(shape), "type": "float32"}
