"""Virtual phones: the training users of a population, multiplied.

No public corpus has a million users. To try what a fleet of millions does, each training phone
becomes a *voice* of a real training user: a draw of at least half of that user's sentences, in
their order, stored as a reference. What is real are the users, their texts, and how they differ;
what is not is that so many phones differ so little: the voices of one user share most of their
text, so privacy and the gain from more users must not be judged by them. Users held out for
validation and test stay one phone each, and no voice has a sentence of theirs.
"""

import contextlib
import hashlib
import json
import pathlib
import sqlite3
from collections.abc import Callable

import numpy as np

from fedkeyboard import streams
from fedkeyboard.data import seals
from fedkeyboard.streams import Stream

_CHUNK = 100_000  # Phones between commits.
_LEAST = 0.5  # Of the user's sentences.
_RULES = 2  # To be raised when voices are drawn otherwise.


def plan(description: dict, phones: int) -> dict:
    """Returns the description of a population whose training phones become `phones` voices.

    Args:
      description: Of the real population.
      phones: How many training phones there shall be.

    Returns:
      The same with phones renumbered: training phones, validation, test, training users. What is
      known only from the voices, `sentences` and `words` of the split, is left out; the totals
      are of the text that the file has.
    """
    splits, first = {}, 0
    for name, split in description["splits"].items():
        count = phones if name == "train" else split["phones"]
        splits[name] = split | {"first": first, "last": first + count - 1, "phones": count}
        first += count
    users = description["splits"]["train"]["phones"]
    splits["train"]["users"] = {"first": first, "last": first + users - 1}
    for total in ("sentences", "words"):
        del splits["train"][total]
    digest = hashlib.sha256(
        json.dumps([description["fingerprint"], description["seed"], phones, _RULES]).encode()
    )
    return description | {
        "phones": first,
        "splits": splits,
        "fingerprint": digest.hexdigest(),
    }


def add(path: pathlib.Path, description: dict, progress: Callable[[int], None] | None) -> int:
    """Writes the voices that a population file still lacks; may be stopped and called again.

    Args:
      path: The file, with sentences and without description.
      description: From `plan`.
      progress: Called with the number of voices that are there.

    Returns:
      How many sentences the voices have together.
    """
    split, seed = description["splits"]["train"], description["seed"]
    users = range(split["users"]["first"], split["users"]["last"] + 1)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        query = "SELECT sentences FROM user WHERE user BETWEEN ? AND ? ORDER BY user"
        rows = connection.execute(query, (users[0], users[-1]))
        lengths = np.array([count for (count,) in rows])
        ((done,),) = connection.execute("SELECT coalesce(max(phone) + 1, 0) FROM voice")
        while done < split["phones"]:
            end = min(done + _CHUNK, split["phones"])
            of, counts = _draw(seed, done, end, lengths)
            connection.execute("BEGIN")
            numbers, of = np.arange(done, end), of + users[0]
            rows = (numbers, of, counts, seals.of_voices(numbers, of, counts))
            connection.executemany(
                "INSERT INTO voice VALUES (?, ?, ?, ?)",
                zip(*(values.tolist() for values in rows), strict=True),
            )
            connection.execute("COMMIT")
            done = end
            if progress:
                progress(done)
        ((sentences,),) = connection.execute("SELECT sum(sentences) FROM voice")
    return sentences


def _draw(seed: int, first: int, end: int, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns user (from 0) and number of sentences of phones `first` to `end` - 1.

    Every so many phones as there are users, each user has one, in an order of its own.
    """
    users = len(lengths)
    blocks = range(first // users, -(-end // users))
    of = np.concatenate(
        [streams.generator(seed, Stream.VOICE_USERS, b).permutation(users) for b in blocks]
    )
    share = np.concatenate(
        [streams.generator(seed, Stream.VOICE_SHARES, b).random(users) for b in blocks]
    )
    inside = slice(first - blocks[0] * users, end - blocks[0] * users)
    of, share = of[inside], _LEAST + (1 - _LEAST) * share[inside]
    return of, np.ceil(share * lengths[of]).astype(np.int64)
