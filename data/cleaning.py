"""Which of a user's messages are worth learning from, and which users have enough of them.

Chat holds spam that would teach a keyboard to repeat itself, and a few people write most of it:
in chitchat ten of 1,315 senders wrote 42% of all words. So one-word messages, one word over and
over, and repeats go, what is no typing goes (`fedkeyboard.data.links`), and no user counts for more
than a given number of sentences. Whatever is left out is counted.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable
from typing import NamedTuple

from fedkeyboard.data import links
from fedkeyboard.errors import UserError
from fedkeyboard.text.words import words

# Scripts that write no spaces between words: Han, Kana, Thai, Lao, Myanmar, Khmer.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)
_LONG = 6  # Letters; a message of fewer may be one word.

# Why a message is left out, in the order in which they are told.
PLACEHOLDER = "placeholders"
SHORT = "too short"
ONE_WORD = "one word repeated"
REPEAT = "the message before again"
BEYOND = "beyond the most of a user"
OF_USERS = "of users with too few"
LEFT_OUT = (PLACEHOLDER, SHORT, ONE_WORD, REPEAT, BEYOND, OF_USERS)
# Of those: without spaces between words; and what is kept, but not as it was.
UNSPACED = "without spaces"
LINKS = "with links taken out"


@dataclasses.dataclass(frozen=True)
class Cleaning:
    """What is kept of a user; the counts are of sentences (messages) and words."""

    minimum_sentences: int = 5
    """A user with fewer usable sentences is left out."""
    maximum_sentences: int = 500
    """A user's later sentences are dropped."""
    minimum_words: int = 2
    """Shorter messages are dropped."""
    links: bool = False
    """Whether links, mentions and placeholders stay in (`fedkeyboard.data.links`)."""

    def __post_init__(self):
        """Raises UserError for values under which nothing could be kept."""
        for name in ("minimum_sentences", "maximum_sentences", "minimum_words"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(f"{name} is {value}; it must be 1 or more")
        if self.maximum_sentences < self.minimum_sentences:
            raise UserError(
                f"maximum_sentences is {self.maximum_sentences}, below minimum_sentences, which is "
                f"{self.minimum_sentences}; raise the one or lower the other"
            )


class Sentence(NamedTuple):
    """A message that is kept, as it was written but for links."""

    time: float | None
    text: str
    words: int
    """How many words it has."""


class Cleaned(NamedTuple):
    """What became of a user's messages."""

    sentences: list[Sentence]
    counts: collections.Counter[str]
    """Messages by what became of them: `LEFT_OUT`, `UNSPACED` and `LINKS`."""


def clean(messages: Iterable[tuple[float | None, str]], cleaning: Cleaning) -> Cleaned:
    """Returns the sentences to keep of one user, whose (time, text) pairs come in time order.

    Dropped are messages that are a program's placeholder, that have fewer than `minimum_words`
    words, that say one word over and over, or that say the same words as the same user's message
    just before (kept or not). Of the rest the first `maximum_sentences` are kept. If fewer than
    `minimum_sentences` are left, the user is left out: no sentences.
    """
    kept: list[Sentence] = []
    counts: collections.Counter[str] = collections.Counter()
    previous = None
    for time, text in messages:
        if len(kept) == cleaning.maximum_sentences:
            # Not looked at: of a user of millions that would take minutes.
            counts[BEYOND] += 1
            continue
        if not cleaning.links:
            if links.is_placeholder(text):
                counts[PLACEHOLDER] += 1
                continue
            whole, text = text, links.without_links(text)
        said = words(text)
        if len(said) < cleaning.minimum_words:
            counts[SHORT] += 1
            if len(text) >= _LONG and _UNSPACED.search(text):
                counts[UNSPACED] += 1
        elif len(said) > 1 and len(set(said)) == 1:
            counts[ONE_WORD] += 1
        elif said == previous:
            counts[REPEAT] += 1
        else:
            kept.append(Sentence(time, text, len(said)))
            if not cleaning.links and text is not whole:
                counts[LINKS] += 1
        previous = said
    if len(kept) < cleaning.minimum_sentences:
        if kept:
            counts[OF_USERS] = len(kept)
        kept = []
    return Cleaned(kept, counts)
