"""Sub-words: a vocabulary of pieces, of which words outside any vocabulary are put together.

Byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909) or a unigram model of pieces (Kudo 2018,
arXiv 1804.10959), by SentencePiece. The space comes after a word and belongs to its last piece
(`treat_whitespace_as_suffix`): a piece that ends with U+2581 ends a word, so the probability of a
word is the product of its pieces'. With the space in front, as is usual, a word would have ended
only once the next one had begun.

Pieces are learned from words that several users wrote, each alone, never from sentences. Beside
them stands the vocabulary of whole words that a word model would have: evaluation's targets, their
frequencies and the n-gram baselines are those of a word run.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import numpy as np
import sentencepiece

from fedkeyboard import files, hashed, streams
from fedkeyboard.errors import UserError
from fedkeyboard.streams import Stream
from fedkeyboard.text import spellings
from fedkeyboard.text.tokenizer import (
    MODEL_FILE,
    SPACE,
    SPECIAL,
    UNKNOWN,
    Tokenizer,
    read_model,
    read_pieces,
    train_sentencepiece,
)
from fedkeyboard.text.vocabulary import LONGEST_WORD, SharedWords, shared_words
from fedkeyboard.text.words import words

Kind = Literal["word", "bpe", "unigram"]

WORDS_FILE = "words.model"

# Of the text that a unigram model is learned from.
_MOST_WORDS = 1_000_000
_WORDS_A_LINE = 20
# First pieces for each one that is kept. With SentencePiece's million, nearly all that it keeps are
# whole words and single letters: 1.112 pieces a word on chitchat's validation users, not 1.066, and
# 5.0 a word outside the vocabulary, not 3.1.
_SEEDS = 3.5
# Words whose pieces are kept at hand.
_REMEMBERED = 100_000


@dataclasses.dataclass(frozen=True)
class SubwordTokenizer(Tokenizer):
    """A vocabulary of pieces.

    Attributes:
      whole: The vocabulary of words of the same size, learned from the same users.
    """

    whole: Tokenizer

    @property
    def of_words(self) -> Tokenizer:
        """The vocabulary of whole words beside this one."""
        return self.whole

    def save(self, directory: files.PathLike) -> None:
        """Writes what words have, and `words.model`; `spellings.json` is of whole words."""
        super().save(directory)
        hashed.write_bytes(pathlib.Path(directory) / WORDS_FILE, self.whole.model)

    @functools.cached_property
    def _pieces(self) -> Callable[[str], list[int]]:
        processor = sentencepiece.SentencePieceProcessor(model_proto=self.model)

        @functools.lru_cache(_REMEMBERED)
        def pieces(word: str) -> list[int]:
            found = processor.encode(word) if len(word) <= LONGEST_WORD else [UNKNOWN]
            return [UNKNOWN] if UNKNOWN in found else found

        return pieces

    def encode(self, text: str) -> list[int]:
        """Returns the pieces of the words of `text`; a word that they cannot spell is `UNKNOWN`."""
        return [piece for word in words(text) for piece in self._pieces(word)]

    def ids(self, word: str) -> list[int]:
        """Returns the pieces of one word."""
        return self._pieces(word)


def learn(
    users: Iterable[Iterable[str]],
    *,
    kind: Kind,
    vocabulary_size: int,
    minimum_users: int,
    digits: bool = False,
) -> Tokenizer:
    """Learns a vocabulary of words or of pieces from raw sentences.

    Args:
      users: The text of each training user.
      kind: What its entries are: whole words, or pieces by one of the two methods.
      vocabulary_size: Entries, the four special ones included; fewer if the text has fewer.
      minimum_users: How many users must have written a word.
      digits: Whether words with digits may be entries, or give pieces.

    Raises:
      UserError: If fewer than three words are left, or they have more characters than fit.
    """
    return of_shared(shared_words(users, minimum_users, digits), kind, vocabulary_size)


def of_shared(shared: SharedWords, kind: Kind, vocabulary_size: int) -> Tokenizer:
    """Returns the vocabulary, of words or of pieces, of the words that users share.

    Args:
      shared: The words.
      kind: What its entries are.
      vocabulary_size: Entries, the four special ones included; fewer if there are fewer words.

    Raises:
      UserError: If the words have more characters than fit.
    """
    whole = Tokenizer.of_shared(shared, vocabulary_size)
    if kind == "word":
        return whole
    # SentencePiece makes each character an entry, and the space.
    fewest = len(SPECIAL) + len(set().union(*shared.counts)) + 1
    if vocabulary_size < fewest:
        raise UserError(
            f"tokenizer.vocabulary_size: {vocabulary_size} entries cannot hold each character of "
            f"the training users' words; give {fewest} or more"
        )
    by_kind = (
        {"sentences": shared.table(), "input_format": "tsv"}
        if kind == "bpe"
        else {
            "sentences": _shuffled(shared.counts),
            "seed_sentencepiece_size": int(_SEEDS * vocabulary_size),
        }
    )
    model = train_sentencepiece(
        **by_kind,
        model_type=kind,
        vocab_size=vocabulary_size,
        hard_vocab_limit=False,
        treat_whitespace_as_suffix=True,
        # What a word is has been decided: "don't", "gr8" and "10am" may be one piece.
        split_by_unicode_script=False,
        split_by_number=False,
    )
    return _of_models(model, whole, MODEL_FILE)


def _shuffled(counts: Mapping[str, int]) -> list[str]:
    """Returns lines of words in random order, each about as often as counted, but at least twice.

    SentencePiece takes for a first piece only what it sees before different things, so that a word
    alone on its line, or always before the same one, never becomes a piece.
    """
    often = np.maximum(np.fromiter(counts.values(), np.float64), 2.0)
    often *= min(1.0, _MOST_WORDS / often.sum())
    drawn = np.repeat(np.arange(len(counts)), np.maximum(often.round().astype(np.int64), 2))
    streams.generator(0, Stream.SUBWORDS).shuffle(drawn)
    names = list(counts)
    return [
        " ".join(names[i] for i in drawn[first : first + _WORDS_A_LINE])
        for first in range(0, len(drawn), _WORDS_A_LINE)
    ]


def load(directory: files.PathLike, kind: Kind) -> Tokenizer:
    """Reads the tokenizer of a run whose setting `tokenizer.kind` is `kind`."""
    if kind == "word":
        return Tokenizer.load(directory)
    path, of_words = (pathlib.Path(directory) / name for name in (MODEL_FILE, WORDS_FILE))
    whole = Tokenizer.from_model(read_model(of_words), name=str(of_words))
    beside = path.with_name(spellings.FILE)
    shown = spellings.read(beside, whole.vocabulary, hashed.read_text)
    return _of_models(read_model(path), whole.shown_as(shown), str(path))


def _of_models(model: bytes, whole: Tokenizer, name: str) -> SubwordTokenizer:
    pieces = tuple(read_pieces(model, name=name))
    return SubwordTokenizer(model, pieces, whole, spellings=whole.spellings)


def ends_word(piece: str) -> bool:
    """Returns whether a piece, not a special entry, is the last one of a word."""
    return piece.endswith(SPACE)
