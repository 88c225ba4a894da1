"""An exported file at work: suggestions and scores from a `.tflite`, through LiteRT.

The same runtime that the phones use (https://ai.google.dev/edge/litert), on one thread. TensorFlow
is not imported here, so that a suggestion does not wait seconds for it.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from fedkeyboard import files
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation.metrics import SUGGESTIONS
from fedkeyboard.text.tokenizer import BEGIN, PAD
from fedkeyboard.tflite_export.quiet import quiet_stderr

# Bytes of a file; a flatbuffer can have no more.
_MOST = 2**31
_IDENTIFIER = b"TFL3"


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
        (`fedkeyboard.tflite_export.phone.exported_files`).

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

        What the file alone says, by `step`; a keyboard mixes n-grams with it
        (`fedkeyboard.tflite_export.phone.exported_files`).

        Args:
          ids: Its words, without the begin token; any number.

        Returns:
          `SUGGESTIONS` pairs of a word's id and its probability among all V entries.

        Raises:
          UserError: If an id is not of this file's vocabulary.
        """
        after = self._after("step", ids)
        return list(
            zip(after["suggestions"][0].tolist(), after["probabilities"][0].tolist(), strict=True)
        )

    def next_word(self, ids: Sequence[int]) -> np.ndarray:
        """Returns the log-probabilities, float32 `[V]`, of the next word; else as `suggest`."""
        return self._after("score", ids)["log_probabilities"][0]

    def _after(self, signature: str, ids: Sequence[int]) -> dict[str, np.ndarray]:
        self._check_ids(ids)
        state = self.start
        for word in (BEGIN, *ids):
            after = self.run(signature, word=np.array([word], np.int32), **state)
            state = {name: after[name] for name in self.start}
        return after

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


def _described(details: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"shape": detail["shape_signature"].tolist(), "type": np.dtype(detail["dtype"]).name}
        for name, detail in sorted(details.items())
    }


def _float32(*shape: int) -> dict[str, Any]:
    return {"shape": list(shape), "type": "float32"}
