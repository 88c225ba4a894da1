"""Words and their ids: a SentencePiece word vocabulary with fixed special tokens.

Sub-words are in `fedkeyboard.subwords`.

The ids of padding, begin, end and unknown are the first four, in this order, in every vocabulary.
A sentence is a row of ids: begin, its words, end, cut to `length` + 1 and filled up with padding;
the model reads the first `length` of them and predicts the last `length`.

`vocabulary.txt` (a word a line, the line's number is the id) says the same as the SentencePiece
model and is what a phone reads.
"""

import collections
import dataclasses
import functools
import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sentencepiece

from fedkeyboard import files, spellings
from fedkeyboard.errors import UserError
from fedkeyboard.words import words

PAD, BEGIN, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")

MODEL_FILE = "tokenizer.model"
VOCABULARY_FILE = "vocabulary.txt"

# Longer ones are no words, and SentencePiece drops them without a word of its own.
LONGEST_WORD = 100  # characters
_FEWEST_WORDS = 3  # as many as are suggested
SPACE = "\u2581"  # SentencePiece writes the space between words as this character


class Text(NamedTuple):
    """A user's sentences, to evaluate a model on: what is to be predicted, and what a model reads.

    Attributes:
      words: int32 `[n, T + 1]`, ids of words as `Tokenizer.rows` makes them: the targets.
      letters: int32 `[n, T]`, how many letters (code points) the target at each place has, which
        the id of the unknown word does not tell; 0 where it is no word.
      rows: int32 `[n, P + 1]`, the same words as the model reads them: `words`, or, of sub-words,
        the pieces of all of them, however many.
    """

    words: np.ndarray
    letters: np.ndarray
    rows: np.ndarray


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """A vocabulary of words.

    Attributes:
      model: The serialised SentencePiece model (`model_type="word"`); empty of a vocabulary that
        was read as a phone reads it.
      vocabulary: Its entries in the order of their ids; the first four are `SPECIAL`.
      spellings: How entries are shown, of those that are not shown as they are.
    """

    model: bytes
    vocabulary: tuple[str, ...]
    spellings: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False, kw_only=True)

    @classmethod
    def from_model(cls, model: bytes, *, name: str = MODEL_FILE) -> "Tokenizer":
        """Reads a serialised SentencePiece word model; `name` is for errors."""
        pieces = read_pieces(model, name=name)
        return cls(model, tuple(piece.removeprefix(SPACE) for piece in pieces))

    @classmethod
    def learn(
        cls, users: Iterable[Iterable[str]], *, vocabulary_size: int, minimum_users: int
    ) -> "Tokenizer":
        """Learns the most frequent words of `users`, each an iterable of raw sentences.

        Words of fewer than `minimum_users` users are left out: a word that only one person writes
        says more about that person than about the language.

        Args:
          users: The text of each training user.
          vocabulary_size: Entries, the four special ones included; fewer if the text has fewer.
          minimum_users: How many users must have written a word.

        Raises:
          UserError: If fewer than three words are left.
        """
        noted = spellings.Noted()
        counts = shared_words(noted.of(users), minimum_users)
        return cls.of_counts(counts, vocabulary_size, noted.commonest(counts, minimum_users))

    @classmethod
    def of_counts(
        cls, counts: dict[str, int], vocabulary_size: int, shown: Mapping[str, str]
    ) -> "Tokenizer":
        """Returns the vocabulary of the most frequent of `shared_words`, which are `shown` so."""
        model = train_sentencepiece(
            table(counts),
            input_format="tsv",
            model_type="word",
            vocab_size=min(vocabulary_size, len(counts) + len(SPECIAL)),
        )
        return cls.from_model(model).shown_as(shown)

    @classmethod
    def load(cls, directory: files.PathLike) -> "Tokenizer":
        """Reads the tokenizer that `save` wrote."""
        path = pathlib.Path(directory) / MODEL_FILE
        read = cls.from_model(read_model(path), name=str(path))
        return read.shown_as(spellings.read(path.with_name(spellings.FILE), read.vocabulary))

    @classmethod
    def load_vocabulary(cls, path: files.PathLike) -> "Tokenizer":
        """Reads what `save_vocabulary` wrote, as a phone does: a `vocabulary.txt` and beside it."""
        vocabulary = tuple(files.read_text(path).removesuffix("\n").split("\n"))
        if vocabulary[: len(SPECIAL)] != SPECIAL:
            raise UserError(
                f"{path}: not a vocabulary: its first lines are not {', '.join(SPECIAL)}"
            )
        beside = pathlib.Path(path).with_name(spellings.FILE)
        return cls(b"", vocabulary, spellings=spellings.read(beside, vocabulary))

    def save(self, directory: files.PathLike) -> None:
        """Writes `tokenizer.model`, `vocabulary.txt` and `spellings.json`."""
        directory = pathlib.Path(directory)
        files.write_bytes(directory / MODEL_FILE, self.model)
        self.save_vocabulary(directory / VOCABULARY_FILE)

    def save_vocabulary(self, path: files.PathLike) -> None:
        """Writes the entries alone, a line each, and `spellings.json` beside: all a phone needs."""
        files.write_text(path, "".join(f"{entry}\n" for entry in self.vocabulary))
        beside = pathlib.Path(path).with_name(spellings.FILE)
        files.write_text(beside, spellings.written(self.spellings))

    def shown_as(self, shown: Mapping[str, str]) -> "Tokenizer":
        """Returns the same vocabulary, whose entries are shown so."""
        entries = set(self.vocabulary)
        ours = {word: spelling for word, spelling in shown.items() if word in entries}
        return dataclasses.replace(self, spellings=ours)

    @functools.cached_property
    def shown(self) -> tuple[str, ...]:
        """How each entry of the vocabulary is shown."""
        return tuple(self.spellings.get(entry, entry) for entry in self.vocabulary)

    def __len__(self) -> int:
        return len(self.vocabulary)

    @property
    def of_words(self) -> "Tokenizer":
        """The vocabulary of whole words beside this one: itself."""
        return self

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {entry: i for i, entry in enumerate(self.vocabulary)}

    def encode(self, text: str) -> list[int]:
        """Returns the ids of the words of `text`, `UNKNOWN` for words outside the vocabulary.

        A table look-up a word, as the phone does it: SentencePiece's own `encode` gives the same
        ids but joins neighbouring unknown words into one token.
        """
        ids = self._ids
        return [ids.get(word, UNKNOWN) for word in words(text)]

    def rows(self, sentences: Sequence[str], length: int) -> np.ndarray:
        """Returns int32 `[n, length + 1]`: a row for each sentence that has a word."""
        encoded = [ids for ids in map(self.encode, sentences) if ids]
        rows = np.full((len(encoded), length + 1), PAD, np.int32)
        for row, ids in zip(rows, encoded, strict=True):
            whole = [BEGIN, *ids[:length], END][: length + 1]
            row[: len(whole)] = whole
        return rows

    def text(self, sentences: Sequence[str], length: int) -> Text:
        """Returns the `rows` of some sentences with the letters of their words."""
        rows = self.rows(sentences, length)
        letters = np.zeros((len(rows), length), np.int32)
        for row, spelled in zip(letters, filter(None, map(words, sentences)), strict=True):
            row[: len(spelled)] = [len(word) for word in spelled[:length]]
        return Text(rows, letters, rows)


