"""Messages become a population file: grouped by user, cleaned, split by user, numbered.

Messages and users' names stay on disk (see `staging`), however many there are; what grows in
memory with the users is one permutation, 8 bytes a user.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import os
import pathlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

from fedkeyboard import files, streams
from fedkeyboard.data import cleaning as cleaned
from fedkeyboard.data import corpora, writing
from fedkeyboard.data.cleaning import Cleaning
from fedkeyboard.data.messages import Message
from fedkeyboard.data.population import SPLITS, VERSION, Population, is_population
from fedkeyboard.data.staging import Kept, Staging
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.files import replacing
from fedkeyboard.streams import Stream

PathLike = str | os.PathLike[str]

_FRACTIONS = (0.8, 0.1, 0.1)


@dataclasses.dataclass(frozen=True)
class Summary:
    """What `prepare` did."""

    path: pathlib.Path
    fingerprint: str
    messages_read: int
    users_read: int
    users_left_out: int
    first_row_left_out: int | None
    """The earliest row of a user who was left out; None if nobody was."""
    left_out: dict[str, int]
    """Messages that were left out, by why, and `with links taken out` (`cleaning`)."""
    sentences: int
    words: int
    phones: dict[str, int]
    """How many phones each split has."""
    users: dict[str, int]
    """How many real users they are of."""
    note: str | None
    """One line for the user about what was left out; None if nothing was."""

    def as_dict(self) -> dict:
        """Returns the fields in the types of JSON."""
        return dataclasses.asdict(self) | {"path": str(self.path)}


def prepare(
    messages: Iterable[Message],
    output: PathLike,
    *,
    source: str,
    cleaning: Cleaning,
    seed: int = 0,
    fractions: tuple[float, float, float] = _FRACTIONS,
    phones: int | None = None,
    progress: Callable[[int], None] | None = None,
    on_voices: Callable[[int], None] | None = None,
    overwrite: bool = False,
) -> Summary:
    """Builds the population file `output` from `messages`, whole or not at all.

    The same messages of each user, in whatever order the users come, with the same settings give
    the same file, byte for byte.

    `messages` come from `corpora`; their order matters only where times are equal or missing.
    `source` names them in the file's description and in errors. `seed` decides who is in which
    split and under which number; `fractions` are the parts of the users for train, validation and
    test, each of which gets one user at least. With `phones` the training users are multiplied to
    so many virtual phones (`voices`). `progress` is called every few thousand messages with the
    number read so far, and `on_voices` with the number of virtual phones; if stopped among those,
    the next call with the same arguments goes on with them. An existing `output` is replaced only
    if `overwrite` is set and it is a population file, or if it is empty: a slip must not cost a
    user another population, or the messages themselves.

    Raises `UserError` if the messages or an argument cannot be used, `RunFailure` if the disk
    cannot take the result, or another process builds `output`. Either way, and if interrupted,
    `output` is left as it was.
    """
    output = pathlib.Path(output)
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be 0 or more")
    if phones is not None and not 1 <= phones <= 2**31:
        raise UserError(f"phones is {phones}; it must be 1 or more, and at most {2**31}")
    if len(fractions) != len(SPLITS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"fractions are {', '.join(map(str, fractions))}; "
            f"they must be {len(SPLITS)} numbers above 0 that sum to 1"
        )
    with _disk_errors(output):
        _check_output(output, overwrite)
        with building(output):
            # Another process may have built it just now.
            _check_output(output, overwrite)
            return _prepare(
                messages,
                output,
                source=source,
                cleaning=cleaning,
                seed=seed,
                fractions=fractions,
                phones=phones,
                progress=progress,
                on_voices=on_voices,
            )


def _prepare(
    messages: Iterable[Message],
    output: pathlib.Path,
    *,
    source: str,
    cleaning: Cleaning,
    seed: int,
    fractions: tuple[float, float, float],
    phones: int | None,
    progress: Callable[[int], None] | None,
    on_voices: Callable[[int], None] | None,
) -> Summary:
    """Builds `output`, which this process holds."""
    with _disk_errors(output), Staging.beside(output) as staging:
        read = staging.read(messages, progress)
        kept = staging.keep(cleaning)
        _check_enough(kept, source, cleaning)
        settings = {
            "source": source,
            "seed": seed,
            "fractions": list(fractions),
            "cleaning": dataclasses.asdict(cleaning),
            "left_out": _left_out(kept),
        }
        order = streams.generator(seed, Stream.SPLITS).permutation(kept.users)
        sizes = split_sizes(kept.users, fractions)
        with contextlib.ExitStack() as held, replacing(output) as path:
            description = writing.write_sentences(path, staging, order, sizes, settings, phones)
            if phones is None:
                writing.forget(output)
            else:
                description = writing.multiply(path, output, description, phones, on_voices, held)
            writing.describe(path, description)
    return Summary(
        path=output,
        fingerprint=description["fingerprint"],
        messages_read=read,
        users_read=kept.users + kept.left_out,
        users_left_out=kept.left_out,
        first_row_left_out=kept.first_row_left_out,
        left_out=description["left_out"],
        sentences=description["sentences"],
        words=description["words"],
        phones={name: split["phones"] for name, split in description["splits"].items()},
        users=dict(zip(SPLITS, sizes, strict=True)),
        note=_note(kept, cleaning),
    )


def ensure_chitchat(
    directory: pathlib.Path,
    *,
    cleaning: Cleaning,
    seed: int = 0,
    phones: int | None = None,
    progress: Callable[[int], None] | None = None,
    on_voices: Callable[[int], None] | None = None,
) -> pathlib.Path:
    """Returns the population file of the bundled corpus, which it builds if it is not there.

    Its name, `chitchat-<8 digits>.sqlite`, follows from the settings and the versions of corpus
    and format. Of two processes that do this at once the second waits for the first.
    """
    corpus = importlib.metadata.version("chitchat-dataset")
    settings = [corpus, VERSION, dataclasses.asdict(cleaning), seed, _FRACTIONS, phones]
    name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    path = pathlib.Path(directory) / f"chitchat-{name}.sqlite"
    with contextlib.suppress(UserError):  # Not there, or damaged.
        Population.open(path).close()
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with building(path, wait=True):
        with contextlib.suppress(UserError):  # Another process has built it meanwhile.
            Population.open(path).close()
            return path
        _prepare(
            corpora.chitchat(),
            path,
            source=f"chitchat-dataset {corpus}",
            cleaning=cleaning,
            seed=seed,
            fractions=_FRACTIONS,
            phones=phones,
            progress=progress,
            on_voices=on_voices,
        )
    return path


@contextlib.contextmanager
def building(output: pathlib.Path, *, wait: bool = False) -> Iterator[None]:
    """Holds a population file that is to be built against other processes.

    By a lock on a file beside it, which is gone afterwards. One that a killed process left is not
    locked, and goes with the next `files.remove_unfinished`.

    Raises:
      RunFailure: If another process holds it, and `wait` is not set.
    """
    path = output.with_name(f".{output.name}.building{files.UNFINISHED}")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # Who held it may have removed it before it was ours.
            if os.fstat(descriptor).st_nlink:
                break
        except BlockingIOError as error:
            os.close(descriptor)
            raise RunFailure(
                f"{output}: another process is building it; wait for it, or name another file"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def split_sizes(users: int, fractions: Iterable[float]) -> list[int]:
    """Divides `users` by largest remainder, and gives each part at least one.

    There must be as many users as parts.
    """
    exact = [Fraction(fraction) for fraction in fractions]
    shares = [users * fraction / sum(exact) for fraction in exact]
    sizes = [int(share) for share in shares]
    by_remainder = sorted(range(len(sizes)), key=lambda i: sizes[i] - shares[i])
    for i in by_remainder[: users - sum(sizes)]:
        sizes[i] += 1
    while 0 in sizes:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(0)] += 1
    return sizes


def _check_output(output: pathlib.Path, overwrite: bool) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{output.parent} is not a directory; name another output") from error
    if output.is_dir():
        raise UserError(f"{output} is a directory; name the file to write")
    if not output.exists():
        return
    if not output.stat().st_size:
        return
    if not is_population(output):
        raise UserError(
            f"{output} exists and is not a population file; remove it or name another file"
        )
    if not overwrite:
        raise UserError(
            f"{output} is a population already; give --force to replace it, or name another file"
        )


@contextlib.contextmanager
def _disk_errors(output: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunFailure(
            f"{output}: cannot be written ({reason}); check that {output.parent} can be written "
            "to and has room for three times the messages, and /var/tmp for once (or set "
            "SQLITE_TMPDIR)"
        ) from error


def _check_enough(kept: Kept, source: str, cleaning: Cleaning) -> None:
    if kept.users >= len(SPLITS):
        return
    if not kept.users and not kept.left_out:
        raise UserError(f"{source}: there are no messages; name a source that has some")
    left_out = kept.messages
    if 2 * left_out[cleaned.UNSPACED] > sum(left_out[why] for why in cleaned.LEFT_OUT):
        raise UserError(
            f"{source}: {left_out[cleaned.UNSPACED]:,} messages are text without spaces between "
            "words, as Chinese, Japanese and Thai are written, of which no words can be made yet"
        )
    those = "no user has" if not kept.users else f"only {kept.users} of the users have"
    raise UserError(
        f"{source}: {those} {cleaning.minimum_sentences} usable sentences or more, and train, "
        f"validation and test need a user each (at least {len(SPLITS)}); add messages"
        + (", or lower --min-sentences" if kept.left_out else "")
    )


def _left_out(kept: Kept) -> dict[str, int]:
    """Returns how many messages were left out, by why, and how many lost a link."""
    return {
        why: kept.messages[why] for why in (*cleaned.LEFT_OUT, cleaned.LINKS) if kept.messages[why]
    }


def _note(kept: Kept, cleaning: Cleaning) -> str | None:
    told = []
    if kept.left_out:
        users, each = ("users", "the first one") if kept.left_out > 1 else ("user", "it")
        told.append(
            f"{kept.left_out:,} {users} left out: fewer than {cleaning.minimum_sentences} usable "
            f"sentences ({each} begins at row {kept.first_row_left_out}); "
            "lower --min-sentences to keep them"
        )
    left_out = _left_out(kept)
    links = left_out.pop(cleaned.LINKS, 0)
    if left_out:
        total = sum(left_out.values())
        why = ", ".join(f"{count:,} {why}" for why, count in left_out.items())
        told.append(f"{total:,} {_messages(total)} left out: {why}")
    if links:
        told.append(f"links taken out of {links:,} {_messages(links)}")
    return "; ".join(told) or None


def _messages(count: int) -> str:
    return "message" if count == 1 else "messages"
