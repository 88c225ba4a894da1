"""A phone package that is open: what a phone has of it."""

import functools
import hashlib
import pathlib
from typing import Any

from fedkeyboard import files, keystrokes, model
from fedkeyboard.errors import UserError
from fedkeyboard.tokenizer import VOCABULARY_FILE, Tokenizer
from tflite_export import manifest
from tflite_export.learner import Learner
from tflite_export.litert import LiteModel
from tflite_export.manifest import INFERENCE_FILE, TRAINING_FILE


class Package:
    """A phone package.

    Attributes:
      path: Its directory.
      manifest: Its manifest.
    """

    def __init__(self, path: files.PathLike):
        """Reads the manifest.

        Raises:
          UserError: If it is no package that this version reads.
        """
        self.path = pathlib.Path(path)
        self.manifest = manifest.load(path)

    @property
    def stored(self) -> dict[str, Any]:
        """How the weights are stored, as `package.export` takes it."""
        of = self.manifest.files
        return {
            "precision": of[INFERENCE_FILE].precision,
            "train_storage": of[TRAINING_FILE].precision,
        }

    @functools.cached_property
    def inference(self) -> LiteModel:
        """`model_infer.tflite`."""
        return LiteModel(self.path / INFERENCE_FILE)

    @functools.cached_property
    def learner(self) -> Learner:
        """`model_train.tflite`."""
        return Learner(self.path / TRAINING_FILE)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary.

        Raises:
          UserError: If it is not the model's.
        """
        tokenizer = Tokenizer.load_vocabulary(self.path / VOCABULARY_FILE)
        if len(tokenizer) != self.manifest.model.vocabulary:
            raise UserError(
                f"{self.path}: its vocabulary has {len(tokenizer)} entries, its model "
                f"{self.manifest.model.vocabulary}; export it again"
            )
        return tokenizer

    @property
    def sizes(self) -> model.Sizes:
        """The model's."""
        of = self.manifest.model
        return model.Sizes(of.vocabulary, of.embedding, of.units, of.length)

    @functools.cached_property
    def prefixes(self) -> keystrokes.Prefixes:
        """The vocabulary's."""
        return keystrokes.prefixes(self.tokenizer.vocabulary)

    @functools.cached_property
    def vocabulary_sha256(self) -> str:
        """Of `vocabulary.txt`."""
        content = (self.path / VOCABULARY_FILE).read_bytes()
        return hashlib.sha256(content).hexdigest()
