"""What one phone does with its package: learn from its user, and keep or send what it learned.

A **personal checkpoint** stays, and makes the user's weights of a package's again; an **update** is
what a phone brings to a round (`fedkeyboard.updates.update_file` has the file format of both).
"""

import dataclasses
from typing import Literal

import numpy as np

from fedkeyboard import files
from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.evaluation import personalization
from fedkeyboard.tflite_export.phone import exported_files
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.tflite_export.phone.opened import Package
from fedkeyboard.updates import update_file
from fedkeyboard.updates.update_file import weights_sha256

_MOST_TEXT = 64 * files.MEGABYTE


def learn(
    learner: Learner,
    rows: np.ndarray,
    settings: LocalTraining,
    *,
    purpose: Literal["personal", "update"],
    vocabulary_sha256: str,
    weight: float = 0.0,
) -> update_file.Update:
    """Trains on int32 `[n, T + 1]` sentences and returns what was learned.

    Args:
      learner: The file; it begins with its own weights, and keeps what it learns.
      rows: The sentences, one at least.
      settings: How.
      purpose: `personal`, or `update`.
      vocabulary_sha256: Of the package's `vocabulary.txt`.
      weight: How it counts, as an `update`.

    Raises:
      RunFailure: If training diverges.
    """
    learner.reset()
    base = learner.weights()
    losses = learner.fit(rows, settings)
    difference = update_file.subtract(learner.weights(), base)
    if not all(np.all(np.isfinite(array)) for array in (losses, *difference)):
        raise RunFailure("training has diverged: lower the learning rate")
    return update_file.Update(
        difference,
        update_file.Metadata(
            purpose=purpose,
            weights_sha256=weights_sha256(base),
            vocabulary_sha256=vocabulary_sha256,
            weight=weight,
            sentences=len(rows),
            steps=len(losses),
            loss=float(np.mean(losses)),
            learning_rate=settings.learning_rate,
            clipping_norm=settings.clipping_norm,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
        ),
    )


def learn_from_file(
    package: Package,
    path: files.PathLike,
    *,
    personal: bool = False,
    learning_rate: float | None = None,
) -> update_file.Update:
    """Does what a phone does in a round, on a file with a sentence a line.

    Args:
      package: What the phone has; with the settings of the rounds that made it.
      path: The file, UTF-8.
      personal: To learn for its user alone, with `fedkeyboard.evaluation.personalization.PERSONAL`.
      learning_rate: Instead of that of the settings, which a schedule may have lowered.

    Raises:
      UserError: If the file cannot be read or has no word in it, the rate is not possible, or
        phones of this package send no updates.
      RunFailure: If training diverges.
    """
    settings, weighting, at_most = (
        (personalization.PERSONAL, None, None) if personal else _round(package)
    )
    if learning_rate is not None:
        if not personal and learning_rate > settings.learning_rate:
            raise UserError(
                f"--learning-rate: {learning_rate:g} is above {settings.learning_rate:g}, that of "
                "the package's rounds; no server would count the update"
            )
        settings = dataclasses.replace(settings, learning_rate=learning_rate)
    # Of a long message several, as in the simulation.
    rows = package.tokenizer.rows(typed(path), package.learner.length)
    if not len(rows):
        raise UserError(f"{path}: has no words to learn from")
    # A simulated phone draws them anew each round.
    rows = rows[:at_most]
    return learn(
        package.learner,
        rows,
        settings,
        purpose="personal" if personal else "update",
        vocabulary_sha256=package.vocabulary_sha256,
        weight=0.0 if weighting is None else update_file.weight(len(rows), weighting),
    )


def typed(path: files.PathLike) -> list[str]:
    """Returns the messages of a file that has a message a line.

    What else ends lines in Unicode, such as a form feed or U+2028, stands within messages.

    Raises:
      UserError: If it cannot be read, is too large or not UTF-8.
    """
    text = files.read_text(path, at_most=_MOST_TEXT)
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _round(package: Package) -> tuple[LocalTraining, str, int]:
    """Returns how phones train in a package's rounds, how updates count, and of how much text.

    Raises:
      UserError: If they do not send updates, or the manifest does not say how.
    """
    client = package.client()
    update_file.check_algorithm(package.path, client.algorithm)
    training = LocalTraining(
        client.learning_rate,
        batch_size=client.batch_size,
        epochs=client.epochs,
        clipping_norm=client.clipping_norm,
    )
    return training, client.weighting, client.maximum_sentences


def load_personal(
    learner: Learner, path: files.PathLike, *, vocabulary_sha256: str, migrate: bool = False
) -> None:
    """Gives a learner the weights of a personal checkpoint.

    Args:
      learner: The file that learns.
      path: The checkpoint.
      vocabulary_sha256: Of the package's `vocabulary.txt`.
      migrate: Whether what was learned on top of another model may be added to this one's weights.

    Raises:
      UserError: If it cannot be (`update_file.personal_weights`); the learner then has its own
      weights.
    """
    learner.reset()
    base = learner.weights()
    learner.set_weights(
        update_file.personal_weights(
            path,
            base,
            weights_sha256=weights_sha256(base),
            vocabulary_sha256=vocabulary_sha256,
            migrate=migrate,
        )
    )


def suggest_to(
    package: Package, text: str, checkpoint: files.PathLike, *, migrate: bool = False
) -> list[tuple[str, float]]:
    """Returns the likeliest next words for the user of a personal checkpoint, best first.

    As `exported_files.suggest_words`; the other arguments are those of `load_personal`, and so is
    what is raised.
    """
    load_personal(
        package.learner,
        checkpoint,
        vocabulary_sha256=package.vocabulary_sha256,
        migrate=migrate,
    )
    return exported_files.suggest_after(text, package.learner, package.ngrams, package.tokenizer)
