"""Updates and packages made to harm: more than they say, more than fits, other than what they are.

An update must be refused by its name, or move the model by no more than an honest one could; a
package must be refused in one line. Either within bounds of time and memory.

What is done to a package's file is done twice: as damage, which `verify` must find, and with the
manifest's hashes made to fit, so that what reads the file is all that stands in its way.
"""

import hashlib
import io
import itertools
import json
import os
import pathlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.reliability import commands, ground
from benchmarks.reliability.cases import Case
from benchmarks.reliability.ground import Ground
from fedkeyboard import hashed, streams
from fedkeyboard.streams import Stream

_BOMB = 1 << 30


def cases(made: Ground, count: int, generator: np.random.Generator) -> Iterator[Case]:
    """Yields so many cases, drawn from all, half of them updates."""
    of_updates = [(f"update: {name}", _update(made, harm)) for name, harm in _updates()]
    of_packages = [(f"package: {name}", attempt) for name, attempt in _packages(made)]
    drawn = []
    for some, wanted in ((of_updates, count - count // 2), (of_packages, count // 2)):
        order = generator.permutation(len(some))
        drawn += [some[order[i % len(some)]] for i in range(wanted)]
    for number, (name, attempt) in enumerate(drawn):
        yield Case(f"{number}: {name}", attempt)


# --- updates -------------------------------------------------------------------------------------

_Members = dict[str, bytes]


def _updates() -> Iterator[tuple[str, Callable[[pathlib.Path], object]]]:
    """Yields what is done to an honest update's file."""
    for name, factor in itertools.product(
        ("embedding", "output_bias"), (2.0, 1e3, 1e10, 3e38, -1e10, np.nan, np.inf)
    ):
        yield f"{name} times {factor:g}", _array(name, lambda a, f=factor: (a + 1e-3) * f)
    yield "all times 1e10", _all(lambda a: a * 1e10 + 1e10)
    yield "all 3e38", _all(lambda a: np.full_like(a, 3e38))
    yield "float64", _array("embedding", lambda a: a.astype(np.float64))
    yield "transposed", _array("embedding", lambda a: a.T)
    yield "a row more", _array("embedding", lambda a: np.concatenate([a, a[:1]]))
    yield "objects", _member("embedding.npy", _objects())
    for key, value in itertools.product(
        ("learning_rate", "epochs", "clipping_norm", "weight", "sentences", "steps", "batch_size"),
        (1e6, -1, 0, 10**30, "9", None, True, [1]),
    ):
        yield f"{key} = {value!r}", _said(key, value)
    for key in ("purpose", "format", "version", "weights_sha256", "vocabulary_sha256"):
        yield f"{key} of another", _said(key, "other")
    yield "metadata of 1 GB", _member("metadata.json", b" " * _BOMB)
    yield "metadata deep", _member("metadata.json", b"[" * 100_000)
    yield "metadata of digits", _member("metadata.json", b'{"epochs": ' + b"1" * 6000 + b"}")
    yield "metadata a list", _member("metadata.json", b"[]")
    yield "metadata no UTF-8", _member("metadata.json", b"\xff\xfe")
    yield "no metadata", _without("metadata.json")
    yield "no embedding", _without("embedding.npy")
    yield "an array of 1 GB", _member("embedding.npy", bytes(_BOMB))
    for header in (
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'\n",
        b"\x93NUMPY\x01\x00\x04\x00'''\n",
        b"\x93NUMPY\x01\x00\x00\x00",
        b"\x93NUMPY\x03\x00" + b"\xff" * 100,
        b"\x93NUMPY\x01\x00\x05\x00" + b"[][0]",
        b"",
    ):
        yield f"header {header[:14]!r}", _member("embedding.npy", header)
    for kind in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        yield f"compressed by method {kind}", _rewritten(lambda members: members, kind)
    yield (
        "100,000 members",
        _rewritten(lambda members: members | {f"m{i}": b"" for i in range(100_000)}),
    )
    yield "cut", lambda path: path.write_bytes(path.read_bytes()[:-100])
    yield "empty", lambda path: path.write_bytes(b"")
    yield "noise", lambda path: path.write_bytes(bytes(range(256)) * 100)
    yield "a pipe", lambda path: (path.unlink(), os.mkfifo(path))
    yield "/dev/zero", lambda path: (path.unlink(), path.symlink_to("/dev/zero"))
    yield "a directory", lambda path: (path.unlink(), path.mkdir())
    yield "gone", lambda path: path.unlink()
    yield "sparse, 100 GB", lambda path: os.truncate(path, 100 << 30)


def _update(made: Ground, harm: Callable[[pathlib.Path], object]):
    """A hostile update among two honest ones."""
    name = ground.UPDATES[1]

    def attempt() -> tuple[str, str | None]:
        with made.copy("run", *ground.UPDATES) as place:
            harm(place / name)
            outcome = commands.run(ground.AGGREGATE, place)
            if outcome.fault:
                return "fault", outcome.fault
            if name in outcome.err:
                return f"refused by name, exit {outcome.code}", None
            if outcome.code != 0:
                return "refused", f"not by name: {outcome.err[-300:]}"
            moved = _moved(place, made.directory)
            if moved > 0.5:
                return "taken", f"the model is {moved:g} from where honest updates lead"
            return "taken as honest", None

    return attempt


def _moved(place: pathlib.Path, honest: pathlib.Path) -> float:
    with np.load(place / "next/weights.npz") as one, np.load(honest / "next/weights.npz") as other:
        return max(float(np.abs(one[n] - other[n]).max()) for n in one.files if n != "round")


def _rewritten(
    change: Callable[[_Members], _Members], compression: int = zipfile.ZIP_DEFLATED
) -> Callable[[pathlib.Path], None]:
    def rewrite(path: pathlib.Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in change(members).items():
                archive.writestr(name, content)

    return rewrite


def _member(name: str, content: bytes) -> Callable[[pathlib.Path], None]:
    return _rewritten(lambda members: members | {name: content})


def _without(name: str) -> Callable[[pathlib.Path], None]:
    return _rewritten(lambda members: {n: c for n, c in members.items() if n != name})


def _array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[pathlib.Path], None]:
    def changed(members: _Members) -> _Members:
        with np.errstate(all="ignore"):
            array = change(np.load(io.BytesIO(members[f"{name}.npy"])))
        return members | {f"{name}.npy": _npy(array)}

    return _rewritten(changed)


def _all(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[pathlib.Path], None]:
    return _rewritten(
        lambda members: {
            name: _npy(change(np.load(io.BytesIO(content)))) if name.endswith(".npy") else content
            for name, content in members.items()
        }
    )


def _said(key: str, value: Any) -> Callable[[pathlib.Path], None]:
    def changed(members: _Members) -> _Members:
        said = json.loads(members["metadata.json"]) | {key: value}
        return members | {"metadata.json": json.dumps(said).encode()}

    return _rewritten(changed)


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    return file.getvalue()


# --- packages ------------------------------------------------------------------------------------

_READERS = (
    ("verify", "package"),
    ("suggest", "package", "i am going to"),
    ("update", "package", "phone0.txt", "--out", "new.npz"),
    ("personalize", "package", "--population", "tiny.sqlite", "--split", "train"),
)


def _packages(made: Ground) -> Iterator[tuple[str, Callable[[], tuple[str, str | None]]]]:
    harms: dict[str, Callable[[pathlib.Path], object]] = {
        "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
        "/dev/zero": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        "a directory": lambda path: (path.unlink(), path.mkdir()),
        "gone": lambda path: path.unlink(),
        "empty": lambda path: path.write_bytes(b""),
        "noise": lambda path: path.write_bytes(bytes(range(256)) * 200),
        "sparse, 100 GB": lambda path: os.truncate(path, 100 << 30),
        "1 GB of brackets": _brackets,
        "20 bytes changed": _changed,
        "half": lambda path: os.truncate(path, path.stat().st_size // 2),
        "every line twice": lambda path: path.write_bytes(
            b"\n".join(line + b"\n" + line for line in path.read_bytes().split(b"\n"))
        ),
        "escape codes": lambda path: path.write_bytes(
            path.read_bytes().replace(b"e", b"\x1b]0;x\x07")
        ),
    }
    names = sorted(path.name for path in (made.directory / "run/export").iterdir())
    for name, (harm, do), reader, seal in itertools.product(
        names, harms.items(), _READERS[:3], (False, True)
    ):
        sealed = ", sealed" if seal else ""
        yield f"{name}: {harm}{sealed}, {reader[0]}", _package(made, reader, name, do, seal=seal)
    paths = (
        *("model.vocabulary", "model.length", "model.units", "model.weights"),
        *("training.settings.client.epochs", "training.settings.client.batch_size"),
        *("training.settings.client.learning_rate", "training.settings.client.maximum_sentences"),
        *("training.rounds", "format", "model.weights_sha256", "files"),
    )
    for path, value in itertools.product(paths, (10**30, -1, 1e300, "x", None, [0] * 10**6)):
        for reader in _READERS:
            yield (
                f"manifest: {path} = {str(value)[:12]}, {reader[0]}",
                _package(made, reader, "manifest.json", _field(path, value), seal=True),
            )
    for path, value in (
        *(("training.losses", [1.0] * 10**6), ("training.losses", []), ("training.rows", [[]])),
        *(
            ("training.rows", [[10**30]]),
            ("training.learning_rate", 1e300),
            ("texts", [{}] * 10**5),
        ),
        *(("texts", "x"), ("examples", None), ("sentences", [[]] * 10**5)),
        *(("probability_tolerance", 1e300), ("probability_tolerance", -1)),
    ):
        yield (
            f"golden: {path} = {str(value)[:12]}",
            _package(made, _READERS[0], "golden.json", _field(path, value), seal=True),
        )


def _package(
    made: Ground,
    reader: tuple[str, ...],
    name: str,
    harm: Callable[[pathlib.Path], object],
    *,
    seal: bool,
):
    def attempt() -> tuple[str, str | None]:
        with made.copy("run", "phone0.txt", "tiny.sqlite") as place:
            shutil.move(place / "run/export", place / "package")
            before = _read(place / "package" / name)
            harm(place / "package" / name)
            if seal:
                _seal(place / "package")
            outcome = commands.run(reader, place)
            if outcome.fault:
                return "fault", outcome.fault
            if "\x1b" in outcome.out + outcome.err:
                return "fault", "escape codes reach the terminal"
            damaged = before != _read(place / "package" / name)
            if reader[0] == "verify" and damaged and not seal and outcome.code == 0:
                return "fault", "verified, and is damaged"
            return f"exit {outcome.code}", None

    return attempt


def _read(path: pathlib.Path) -> bytes | None:
    """Returns what a file holds, if it is one and of a size that a package has."""
    return path.read_bytes() if path.is_file() and path.stat().st_size < 1 << 28 else None


def _seal(package: pathlib.Path) -> None:
    """Makes the manifest say of every file what it holds now, as far as there is a manifest."""
    try:
        said = json.loads(_read(package / "manifest.json") or b"")
        for name, of in said["files"].items():
            if content := _read(package / name):
                of |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        text = hashed.sealed(said)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return
    (package / "manifest.json").write_text(text)


def _changed(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    generator = streams.generator(len(content), Stream.BENCHMARKS)
    for position in generator.integers(len(content), size=20):
        content[position] ^= int(generator.integers(1, 256))
    path.write_bytes(content)


def _brackets(path: pathlib.Path) -> None:
    with open(path, "wb") as file:
        for _ in range(1024):
            file.write(b"[" * (1 << 20))


def _field(path: str, value: Any) -> Callable[[pathlib.Path], None]:
    *parents, last = path.split(".")

    def change(file: pathlib.Path) -> None:
        said = json.loads(file.read_bytes())
        place = said
        for key in parents:
            place = place[key]
        # What is not there would harm nobody.
        assert last in place, path
        place[last] = value
        file.write_text(json.dumps(said))

    return change
