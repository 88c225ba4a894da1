"""Random text of every script, with what the rules of words make of it: for clients to repeat.

    python tests/fuzzed_words.py COUNT SEED    prints JSON: a list of {text, words, sentences}

Most characters are those that rules are about; a text of random ones alone would seldom have two
marks on a letter, or a joiner between letters.
"""

import json
import random
import sys

from fedkeyboard.text import words
from fedkeyboard.text.words import TABLE

_SCRIPTS = "aißσIİéoſ ﬁ0٣אבלبدیوर्कषශ්රกำ가각ᄀ각ㅎか゛ハ漢〇ᏣꮳՙաЖ𐐀"
_JOINERS = "'\u2019`·\u055f\"\u05f4\u05f3\u200c\u200d"
_OTHERS = (
    ".!?\n\u3002\u0964 \u00ad\u200b\u034f\ufe0f\u20e3\U000e0100😂"
    "\u0307\u0301\u0323\u0327\u093c\u094d\u3099"
)


def texts(count: int, seed: int) -> list[str]:
    """Returns as many random texts; none has half a surrogate pair, which UTF-8 cannot hold."""
    generator = random.Random(seed)
    marks, folds = list(TABLE.marks), list(TABLE.folds)

    def character() -> str:
        kind = generator.randrange(8)
        if kind == 0:
            return generator.choice(marks)
        if kind == 1:
            return generator.choice(folds)
        if kind == 2:
            code_point = generator.randrange(0x110000 if generator.random() < 0.3 else 0x3100)
            return "\ufffd" if 0xD800 <= code_point < 0xE000 else chr(code_point)
        return generator.choice((_SCRIPTS, _JOINERS, _OTHERS)[kind % 3])

    return ["".join(character() for _ in range(generator.randint(1, 16))) for _ in range(count)]


def cases(count: int, seed: int) -> list[dict[str, object]]:
    """Returns the texts with their words and sentences."""
    return [
        {"text": text, "words": words.words(text), "sentences": words.sentences(text)}
        for text in texts(count, seed)
    ]


if __name__ == "__main__":
    json.dump(cases(*map(int, sys.argv[1:])), sys.stdout)
