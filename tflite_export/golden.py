"""The test that every client must pass: texts with their words, ids and suggestions.

A client that splits text or feeds the model otherwise than the simulation did gives worse
suggestions and no error; `golden.json` shows it (the rules are in `fedkeyboard.words`). The texts
were written for this file; none is from a corpus, so that a package holds nobody's messages.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np

from fedkeyboard.local_training import LocalTraining
from fedkeyboard.tokenizer import Tokenizer
from fedkeyboard.words import words
from tflite_export.learner import Learner
from tflite_export.litert import LiteModel

FILE = "golden.json"
# Processors round int8 products differently.
PROBABILITY_TOLERANCE = 0.02
LOSS_TOLERANCE = 1e-3
_TRAINING = LocalTraining(learning_rate=0.1, batch_size=8, epochs=3, clipping_norm=1.0)

_TEXTS = (
    "",
    "   ",
    "i am",
    "How are you",
    "  two spaces before and after  ",
    "one line\nand the next",
    # Apostrophes: straight, curly, at the ends of a word, several.
    "i don't know",
    "I DON\u2019T know what you\u2019re doing",
    "rock 'n' roll ''ok''",
    # Emoji: alone, with a skin tone, joined by U+200D, with a variation selector, a flag.
    "\U0001f602",
    "ok \U0001f44d\U0001f3fd see you",
    "my \U0001f468\u200d\U0001f469\u200d\U0001f467 is here \u2764\ufe0f \U0001f1ec\U0001f1f7 yes",
    # Digits, also Arabic-Indic ones, and punctuation.
    "gr8 see you at 10:30 on the 2nd!!!",
    "\u0661\u0662 is twelve",
    "well-known, right? (yes); no... #1 @home 50% a/b",
    # Accents composed and decomposed, a capital I with a dot, which lower-cases to two characters.
    "caf\u00e9 Caf\u00c9 na\u00efve",
    "cafe\u0301 CAFE\u0301 nai\u0308ve",
    "\u0130stanbul",
    # Final sigma, sharp s, full-width letters, a ligature, a soft hyphen.
    "\u03bf \u03cc\u03b4\u03bf\u03c2 \u039f\u0394\u039f\u03a3",
    "Stra\u00dfe STRASSE stra\u1e9ee",
    "\uff28\uff45\uff4c\uff4c\uff4f \uff11\uff12\uff13",
    "\ufb01ne to\u00adday",
    # No vocabulary has this one, and it stays two words.
    "zzyzxq zzyzxq",
    "i think zzyzxq is good",
)
_LEARNED = (
    "see you at home",
    "I don\u2019t know what you mean",
    "ok",
    "how are you today",
    "zzyzxq is good",
    "i think i am going to go home",
    "what do you think about it",
    "thank you very much",
)
_LONG = "i will tell you all about it when i see you at home on friday and then we can go out"


def texts(length: int) -> list[str]:
    """Returns the texts; the last has more words than a sentence of `length`."""
    long = itertools.islice(itertools.cycle(_LONG.split()), length + 5)
    return [*_TEXTS, " ".join(long)]


def content(
    exported: LiteModel, learner: Learner, tokenizer: Tokenizer, length: int
) -> dict[str, Any]:
    """Returns what `golden.json` holds.

    Args:
      exported: `model_infer.tflite`.
      learner: `model_train.tflite`; it is left as the file is.
      tokenizer: Their vocabulary.
      length: T.

    Returns:
      `examples`: each `text` with its `words`, their `ids`, without the begin token, and what
      `step` suggests after the begin token and all of them, `suggestions` (words) and
      `probabilities`. A client is right if each probability is within `probability_tolerance`, and
      the word is the same wherever it must be (`must_agree`).

      `training`: what `train` does with `texts`, whose `rows` are int32 `[B, T + 1]`: with the mask
      1 wherever there is a target, the loss of each of some calls in a row, within
      `loss_tolerance`.
    """
    rows = training_rows(tokenizer, length)
    learner.reset()
    losses = learner.fit(rows, dataclasses.replace(_TRAINING, batch_size=len(rows)))
    learner.reset()
    return {
        "probability_tolerance": PROBABILITY_TOLERANCE,
        "examples": examples(exported, tokenizer, length),
        "training": {
            "texts": list(_LEARNED),
            "rows": rows.tolist(),
            "learning_rate": _TRAINING.learning_rate,
            "clipping_norm": _TRAINING.clipping_norm,
            "losses": losses,
            "loss_tolerance": LOSS_TOLERANCE,
        },
    }


def must_agree(probabilities: list[float]) -> list[bool]:
    """Returns which suggestions must be the same words: those that stand apart.

    From their neighbours, by more than twice the tolerance. Words nearly as likely as each other
    may change places; the last may do so with one that is not shown.
    """
    apart = [
        one - other > 2 * PROBABILITY_TOLERANCE for one, other in itertools.pairwise(probabilities)
    ]
    return [before and after for before, after in zip([True, *apart], [*apart, False], strict=True)]


def training_rows(tokenizer: Tokenizer, length: int) -> np.ndarray:
    """Returns the sentences of `training`: int32 `[B, T + 1]`, B at least 8."""
    return tokenizer.rows(_LEARNED, length)


def examples(exported: LiteModel, tokenizer: Tokenizer, length: int) -> list[dict[str, Any]]:
    """Returns each text with what a client must make of it.

    Returns:
      `text`; `words`; their `ids`, without the begin token; and what the file's signature `step`
      suggests after the begin token and all of them: `suggestions` (words) and `probabilities`.
    """
    made = []
    for text in texts(length):
        ids = tokenizer.encode(text)
        suggested = exported.suggest(ids)
        made.append(
            {
                "text": text,
                "words": words(text),
                "ids": ids,
                "suggestions": [tokenizer.vocabulary[i] for i, _ in suggested],
                "probabilities": [probability for _, probability in suggested],
            }
        )
    return made
