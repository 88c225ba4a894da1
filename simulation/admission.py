"""Which phones' updates a round takes: those that a phone of this round could honestly have sent.

What a file says of itself is the sender's word. So it must be the run's own settings, its weight
must follow from them, and the update may move the weights no further than so many clipped steps
can: a step of SGD at rate r with its gradient clipped to norm c moves them by at most r * c (the
triangle inequality does the rest). A phone that lies within these bounds is not found out here.
"""

import math
from typing import NamedTuple

import numpy as np

from fedkeyboard import files, model
from fedkeyboard.errors import UserError
from fedkeyboard.simulation.runs import Run
from fedkeyboard.updates import update_file as updates

# Of numbers that went through float32 or a client's JSON.
_RELATIVE = 1e-5
# Of a norm that was clipped in float32.
_OF_NORM = 1e-3
# What float32 rounds a weight by, at most, of its size.
_ROUNDING = 2.0**-23


class Base(NamedTuple):
    """What phones trained from: a run's package, by its manifest.

    Attributes:
      round: The last of the run's rounds that the package has.
      weights_sha256: What it calls its weights.
      vocabulary_sha256: Of its vocabulary.
    """

    round: int | None
    weights_sha256: str
    vocabulary_sha256: str


def read(run: Run, path: files.PathLike, base: Base) -> updates.Update:
    """Reads a phone's update, and checks that it may be one of this round.

    Raises:
      UserError: If it may not be; the line names the file.
    """
    update = updates.read(path, model.weight_shapes(run.sizes))
    of = update.metadata
    if of.purpose != "update":
        raise UserError(f"{path}: a personal checkpoint, which stays on its phone; no update")
    if (of.weights_sha256, of.vocabulary_sha256) != (base.weights_sha256, base.vocabulary_sha256):
        raise UserError(
            f"{path}: trained from another package ({of.weights_sha256[:12]}) than the run's "
            f"({base.weights_sha256[:12]}); updates count in their own round only"
        )
    _check_settings(run, path, of)
    _check_norm(run, path, update)
    return update


def _check_settings(run: Run, path: files.PathLike, of: updates.Metadata) -> None:
    client = run.config.client
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
    if not 1 <= of.sentences <= client.maximum_sentences:
        raise UserError(
            f"{path}: of {of.sentences} sentences, where a phone trains on 1 to "
            f"{client.maximum_sentences} (client.maximum_sentences)"
        )
    steps = -(-of.sentences // client.batch_size) * client.epochs
    if of.steps != steps:
        raise UserError(f"{path}: of {of.steps} steps, where {of.sentences} sentences make {steps}")
    weight = updates.weight(of.sentences, client.weighting)
    if of.weight != weight:
        raise UserError(
            f"{path}: claims the weight {of.weight:g}, but counts as {weight:g} "
            f'(client.weighting = "{client.weighting}")'
        )


def _check_norm(run: Run, path: files.PathLike, update: updates.Update) -> None:
    of = update.metadata
    step = of.learning_rate * of.clipping_norm * (1 + _OF_NORM)
    # Each step rounds each weight, which a small rate does not make smaller.
    rounding = _ROUNDING * (norm(run.weights()[0]) + of.steps * step)
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
