"""What a round reports, and the file that has a row of it for every round."""

import contextlib
import csv
import io
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from fedkeyboard import files, hashed
from fedkeyboard.errors import RunFailure
from fedkeyboard.simulation.fleet.fleet_round import FleetRound


class Round(NamedTuple):
    """What a round reports; what is measured on validation users is None in most rounds.

    Attributes:
      round: Its number, from 1.
      seconds: Wall-clock time.
      reported: Phones whose report counted.
      sentences: That they trained on.
      targets: That they trained on.
      steps: Batches that they trained on.
      rejected: Updates that were not finite.
      loss: Mean cross-entropy of the targets as the phones trained on them, in nats; NaN without
        targets.
      validation_top1_recall: On a fixed sample of validation users, after the round.
      validation_top3_recall: The same.
      validation_perplexity: The same.
    """

    round: int
    seconds: float
    reported: int
    sentences: int
    targets: int
    steps: int
    rejected: int
    loss: float
    validation_top1_recall: float | None
    validation_top3_recall: float | None
    validation_perplexity: float | None

    @property
    def diverged(self) -> bool:
        """Whether no phone's update is finite, so that nothing is learned from then on."""
        return 0 < self.reported == self.rejected


COLUMNS = (*Round._fields, *FleetRound.columns())
"""Of rounds.csv."""

# Some 300 bytes a round.
_MOST = 1024 * files.MEGABYTE
_REMEDY = "restore it from a copy; the model is not in it"


def read(path: pathlib.Path) -> list[Round]:
    """Reads the rounds of a rounds.csv."""

    def value(name: str, text: str) -> int | float | None:
        if not text:
            return None
        return int(text) if Round.__annotations__[name] is int else float(text)

    with readable(path):
        return [
            Round(**{name: value(name, line[name]) for name in Round._fields})
            for line in lines(path)
        ]


def lines(path: files.PathLike) -> list[dict[str, str]]:
    """Reads the rows of a rounds.csv, or a fleet.csv, but for one that a kill cut short."""
    content, _ = hashed.read_rows(path, at_most=_MOST, remedy=_REMEDY)
    with readable(path), io.StringIO(content.decode(), newline="") as file:
        return [line for line in csv.DictReader(file) if None not in line.values()]


def any_done(path: pathlib.Path) -> bool:
    """Whether a rounds.csv is there and has a row."""
    return path.exists() and bool(lines(path))


@contextlib.contextmanager
def readable(path: files.PathLike) -> Iterator[None]:
    """Says of what is no number, or no row, in which file it is: of rows whose hash is not known.

    Raises:
      RunFailure: With the name of the file.
    """
    try:
        yield
    except (ValueError, KeyError, OverflowError, MemoryError, csv.Error) as error:
        line = " ".join(str(error).split())
        raise RunFailure(f"{path}: damaged: {line}; {_REMEDY}") from error


def require(path: pathlib.Path, last: int) -> None:
    """Raises RunFailure if there have been rounds, up to `last`, and their file is gone."""
    if last and not path.exists():
        raise RunFailure(f"{path}: missing, with the figures of {last} rounds; {_REMEDY}")


def keep(path: pathlib.Path, last: int) -> None:
    """Makes a rounds.csv what it was after round `last`: the columns, and the rows up to it.

    A resumed run writes the rows after its checkpoint again. A row that a kill cut short is one of
    them, since a round's checkpoint is written after its row.
    """
    require(path, last)
    # TFF writes the whole file beside its place for each row.
    for unfinished in path.parent.glob(f"{path.name}_temp*"):
        unfinished.unlink()
    rows = []
    if path.exists():
        content, checked = hashed.read_rows(path, at_most=_MOST, remedy=_REMEDY)
        # At a checkpoint all rows are recorded; those after that are not needed.
        with readable(path), io.StringIO(content[:checked].decode(), newline="") as file:
            rows = [r for r in csv.reader(file) if r and r[0].isdigit() and int(r[0]) <= last]
    with io.StringIO(newline="") as kept:
        csv.writer(kept).writerows([COLUMNS, *rows])
        hashed.write_text(path, kept.getvalue())