def shared_words(users: Iterable[Iterable[str]], minimum_users: int) -> dict[str, int]:
    """Counts the words that at least `minimum_users` of `users` wrote.

    Returns:
      By word, in an order that does not depend on that of the users.

    Raises:
      UserError: If there are fewer than three.
    """
    counts: collections.Counter[str] = collections.Counter()
    writers: collections.Counter[str] = collections.Counter()
    for sentences in users:
        of_user = collections.Counter(word for text in sentences for word in words(text))
        counts.update(of_user)
        writers.update(of_user.keys())
    shared = {
        word: counts[word]
        for word in sorted(counts)
        if writers[word] >= minimum_users and len(word) <= LONGEST_WORD
    }
    if len(shared) < _FEWEST_WORDS:
        raise UserError(
            f"fewer than {_FEWEST_WORDS} words are written by at least {minimum_users} "
            "training users; lower tokenizer.minimum_users or bring more text"
        )
    return shared


def table(counts: dict[str, int]) -> Iterable[str]:
    """Returns words and their counts as SentencePiece reads them (`input_format="tsv"`)."""
    return (f"{word}\t{count}" for word, count in counts.items())


def train_sentencepiece(sentences: Iterable[str], **options: Any) -> bytes:
    """Trains a SentencePiece model with our special entries on normalised words.

    Not from a file: the model would hold the file's name, and no two would be equal.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        normalization_rule_name="identity",
        character_coverage=1.0,
        pad_id=PAD,
        bos_id=BEGIN,
        eos_id=END,
        unk_id=UNKNOWN,
        pad_piece=SPECIAL[PAD],
        bos_piece=SPECIAL[BEGIN],
        eos_piece=SPECIAL[END],
        unk_piece=SPECIAL[UNKNOWN],
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def read_model(path: pathlib.Path) -> bytes:
    """Reads a run's file with a SentencePiece model."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; is {path.parent} a run directory?") from error


def read_pieces(model: bytes, *, name: str) -> list[str]:
    """Returns the entries of a serialised SentencePiece model; `name` is for errors."""
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except RuntimeError as error:
        raise UserError(f"{name}: not a SentencePiece model") from error
    pieces = [processor.id_to_piece(i) for i in range(len(processor))]
    if tuple(pieces[: len(SPECIAL)]) != SPECIAL:
        raise UserError(
            f"{name}: its first entries are {pieces[:4]}, not {list(SPECIAL)}; "
            "learn it with fedkeyboard"
        )
    return pieces
