"""How much of n-gram counts to believe: what makes users' text likeliest that was not counted.

An n-gram that was written c times, what it begins with c(h) times, has

    q = s (c - D(c)) / c(h),     D(c) = min(c / 2, 1.5),

where D is an absolute discount (Ney et al. 1994) and s the share that is believed of n-grams of
this length after what was written about this often: the more often, the better the model knows it
by itself. The shares are those that make validation users' words likeliest, found one after the
other among twentieths; only sums over these users are needed.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from fedkeyboard.ngrams import model
from fedkeyboard.ngrams.counts import Counts
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text.tokenizer import PAD

# How often what an n-gram begins with was written; each band begins there.
_BANDS = (0, 10, 30, 100, 1000)
# Where there is nothing to fit on: about what fits chat.
_UNFITTED = {2: 0.15, 3: 0.35}
_LONGER = 0.45
_SHARES = np.arange(20) / 20
# A band that fewer targets tell of has its length's share.
_FEWEST = 500
_PASSES = 3


class _Observed(NamedTuple):
    """Targets after n-grams of one length: what counts, without a share, say of them.

    Attributes:
      seen: bool `[N]`, whether anything was written after these words.
      band: int64 `[N]`, of how often they were.
      target: float64 `[N]`, the discounted share of the target,
      all: float64 `[N]`, and of all words together.
    """

    seen: np.ndarray
    band: np.ndarray
    target: np.ndarray
    all: np.ndarray


def fit(counts: Counts, observed: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Returns the shares: float64 `[order - 1, 5]`, of each length from 2 on, in each band.

    Args:
      counts: Of training users.
      observed: Of other users int32 `[n, L + 1]` messages, and float32 `[N]`, the log-probability
        that the model gives to each of their targets, in nats.
    """
    discounted = _discounted(counts)
    said = [np.empty(0)]
    parts = [
        [_of_rows(counts, discounted, length, np.zeros((0, 2), np.int32))]
        for length in range(2, counts.trie.order + 1)
    ]
    for rows, log_probabilities in observed:
        said.append(np.exp(log_probabilities, dtype=np.float64))
        for length, part in enumerate(parts, 2):
            part.append(_of_rows(counts, discounted, length, rows))
    of_lengths = [_Observed(*map(np.concatenate, zip(*part, strict=True))) for part in parts]
    return _likeliest(np.concatenate(said), of_lengths)


def _likeliest(said: np.ndarray, of_lengths: list[_Observed]) -> np.ndarray:
    shares = np.array(
        [[_UNFITTED.get(length, _LONGER)] * len(_BANDS) for length in range(2, 2 + len(of_lengths))]
    )
    if not len(said):
        return shares

    def likelihood() -> float:
        p = said
        for observed, of_length in zip(of_lengths, shares, strict=True):
            share = np.where(observed.seen, of_length[observed.band], 0.0)
            p = share * observed.target + (1 - share * observed.all) * p
        with np.errstate(divide="ignore"):
            return float(np.sum(np.log(p)))

    def choose(length: int, bands: list[int]) -> None:
        tried = []
        for share in _SHARES:
            shares[length, bands] = share
            tried.append(likelihood())
        shares[length, bands] = _SHARES[int(np.argmax(tried))]

    everywhere = list(range(len(_BANDS)))
    for bands_of in (lambda _: [everywhere], lambda observed: _told_of(observed)):
        for _ in range(_PASSES):
            for length, observed in enumerate(of_lengths):
                for bands in bands_of(observed):
                    choose(length, bands)
    return shares


def _told_of(observed: _Observed) -> list[list[int]]:
    told = np.bincount(observed.band[observed.seen], minlength=len(_BANDS))
    return [[band] for band in range(len(_BANDS)) if told[band] >= _FEWEST]


def _discounted(counts: Counts) -> list[np.ndarray]:
    """Returns (c - D(c)) / c(h), float64 `[E]`, of each length from 2 on."""
    discounted = []
    for place, keys in enumerate(counts.trie.keys):
        times = counts.counts[place + 1]
        begin = counts.counts[place][keys // counts.trie.vocabulary]
        discounted.append((times - np.minimum(times / 2, 1.5)) / begin)
    return discounted


def _of_rows(
    counts: Counts, discounted: list[np.ndarray], length: int, rows: np.ndarray
) -> _Observed:
    trie, place = counts.trie, length - 2
    real = rows[:, 1:] != PAD
    ending = trie.ending(rows)
    begin, whole = ending[place][:, :-1][real], ending[place + 1][:, 1:][real]
    starts = trie.starts[place]
    # NONE is the last of each, and no one's.
    in_all = np.append(np.diff(np.cumsum(np.append(0.0, discounted[place]))[starts]), 0.0)
    return _Observed(
        seen=in_all[begin] > 0,
        band=np.searchsorted(_BANDS, np.append(counts.counts[place], 0)[begin], side="right") - 1,
        target=np.append(discounted[place], 0.0)[whole],
        all=in_all[begin],
    )


def ngrams(counts: Counts, shares: np.ndarray) -> NGrams:
    """Returns what n-grams say, of which so much is believed."""
    codes = []
    for place, discounted in enumerate(_discounted(counts)):
        nodes = counts.trie.keys[place] // counts.trie.vocabulary
        band = np.searchsorted(_BANDS, counts.counts[place][nodes], side="right") - 1
        codes.append(model.encode(shares[place][band] * discounted))
    return NGrams(counts.trie, tuple(codes))


def fitting_in(counts: Counts, most_bytes: int) -> Counts:
    """Returns the n-grams that more users wrote, by as many as it takes to fit into so many bytes.

    If nothing fits, none are left.
    """
    while model.size(counts.trie) > most_bytes and any(map(len, counts.users)):
        counts = counts.of_users(1 + min(int(np.min(u)) for u in counts.users if len(u)))
    return counts
