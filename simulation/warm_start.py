"""A run that begins with another one's model: pretraining on public text, or going on next month.

Its vocabulary is its own population's. A word that the other model has, in whatever place, keeps
what that knows of it. The words that it does not have are to it unknown ones: each begins as that
entry, with an equal share of the probability that it has.
"""

import numpy as np

from fedkeyboard import files, model
from fedkeyboard.errors import UserError
from fedkeyboard.simulation import config as configs
from fedkeyboard.simulation import runs
from fedkeyboard.text.tokenizer import UNKNOWN, Tokenizer


def source(path: files.PathLike, config: configs.Config) -> runs.Run:
    """Opens the run to begin with, which must have a model of the same sizes.

    Raises:
      UserError: If it is none, or of other sizes.
    """
    run = runs.open_run(path)
    for section, key in (("tokenizer", "kind"), ("model", "embedding"), ("model", "units")):
        mine, other = (getattr(getattr(of, section), key) for of in (config, run.config))
        if mine != other:
            raise UserError(
                f"{path}: has {section}.{key} = {other}, and the experiment {mine}; a run begins "
                f"with a model like its own: --set {section}.{key}={other}"
            )
    return run


def weights(other: runs.Run, tokenizer: Tokenizer, sizes: model.Sizes, seed: int) -> model.Weights:
    """Returns another run's model with the words of `tokenizer`.

    Args:
      other: As `source` opened it.
      tokenizer: The new run's vocabulary.
      sizes: The new run's.
      seed: Tells words apart that begin alike.
    """
    learned, _ = other.weights()
    places = {entry: i for i, entry in enumerate(other.tokenizer.vocabulary)}
    of = np.array([places.get(entry, UNKNOWN) for entry in tokenizer.vocabulary])
    new = np.array([entry not in places for entry in tokenizer.vocabulary])
    embedding, bias = learned.embedding[of], learned.output_bias[of]
    if new.any():
        drawn = model.initial_weights(sizes, seed).embedding
        embedding[new] += drawn[new]
        bias[new] -= np.log(np.float32(new.sum()))
    return learned._replace(embedding=embedding, output_bias=bias)


def known(other: runs.Run, tokenizer: Tokenizer) -> int:
    """Returns how many entries of a vocabulary another run has too."""
    return len(set(other.tokenizer.vocabulary) & set(tokenizer.vocabulary))
