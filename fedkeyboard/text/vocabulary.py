"""Which words a vocabulary may have, and how often each was written: what it is learned from.

Whoever counts, in one place as here or without seeing anybody's text, returns `SharedWords`; what a
vocabulary is made of them does not depend on who did.
"""

import collections
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fedkeyboard.errors import UserError
from fedkeyboard.text import spellings
from fedkeyboard.text.words import words

# Longer ones are no words, and SentencePiece drops them without a word of its own.
LONGEST_WORD = 100  # characters
_FEWEST_WORDS = 3  # as many as are suggested
_FEWEST_USERS = 3


class SharedWords(NamedTuple):
    """The words that enough users wrote.

    Attributes:
      counts: How often each was written; in an order that does not depend on that of the users.
      shown: How words are shown, of those that are not shown as they are (`spellings`).
    """

    counts: Mapping[str, int]
    shown: Mapping[str, str]

    def table(self) -> Iterable[str]:
        """Returns words and counts as SentencePiece reads them (`input_format="tsv"`)."""
        return (f"{word}\t{count}" for word, count in self.counts.items())


def default_minimum_users(users: int) -> int:
    """Returns how many of so many users must have written a word, if nobody says it.

    A tenth of the square root, and no fewer than three: 3 of up to 900 users, 10 of 10,000, 100 of
    a million. What two people share is their secret; and of more people, more share by chance what
    is no word of the language.
    """
    return max(_FEWEST_USERS, math.ceil(math.sqrt(users) / 10))


def shared_words(
    users: Iterable[Iterable[str]], minimum_users: int, digits: bool = False
) -> SharedWords:
    """Counts the words of `users`, each an iterable of raw sentences, that a vocabulary may have.

    Left out are those that fewer than `minimum_users` wrote, since they say more about these people
    than about the language; and, unless `digits` is set, those with a digit: passwords, telephone
    and card numbers, names of rooms and courses. Neither makes a vocabulary private: a pass phrase
    of plain letters that enough users wrote is in it.

    Raises:
      UserError: If there are fewer than three.
    """
    counts: collections.Counter[str] = collections.Counter()
    writers: collections.Counter[str] = collections.Counter()
    noted = spellings.Noted()
    for sentences in noted.of(users):
        of_user = collections.Counter(word for text in sentences for word in words(text))
        counts.update(of_user)
        writers.update(of_user.keys())
    shared = {
        word: counts[word]
        for word in sorted(counts)
        if writers[word] >= minimum_users
        and len(word) <= LONGEST_WORD
        and (digits or not any(map(str.isdecimal, word)))
    }
    if len(shared) < _FEWEST_WORDS:
        raise UserError(
            f"fewer than {_FEWEST_WORDS} words are written by at least {minimum_users} "
            "training users; lower tokenizer.minimum_users or bring more text"
        )
    return SharedWords(shared, noted.commonest(shared, minimum_users))
