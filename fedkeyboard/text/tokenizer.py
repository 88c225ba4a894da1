"""Words and their ids: a SentencePiece word vocabulary with fixed special tokens.

Sub-words are in `fedkeyboard.text.subwords`.

The ids of padding, begin, end and unknown are the first four, in this order, in every vocabulary.
A message is a row of ids: begin, its words, end, filled up with padding; the model reads all but
the last and predicts all but the first. To evaluate on, it is whole, since a keyboard does not stop
suggesting. To train on, a row has `length` + 1 ids, without the end if there is no room, and a
message of more words becomes several rows (`packed`).

`vocabulary.txt` (a word a line, the line's number is the id) says the same as the SentencePiece
model and is what a phone reads.
"""

import dataclasses
import functools
import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sentencepiece

from fedkeyboard import files, hashed
from fedkeyboard.errors import UserError
from fedkeyboard.terminal import CONTROLS
from fedkeyboard.text import spellings
from fedkeyboard.text.vocabulary import SharedWords, shared_words
from fedkeyboard.text.words import sentences as split_into_sentences
from fedkeyboard.text.words import words

PAD, BEGIN, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")

MODEL_FILE = "tokenizer.model"
VOCABULARY_FILE = "vocabulary.txt"

# Bytes of a SentencePiece model; of 100,000 words it has some 2 MB.
_MOST = 256 * files.MEGABYTE
SPACE = "\u2581"  # SentencePiece writes the space between words as this character


# Of a message to evaluate on; bounds what a hostile or broken text can take.
MOST_WORDS = 1000


class Text(NamedTuple):
    """A user's n messages: what is to be predicted, what a model reads, what it may train on.

    Attributes:
      words: int32 `[n, L + 1]`, ids of the words of whole messages, at most `MOST_WORDS` of each,
        and their ends: the targets.
      letters: int32 `[n, L]`, how many letters (code points) the target at each place has, which
        the id of the unknown word does not tell; 0 where it is no word.
      rows: int32 `[n, P + 1]`, the same words as the model reads them: `words`, or, of sub-words,
        the pieces of all of them, however many.
      training: int32 `[m, T + 1]`, the messages as `Tokenizer.rows` has them to train on.
      message: int32 `[m]`, which message each of those rows is of, ascending.
    """

    words: np.ndarray
    letters: np.ndarray
    rows: np.ndarray
    training: np.ndarray
    message: np.ndarray

    def part(self, first: int, last: int) -> "Text":
        """Returns the messages from `first` up to, and without, `last`."""
        begin, end = np.searchsorted(self.message, (first, last))
        chosen = slice(first, last)
        return Text(
            *(values[chosen] for values in (self.words, self.letters, self.rows)),
            training=self.training[begin:end],
            message=self.message[begin:end] - first,
        )


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
        cls,
        users: Iterable[Iterable[str]],
        *,
        vocabulary_size: int,
        minimum_users: int,
        digits: bool = False,
    ) -> "Tokenizer":
        """Learns the most frequent words of `users`, each an iterable of raw sentences.

        Which words may be entries: `shared_words`.

        Args:
          users: The text of each training user.
          vocabulary_size: Entries, the four special ones included; fewer if the text has fewer.
          minimum_users: How many users must have written a word.
          digits: Whether words with digits may be entries.

        Raises:
          UserError: If fewer than three words are left.
        """
        return cls.of_shared(shared_words(users, minimum_users, digits), vocabulary_size)

    @classmethod
    def of_shared(cls, shared: SharedWords, vocabulary_size: int) -> "Tokenizer":
        """Returns the vocabulary of the most frequent of the words that users share."""
        model = train_sentencepiece(
            shared.table(),
            input_format="tsv",
            model_type="word",
            vocab_size=min(vocabulary_size, len(shared.counts) + len(SPECIAL)),
        )
        return cls.from_model(model).shown_as(shared.shown)

    @classmethod
    def load(cls, directory: files.PathLike) -> "Tokenizer":
        """Reads the tokenizer that `save` wrote."""
        path = pathlib.Path(directory) / MODEL_FILE
        read = cls.from_model(read_model(path), name=str(path))
        beside = path.with_name(spellings.FILE)
        return read.shown_as(spellings.read(beside, read.vocabulary, hashed.read_text))

    @classmethod
    def load_vocabulary(cls, path: files.PathLike) -> "Tokenizer":
        """Reads what `save_vocabulary` wrote, as a phone does: a `vocabulary.txt` and beside it."""
        vocabulary = tuple(files.read_text(path).removesuffix("\n").split("\n"))
        if vocabulary[: len(SPECIAL)] != SPECIAL:
            raise UserError(
                f"{path}: not a vocabulary: its first lines are not {', '.join(SPECIAL)}"
            )
        _check_entries(vocabulary, path)
        beside = pathlib.Path(path).with_name(spellings.FILE)
        return cls(b"", vocabulary, spellings=spellings.read(beside, vocabulary))

    def save(self, directory: files.PathLike) -> None:
        """Writes `tokenizer.model`, `vocabulary.txt` and `spellings.json`."""
        directory = pathlib.Path(directory)
        hashed.write_bytes(directory / MODEL_FILE, self.model)
        hashed.write_text(directory / VOCABULARY_FILE, self._lines())
        hashed.write_text(directory / spellings.FILE, spellings.written(self.spellings))

    def save_vocabulary(self, path: files.PathLike) -> None:
        """Writes the entries alone, a line each, and `spellings.json` beside: all a phone needs."""
        files.write_text(path, self._lines())
        beside = pathlib.Path(path).with_name(spellings.FILE)
        files.write_text(beside, spellings.written(self.spellings))

    def _lines(self) -> str:
        return "".join(f"{entry}\n" for entry in self.vocabulary)

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

    def ids(self, word: str) -> list[int]:
        """Returns the entries of one word: one."""
        return [self._ids.get(word, UNKNOWN)]

    def rows(self, messages: Iterable[str], length: int) -> np.ndarray:
        """Returns int32 `[n, length + 1]` to train on: rows of the messages that have a word.

        One of each, but of those with more than `length` entries several (`packed`).
        """
        encoded = [row for text in messages for row in self._training(text, words(text), length)]
        return filled(encoded, length + 1)

    def text(self, messages: Sequence[str], length: int) -> Text:
        """Returns the messages that have a word, to evaluate on and to train on.

        Args:
          messages: As they were typed.
          length: T, of the rows to train on.
        """
        spelled = [(text, said) for text in messages if (said := words(text))]
        longest = max((min(len(said), MOST_WORDS) for _, said in spelled), default=length)
        letters = np.zeros((len(spelled), longest + 1), np.int32)
        whole, of_model, training, message = [], [], [], []
        for i, (text, said) in enumerate(spelled):
            read = said[:MOST_WORDS]
            letters[i, : len(read)] = [len(word) for word in read]
            # Beyond the bound the message goes on.
            end = [END] if len(read) == len(said) else []
            whole.append([BEGIN, *(i for word in read for i in self.of_words.ids(word)), *end])
            of_model.append([BEGIN, *(i for word in read for i in self.ids(word)), *end])
            rows = self._training(text, said, length)
            training += rows
            message += [i] * len(rows)
        targets = filled(whole, longest + 2)
        of_pieces = max(map(len, of_model), default=longest + 2)
        return Text(
            targets,
            letters,
            targets if self.of_words is self else filled(of_model, max(of_pieces, longest + 2)),
            filled(training, length + 1),
            np.array(message, np.int32),
        )

    def _training(self, text: str, said: list[str], length: int) -> list[list[int]]:
        """Returns the rows to train on of a message, whose words are `said`."""
        if not said:
            return []
        whole = [i for word in said for i in self.ids(word)]
        if len(whole) <= length:
            return [[BEGIN, *whole, END][: length + 1]]
        sentences = [[self.ids(word) for word in each] for each in split_into_sentences(text)]
        return [[BEGIN, *row, END][: length + 1] for row in packed(sentences, length)]


