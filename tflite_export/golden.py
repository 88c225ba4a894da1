"""The test that every client must pass: texts with their words, ids and suggestions.

A client that splits text or feeds the model otherwise than the simulation did gives worse
suggestions and no error; `golden.json` shows it (the rules are in `fedkeyboard.text.words`). The
texts were written for this file; none is from a corpus, so that a package holds nobody's messages.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np

from fedkeyboard.algorithms.local_training import LocalTraining
from fedkeyboard.evaluation.metrics import SUGGESTIONS
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text.tokenizer import Tokenizer
from fedkeyboard.text.words import sentences, words
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.tflite_export.phone.litert import LiteModel

FILE = "golden.json"
# Processors round int8 products differently.
PROBABILITY_TOLERANCE = 0.02
LOSS_TOLERANCE = 1e-3
NGRAM_TOLERANCE = 1e-6
_ADDED = 5
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
    # Longer than a row: its first two sentences are one, the third is cut, the last joins the rest.
    "i know. are you at home? i will tell you all about it when i see you at home on friday and "
    "then "
    "we can go out and talk about what you said to me then! ok, good",
)
# What no word of a vocabulary would show: each text fails if one rule or part of the table is left
# out (`tests/tflite_export/test_golden.py` leaves out each).
_RULES = (
    # Apostrophes, also as Greek's oxia, and of Hebrew, Armenian, Uzbek and Breton; at ends; two.
    "don\u0060t don\u00b4t don\u02bct don\u2018t don\u2019t don\u201bt don\uff07t don\u1ffdt "
    "don\u1feft",
    "o\u02bbzbek \u05d2\u05f3\u05d9\u05e8\u05e4\u05d4 \u056f\u055a\u0578\u0582\u0566\u0565\u0574 "
    "c\u2019h\u0149",
    "'' 'tis dogs' a''b 'so' \"well\" x'\"y \"'z\"",
    "'' 'tis dogs' a''b '\u0301a 90's x' \u0301'y z\u0301'z",
    # Other joiners, between letters and elsewhere; a quotation mark, of Hebrew alone.
    "col\u00b7legi co\u0140legi COL\u0387LEGI col\u2027legi \u00b7a b\u00b7 \u0561\u055f\u0562 "
    "\u0561\u055f",
    '\u05e6\u05d4"\u05dc \u05e6\u05d4\u05f4\u05dc \u05e6\u05d4\u05b7"\u05dc "\u05dc" say"so" '
    '\u05dc"a a"\u05dc',
    # U+200C: in Persian, after a mark, after a letter that joins none, before one, in Latin.
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0645\u06cc\u064e\u200c\u062e "
    "\u06cc\u200c\u0648 "
    "\u0631\u200c\u0647\u0627 \u06cc\u200c\u0621 \u06cc\u200c auf\u200clage",
    # U+200C and U+200D after a virama, with another mark on either side; elsewhere.
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3 \u0c95\u0ccd\u200c\u0cb7 \u0915\u093c\u094d\u200d\u0937 "
    "\u0915\u094d\u0951\u200c\u0937 "
    "\u0915\u094d\u200d \u0915\u200d\u0937 \u0645\u06cc\u200d\u062e e\u200d\u0301 "
    "a\u094d\u200d\u200cb",
    # Turkish capitals, composed or not, with another mark; no dot above other letters is lost.
    "\u0130Y\u0130 I\u0307yi i\u0307 i\u0327\u0307\u0301 z\u0307 g\u0307 \u0131",
    # Nothing: soft hyphen, word joiner, marks of direction, variation selectors (also of Mongolian
    # and of ideographs), the grapheme joiner, fillers of Hangul, enclosing marks, Armenian's marks.
    "to\u00adday a\u2060b a\u200eb a\ufeffb a\ufe0fb \u1820\u180b\u1820 \u845b\U000e0100\u845b "
    "e\u034f\u0301 "
    "\u1100\u1160\u1100 a\u3164b \u0430\u0489\u0431 1\ufe0f\u20e32\ufe0f\u20e3 "
    "\u056b\u0576\u0579\u0578\u055e\u0582 \u0561\u055b\u0562 \u0561\u055c\u0562",
    # Separators: the spaces of Khmer and of French, full stops, colons, hyphens, low lines, commas.
    "a\u200bb a\u202fb hello.how a\u2024b 10:30 a:b well-known a\u2010b a_b a\u203fb 3,14 "
    "a\u30fbb a\u00a6b",
    # Marks are part of a word, and begin none: Mn, Mc, signs of tone, voicing marks by themselves.
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e ba\u02e5\u02e9 "
    "b\ua789a \u0301a \u0903\u0915 \u02e5 \u00a8a =\u0338a "
    "\u304b\u309b \uff76\uff9e \u30cf\u309c \u0628\ufe76\u062a",
    # Letters: beyond 16 bits, numerals, digits of other scripts, ideographs, superscripts, halves.
    "\U00010400\U0001d400 \u3007\u4e8c \u2167 \u16ee \u0661\u0662 \u0967 \U0001d7d8 \u6f22\u5b57 "
    "\u2075 \u00bd \u2460",
    # Case: Cherokee's capitals stay, sigmas and sharp s fold, titlecase, Kelvin, long s.
    "\u13e3\u13b3\u13a9 \uab73\uab83\uab79 \u03bf\u03b4\u03cc\u03c2 \u039f\u0394\u038c\u03a3 "
    "\u03f2 Stra\u00dfe STRA\u1e9eE \u01c5 \u212a \u017f \u1f88",
    # Compatibility: ligatures, full width, Arabic's forms, square words; ideographs.
    "\ufb01ne \uff21\uff22 \ufefb \u0e17\u0e33 \u0587 \u3300 \uf900 \U0002f800 \u2126 \u212b",
    # Composition: two marks in either order, blocked, none there is, three, and of two vowel signs.
    "e\u0301 a\u0323\u0302 a\u0302\u0323 a\u0315\u0300 a\u0300\u0301 q\u0301 \u01d6 "
    "u\u0308\u0304 u\u0304\u0308 \u09c7\u09be \u0995\u09c7\u09be \u0915\u093c \u0958 "
    "a\u0344 o\u0327\u0328\u0304 \U00011099\U000110ba",
    # Hangul: syllables of letters, of a syllable and a last letter, of half width; none.
    "\u1112\u1161\u11ab \uac00\u11a8 \uac01\u11a8 \uac00\u11a7 \u1100\u1100\u1161\u1161 "
    "\u314e\u314f\u3134 \uffa1\uffc2 \u314b\u314b \u1100\u0301\u1161 \ud55c\uae00",
    # Not in Unicode 14.0: a letter and a mark of 15.0, a capital of 16.0; private ones.
    "a\u0cf3b \U0001df25 a\U000323afb \ua7cb a\ue000b",
)
_SENTENCES = (
    "How are you? I'm ok! see you... bye",
    "one line\nand the next\r\nand\u2028more\u2029then\u0085next\fto\vlast\rend",
    "\u0915\u094d\u092f\u093e \u0939\u0941\u0906\u0964 \u0915\u0941\u091b "
    "\u0928\u0939\u0940\u0902\u0965 \u4f60\u597d\u3002\u5728\u5417\uff1f\u597d\uff01ok\uff61yes "
    "\u06a9\u06cc\u0627\u061f \u06c1\u0627\u06ba\u06d4 \u1208\u1362\u1210\u2026 \u1000\u104b "
    "\u1780\u17d4\u1781",
    "\u056b\u0576\u0579\u0578\u055e\u0582 \u0561\u0589 \u0562, \u0563; d: e - f (g) \u037e "
    "h\u2024i\ufe52j k\uff0el \u203cm",
)
_LONG = "i will tell you all about it when i see you at home on friday and then we can go out"


def texts(length: int) -> list[str]:
    """Returns the texts; the last has more words than a sentence of `length`."""
    long = itertools.islice(itertools.cycle(_LONG.split()), length + 5)
    return [*_TEXTS, " ".join(long)]


def content(
    exported: LiteModel, ngrams: NGrams, learner: Learner, tokenizer: Tokenizer, length: int
) -> dict[str, Any]:
    """Returns what `golden.json` holds.

    Args:
      exported: `model_infer.tflite`.
      ngrams: `ngrams.bin`.
      learner: `model_train.tflite`; it is left as the file is.
      tokenizer: Their vocabulary.
      length: T.

    Returns:
      `texts`: texts with their `words`; `sentences`: texts with those by sentence.

      `examples`: each `text` with its `words`, their `ids`, without the begin token, and what
      is suggested after the begin token and all of them, `suggestions` (words as they are shown)
      and `probabilities`. A client is right if each probability is within `probability_tolerance`,
      and the word is the same wherever it must be (`must_agree`). What n-grams have in it is in
      `ngrams`, within `ngram_tolerance`: `kept`, the factor of the model's probabilities, and of
      what is added the most, `added`: pairs of an id and a probability.

      `training`: what `train` does with `texts`, whose `rows` are int32 `[B, T + 1]`, several of
      the text that is longer than T: with the mask 1 wherever there is a target, the loss of each
      of some calls in a row, within `loss_tolerance`.
    """
    rows = training_rows(tokenizer, length)
    learner.reset()
    losses = learner.fit(rows, dataclasses.replace(_TRAINING, batch_size=len(rows)))
    learner.reset()
    return {
        **rules(),
        "probability_tolerance": PROBABILITY_TOLERANCE,
        "ngram_tolerance": NGRAM_TOLERANCE,
        "examples": examples(exported, ngrams, tokenizer, length),
        "training": {
            "texts": list(_LEARNED),
            "rows": rows.tolist(),
            "learning_rate": _TRAINING.learning_rate,
            "clipping_norm": _TRAINING.clipping_norm,
            "losses": losses,
            "loss_tolerance": LOSS_TOLERANCE,
        },
    }


def rules() -> dict[str, list[dict[str, Any]]]:
    """Returns what pins the rules of words, whatever the vocabulary: `texts` and `sentences`."""
    return {
        "texts": [{"text": text, "words": words(text)} for text in _RULES],
        "sentences": [{"text": text, "sentences": sentences(text)} for text in _SENTENCES],
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


def text_ids(tokenizer: Tokenizer, length: int) -> list[list[int]]:
    """Returns the ids of each golden text's words."""
    return [tokenizer.encode(text) for text in texts(length)]


