"""Small hashes by which damage to a population file shows where it is read.

A file may have gigabytes and ten million phones, so nothing is hashed as a whole when it is opened:
each user's sentences have a hash that is checked as they are read, and so has each voice. They tell
a flipped bit, not forgery: who can write the file can write them.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedkeyboard import splitmix

_BYTES = 16
# 24 bits, since a voice has little else to store.
_VOICE = 0xFFFFFF


def of_user(number: int, sentences: Sequence[tuple[float | None, str]]) -> bytes:
    """Returns the hash of a user's sentences, (time, text) in their order: 16 bytes."""
    count = len(sentences)
    # NaN stands for no time: no source yields it. All at once, since this is on the way of a round.
    times = struct.pack(f"<{count}d", *(math.nan if t is None else t for t, _ in sentences))
    lengths = struct.pack(f"<q{count}q", number, *(len(text) for _, text in sentences))
    texts = "".join([text for _, text in sentences]).encode()
    return hashlib.blake2b(lengths + times + texts, digest_size=_BYTES).digest()


def of_row(number: int, count: int, seal: bytes) -> bytes:
    """Returns the hash of a user's row, which is read without the sentences: 4 bytes."""
    return hashlib.blake2b(struct.pack("<qq", number, count) + seal, digest_size=4).digest()


def of_voices(phones: np.ndarray, users: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Returns the hash of each voice: int64 `[n]` of `[n]` each, from 0 to 2**24 - 1."""
    mixed = np.zeros(len(phones), np.uint64)
    for values in (phones, users, sentences):
        values = np.asarray(values).astype(np.uint64)
        mixed = splitmix.mixed(mixed * np.uint64(splitmix.GOLDEN) + values)
    return (mixed & np.uint64(_VOICE)).astype(np.int64)


def of_voice(phone: int, user: int, sentences: int) -> int:
    """Returns the same of one voice."""
    mixed = 0
    for value in (phone, user, sentences):
        mixed = splitmix.mixed_one(mixed * splitmix.GOLDEN + value)
    return mixed & _VOICE


def of_meta(description: Mapping[str, Any]) -> str:
    """Returns the hash of what `meta` says, but for the hash itself; hexadecimal."""
    said = {key: value for key, value in description.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
