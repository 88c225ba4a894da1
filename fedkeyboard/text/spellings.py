"""How the words of a vocabulary are shown: "straße" and not "strasse", by which it is found.

Words are folded so that one word has one entry (`fedkeyboard.text.words`). Suggestions show the
spelling that most often stood for it in the training users' text, in `spellings.json`: entries by
how they are shown, without those that are shown as they are. What decides is what people wrote, and
as with words a spelling of too few of them is nobody's business.

Metrics know nothing of this: hits, letters and keystrokes are of the folded words.
"""

import collections
import json
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from fedkeyboard import files
from fedkeyboard.errors import UserError
from fedkeyboard.text.words import spellings, words

FILE = "spellings.json"
_MOST = 64 * files.MEGABYTE


class Noted:
    """The spellings in users' text, noted while it passes."""

    def __init__(self):
        self._counts: dict[str, collections.Counter[str]] = {}
        self._writers: collections.Counter[str] = collections.Counter()

    def of(self, users: Iterable[Iterable[str]]) -> Iterator[list[str]]:
        """Yields the users' sentences as they come, and notes how their words are spelled."""
        for user in users:
            sentences = list(user)
            spelled = collections.Counter(
                pair
                for text in sentences
                for pair in zip(words(text), spellings(text), strict=True)
                if pair[0] != pair[1]
            )
            for (word, spelling), count in spelled.items():
                self._counts.setdefault(word, collections.Counter())[spelling] += count
                self._writers[spelling] += 1
            yield sentences

    def commonest(self, counts: Mapping[str, int], minimum_users: int) -> dict[str, str]:
        """Returns how words are shown, of those that are not shown as they are.

        Args:
          counts: How often each word of interest was written, in whatever spelling.
          minimum_users: How many users must have written a spelling.
        """
        shown = {}
        for word in sorted(counts.keys() & self._counts.keys()):
            others = self._counts[word]
            known = {word: counts[word] - others.total()} | {
                spelling: others[spelling]
                for spelling in sorted(others)
                if self._writers[spelling] >= minimum_users
            }
            best = max(known, key=known.__getitem__)
            if best != word:
                shown[word] = best
        return shown


def written(shown: Mapping[str, str]) -> str:
    """Returns the content of `spellings.json`, in ASCII: nothing on the way can normalise it."""
    return json.dumps(shown, indent=0) + "\n"


def read(
    path: files.PathLike,
    vocabulary: Collection[str],
    reader: Callable[..., str] = files.read_text,
) -> dict[str, str]:
    """Reads the `spellings.json` of a vocabulary by `reader`; nothing if there is none.

    Raises:
      UserError: If it is damaged, or of another vocabulary.
    """
    if not pathlib.Path(path).exists():
        return {}
    entries = set(vocabulary)
    try:
        shown = json.loads(reader(path, at_most=_MOST))
        ours = all(word in entries and words(each) == [word] for word, each in shown.items())
    # Thousands of brackets are JSON, but not to Python.
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not the spellings of a vocabulary") from error
    if not ours or any(spellings(each) != [each] for each in shown.values()):
        raise UserError(f"{path}: has spellings of other words than the vocabulary's")
    return shown