def training_rows(tokenizer: Tokenizer, length: int) -> np.ndarray:
    """Returns the sentences of `training`: int32 `[B, T + 1]`, B at least 8."""
    return tokenizer.rows(_LEARNED, length)


def examples(
    exported: LiteModel, ngrams: NGrams, tokenizer: Tokenizer, length: int
) -> list[dict[str, Any]]:
    """Returns each text with what a client must make of it: `examples` of `content`."""
    made = []
    for text in texts(length):
        ids = tokenizer.encode(text)
        suggested = ngrams.suggest(ids, exported.next_word(ids), SUGGESTIONS)
        made.append(
            {
                "text": text,
                "words": words(text),
                "ids": ids,
                "suggestions": [tokenizer.shown[i] for i, _ in suggested],
                "probabilities": [probability for _, probability in suggested],
                "ngrams": of_ngrams(ngrams, ids),
            }
        )
    return made


def of_ngrams(ngrams: NGrams, ids: list[int]) -> dict[str, Any]:
    """Returns what n-grams say after some words."""
    kept, added_to, probabilities = ngrams.after(ids)
    most = np.argsort(-probabilities, kind="stable")[:_ADDED]
    return {
        "kept": kept,
        "added": [[int(added_to[i]), float(probabilities[i])] for i in most],
    }