def packed(sentences: Iterable[Sequence[Sequence[int]]], length: int) -> list[list[int]]:
    """Packs the sentences of a message into rows of at most `length` entries.

    A sentence goes into the row of the one before if all of it fits there, and else begins the
    next. What is longer than a row is cut where the row is full, between words if it can be.

    Args:
      sentences: Of each the words, of each word its entries, one at least.
      length: T.

    Returns:
      All entries in their order.
    """
    rows: list[list[int]] = [[]]
    for sentence in sentences:
        if len(rows[-1]) + sum(map(len, sentence)) > length:
            rows.append([])
        for word in sentence:
            if len(rows[-1]) + len(word) > length:
                rows.append([])
            for first in range(0, len(word), length):
                if first:
                    rows.append([])
                rows[-1] += word[first : first + length]
    return [row for row in rows if row]


def filled(rows: Sequence[Sequence[int]], columns: int) -> np.ndarray:
    """Returns rows of ids filled up with padding: int32 `[n, columns]`."""
    array = np.full((len(rows), columns), PAD, np.int32)
    for row, ids in zip(array, rows, strict=True):
        row[: len(ids)] = ids
    return array


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
    if not path.exists():
        raise UserError(f"{path}: No such file; is {path.parent} a run directory?")
    return hashed.read_bytes(path, at_most=_MOST)


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
    _check_entries(pieces, name)
    return pieces


def _check_entries(entries: Sequence[str], name: files.PathLike) -> None:
    """Raises UserError if an entry has control characters, which no word has."""
    for number, entry in enumerate(entries, 1):
        if CONTROLS.search(entry):
            raise UserError(f"{name}: entry {number}: has control characters, which no word has")
