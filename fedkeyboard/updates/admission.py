"""Which phones' updates a round takes: those that a phone of this round could honestly have sent.

What a file says of itself is the sender's word. So it must be the run's own settings, its weight
must follow from them, and the update may move the weights no further than so many clipped steps
can: a step of SGD at rate r with its gradient clipped to norm c moves them by at most r * c (the
triangle inequality does the rest). No update counts twice. A phone that lies within these bounds is
not found out here.
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fedkeyboard import files, model
from fedkeyboard.algorithms.local_training import LocalTraining, Weighting
from fedkeyboard.errors import UserError
from fedkeyboard.updates import update_file
from fedkeyboard.updates.update_file import Metadata, Update

# Of numbers that went through float32 or a client's JSON.
_RELATIVE = 1e-5
# Of a norm that was clipped in float32.
_OF_NORM = 1e-3
# What float32 rounds a weight by, at most, of its size.
_ROUNDING = 2.0**-23


class Base(NamedTuple):
    """What phones trained from: a package, by its manifest.

    Attributes:
      round: The last of the run's rounds that the package has.
      weights_sha256: What it calls its weights.
      vocabulary_sha256: Of its vocabulary.
    """

    round: int | None
    weights_sha256: str
    vocabulary_sha256: str


@dataclasses.dataclass(frozen=True)
class Terms:
    """What the phones of a round were asked to do.

    Attributes:
      base: What they trained from.
      weights: Its weights.
      training: How they train; the schedule may have lowered the learning rate.
      maximum_sentences: Of a phone.
      weighting: How an update counts.
    """

    base: Base
    weights: model.Weights
    training: LocalTraining
    maximum_sentences: int
    weighting: Weighting


class Admission:
    """Admits the updates of one round.

    Attributes:
      admitted: By a hash of what it says, the file of each update that counts.
      refused: Why others do not count, a line each, which names the file.
    """

    def __init__(self, terms: Terms):
        self._terms = terms
        self.admitted: dict[str, pathlib.Path] = {}
        self.refused: list[str] = []

    def admit(
        self, paths: Sequence[pathlib.Path], on_refused: Callable[[str], None]
    ) -> Iterator[Update]:
        """Yields the updates that count, each as it is read, and refuses others by name.

        Args:
          paths: The files.
          on_refused: Called with the line about each update that is refused.
        """
        for path in paths:
            try:
                update = read(path, self._terms)
                self._take(path, update)
            except UserError as error:
                self.refused.append(str(error))
                on_refused(f"refused: {error}")
            else:
                yield update

    def require(self, minimum: int | None) -> None:
        """Raises UserError if fewer than `minimum` updates count; default, half of those given."""
        left = len(self.admitted)
        given = left + len(self.refused)
        least = max(1, -(-given // 2)) if minimum is None else minimum
        if left >= least:
            return
        if given == 1:
            raise UserError(self.refused[0])
        raise UserError(
            f"{left} of {given} updates can count, and a round needs {least}; "
            + (
                f"the first that cannot: {self.refused[0]}"
                if self.refused
                else "lower --minimum-updates"
            )
        )

    def _take(self, path: pathlib.Path, update: Update) -> None:
        # Of the numbers alone: what else a copy says of itself does not make it another.
        digest = update_file.weights_sha256(update.difference)
        if digest in self.admitted:
            raise UserError(
                f"{path}: the same update as {self.admitted[digest]}; give each phone's once"
            )
        self.admitted[digest] = path


def read(path: files.PathLike, terms: Terms) -> Update:
    """Reads a phone's update, and checks that it may be one of this round.

    Raises:
      UserError: If it may not be; the line names the file.
    """
    update = update_file.read(path, model.Weights(*(w.shape for w in terms.weights)))
    of, base = update.metadata, terms.base
    if of.purpose != "update":
        raise UserError(f"{path}: a personal checkpoint, which stays on its phone; no update")
    if (of.weights_sha256, of.vocabulary_sha256) != (base.weights_sha256, base.vocabulary_sha256):
        raise UserError(
            f"{path}: trained from another package ({of.weights_sha256[:12]}) than the run's "
            f"({base.weights_sha256[:12]}); updates count in their own round only"
        )
    _check_settings(terms, path, of)
    _check_norm(terms, path, update)
    return update


def _check_settings(terms: Terms, path: files.PathLike, of: Metadata) -> None:
    client = terms.training
    for name in ("clipping_norm", "batch_size", "epochs"):
        said, expected = getattr(of, name), getattr(client, name)
        if not math.isclose(said, expected, rel_tol=_RELATIVE):
            raise UserError(f"{path}: {name} is {said:g}, and the run's client.{name} {expected:g}")
    # A schedule may have lowered it.
    if of.learning_rate > client.learning_rate * (1 + _RELATIVE):
        raise UserError(
            f"{path}: learning_rate is {of.learning_rate:g}, above the run's "
            f"client.learning_rate, {client.learning_rate:g}"
        )
    if not 1 <= of.sentences <= terms.maximum_sentences:
        raise UserError(
            f"{path}: of {of.sentences} sentences, where a phone trains on 1 to "
            f"{terms.maximum_sentences} (client.maximum_sentences)"
        )
    steps = -(-of.sentences // client.batch_size) * client.epochs
    if of.steps != steps:
        raise UserError(f"{path}: of {of.steps} steps, where {of.sentences} sentences make {steps}")
    weight = update_file.weight(of.sentences, terms.weighting)
    if of.weight != weight:
        raise UserError(
            f"{path}: claims the weight {of.weight:g}, but counts as {weight:g} "
            f'(client.weighting = "{terms.weighting}")'
        )


def _check_norm(terms: Terms, path: files.PathLike, update: Update) -> None:
    of = update.metadata
    step = of.learning_rate * of.clipping_norm * (1 + _OF_NORM)
    # Each step rounds each weight, which a small rate does not make smaller.
    rounding = _ROUNDING * (norm(terms.weights) + of.steps * step)
    allowed = of.steps * (step + rounding)
    moved = norm(update.difference)
    if not moved <= allowed:
        raise UserError(
            f"{path}: moves the weights by {moved:.3g}, where {of.steps} steps at learning_rate "
            f"{of.learning_rate:g} and clipping_norm {of.clipping_norm:g} move them by "
            f"{of.steps * of.learning_rate * of.clipping_norm:.3g} at most"
        )


def norm(weights: model.Weights) -> float:
    """Returns the Euclidean norm of all weights together, in float64: float32 would overflow."""
    return math.sqrt(sum(float(np.sum(np.square(w, dtype=np.float64))) for w in weights))
