"""A phone package that is open: what a phone has of it."""

import functools
import pathlib
from typing import Any

import pydantic

from fedkeyboard import files, model
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import keystrokes
from fedkeyboard.ngrams import model as ngram_model
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text import spellings
from fedkeyboard.text.tokenizer import VOCABULARY_FILE, Tokenizer
from fedkeyboard.tflite_export import manifest
from fedkeyboard.tflite_export.manifest import INFERENCE_FILE, TRAINING_FILE
from fedkeyboard.tflite_export.phone import exported_files
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.tflite_export.phone.litert import LiteModel
from fedkeyboard.updates import admission


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

    def stored(self) -> dict[str, Any]:
        """Returns how the weights are stored, as `package.export` takes it.

        Raises:
          UserError: If the manifest does not say.
        """
        of = self.manifest.files
        try:
            return {
                "precision": of[INFERENCE_FILE].precision,
                "train_storage": of[TRAINING_FILE].precision,
            }
        except KeyError as error:
            raise UserError(
                f"{self.path}: its manifest has no {error.args[0]}; export it again"
            ) from error

    def client(self) -> manifest.Client:
        """Returns how phones train in the rounds of this package.

        Raises:
          UserError: If the manifest does not say.
        """
        try:
            return manifest.Client.model_validate(self.manifest.training["settings"]["client"])
        except (KeyError, TypeError, pydantic.ValidationError) as error:
            raise UserError(
                f"{self.path}: its manifest does not say how phones train "
                "(training.settings.client); export it again"
            ) from error

    @functools.cached_property
    def inference(self) -> LiteModel:
        """`model_infer.tflite`; raises as `LiteModel` and `checked` do."""
        return LiteModel(self.checked(INFERENCE_FILE))

    @functools.cached_property
    def learner(self) -> Learner:
        """`model_train.tflite`; raises as `Learner` and `checked` do."""
        return Learner(self.checked(TRAINING_FILE))

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary.

        Raises:
          UserError: If it is not the model's, or as of `checked`.
        """
        self.checked(spellings.FILE)
        tokenizer = Tokenizer.load_vocabulary(self.checked(VOCABULARY_FILE))
        if len(tokenizer) != self.manifest.model.vocabulary:
            raise UserError(
                f"{self.path}: its vocabulary has {len(tokenizer)} entries, its model "
                f"{self.manifest.model.vocabulary}; export it again"
            )
        return tokenizer

    @functools.cached_property
    def ngrams(self) -> NGrams:
        """What n-grams say; raises as `exported_files.read_ngrams` and `checked` do."""
        path = self.checked(ngram_model.FILE)
        return exported_files.read_ngrams(path, self.manifest.model.vocabulary)

    @property
    def sizes(self) -> model.Sizes:
        """The model's."""
        of = self.manifest.model
        return model.Sizes(of.vocabulary, of.embedding, of.units, of.length)

    @functools.cached_property
    def prefixes(self) -> keystrokes.Prefixes:
        """The vocabulary's."""
        return keystrokes.prefixes(self.tokenizer.vocabulary)

    @property
    def base(self) -> admission.Base:
        """What phones' updates must say that they trained from; raises as `checked` does."""
        return admission.Base(
            round=self.manifest.training.get("rounds"),
            weights_sha256=self.manifest.model.weights_sha256,
            vocabulary_sha256=self.vocabulary_sha256,
        )

    @property
    def vocabulary_sha256(self) -> str:
        """Of `vocabulary.txt`, by which updates name it; raises as `checked` does."""
        self.checked(VOCABULARY_FILE)
        return self.manifest.files[VOCABULARY_FILE].sha256

    def checked(self, name: str) -> pathlib.Path:
        """Returns the path of a file of the package, once its hash has been checked.

        Raises:
          UserError: As `manifest.check_file`.
        """
        return manifest.check_file(self.path, self.manifest, name)
