"""Which of a user's messages are worth learning from, and which users have enough of them.

Chat holds spam that would teach a keyboard to repeat itself, and a few people write most of it:
in chitchat ten of 1,315 senders wrote 42% of all words. So one-word messages, one word over and
over, and repeats go, and no user counts for more than a given number of sentences.
"""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from fedkeyboard.errors import UserError
from fedkeyboard.words import words


@dataclasses.dataclass(frozen=True)
class Cleaning:
    """What is kept of a user; the counts are of sentences (messages) and words."""

    minimum_sentences: int = 5
    """A user with fewer usable sentences is left out."""
    maximum_sentences: int = 500
    """A user's later sentences are dropped."""
    minimum_words: int = 2
    """Shorter messages are dropped."""

    def __post_init__(self):
        """Raises UserError for values under which nothing could be kept."""
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise UserError(f"{name} is {value}; it must be 1 or more")
        if self.maximum_sentences < self.minimum_sentences:
            raise UserError(
                f"maximum_sentences is {self.maximum_sentences}, below minimum_sentences, which is "
                f"{self.minimum_sentences}; raise the one or lower the other"
            )


class Sentence(NamedTuple):
    """A message that is kept, as it was written."""

    time: float | None
    text: str
    words: int
    """How many words it has."""


def clean(messages: Iterable[tuple[float | None, str]], cleaning: Cleaning) -> list[Sentence]:
    """Returns the sentences to keep of one user, whose (time, text) pairs come in time order.

    Dropped are messages that have fewer than `minimum_words` words, that say one word over and
    over, or that say the same words as the same user's message just before (kept or not). Of the
    rest the first `maximum_sentences` are kept; no more messages are drawn than that takes. If
    fewer than `minimum_sentences` are left, the user is left out: the list is empty.
    """
    kept: list[Sentence] = []
    previous = None
    for time, text in messages:
        said = words(text)
        one_word_repeated = len(said) > 1 and len(set(said)) == 1
        if len(said) >= cleaning.minimum_words and not one_word_repeated and said != previous:
            kept.append(Sentence(time, text, len(said)))
            if len(kept) == cleaning.maximum_sentences:
                break
        previous = said
    return kept if len(kept) >= cleaning.minimum_sentences else []
