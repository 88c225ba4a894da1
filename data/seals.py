"""Small hashes by which damage to a population file shows where it is read.

A file may have gigabytes and ten million phones, so nothing is hashed as a whole when it is opened:
each user's sentences have a hash that is checked as they are read, and so has each voice. They tell
a flipped bit, not forgery: who can write the file can write them.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

_BYTES = 16
# 24 bits, since a voice has little else to store.
_VOICE = 0xFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15


def of_user(number: int, sentences: Iterable[tuple[float | None, str]]) -> bytes:
    """Returns the hash of a user's sentences, (time, text) in their order: 16 bytes."""
    digest = hashlib.blake2b(struct.pack("<q", number), digest_size=_BYTES)
    for time, text in sentences:
        encoded = text.encode()
        # NaN stands for no time: no source yields it.
        digest.update(struct.pack("<dq", np.nan if time is None else time, len(encoded)))
        digest.update(encoded)
    return digest.digest()


def of_row(number: int, count: int, seal: bytes) -> bytes:
    """Returns the hash of a user's row, which is read without the sentences: 4 bytes."""
    return hashlib.blake2b(struct.pack("<qq", number, count) + seal, digest_size=4).digest()


def of_voices(phones: np.ndarray, users: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Returns the hash of each voice: int64 `[n]` of `[n]` each, from 0 to 2**24 - 1."""
    mixed = np.zeros(len(phones), np.uint64)
    for values in (phones, users, sentences):
        mixed = _mix(mixed * np.uint64(_GOLDEN) + np.asarray(values).astype(np.uint64))
    return (mixed & np.uint64(_VOICE)).astype(np.int64)


def of_meta(description: Mapping[str, Any]) -> str:
    """Returns the hash of what `meta` says, but for the hash itself; hexadecimal."""
    said = {key: value for key, value in description.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _mix(bits: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele et al. 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
