"""What a phone learned, as a file: the difference of its weights from those of a package.

The format `fedkeyboard.update` (docs/package.md): a ZIP file as NumPy's `.npz`, with a
float32 array for each weight and `metadata.json`. It serves two ends: a **personal checkpoint**
stays on its phone, and an **update** goes to the server, where it counts as the update of a
simulated phone does (`fedkeyboard.simulation.aggregation`).

A difference, and not the weights: on top of a newer model's weights it still says what the user
added.

A file may have been made to harm: nothing of it is read that is larger than it can legitimately be,
and what it says of itself is checked here for its form and in `admission` for its truth.
"""

import hashlib
import io
import math
import pathlib
import re
import zipfile
import zlib
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pydantic

from fedkeyboard import files, model
from fedkeyboard.algorithms.local_training import LEAST, MOST
from fedkeyboard.errors import UserError

FORMAT = "fedkeyboard.update"
VERSION = "1.0"

_METADATA = "metadata.json"
_MOST_METADATA = 64 * 1024  # Bytes; it has some 600.
_MOST_HEADER = 1024  # Bytes of an array's; it has 118.
_MOST_MEMBERS = 16
# What ZIP adds to its members' bytes, and DEFLATE to what it cannot compress.
_MOST_ADDED = 1.01
_PREAMBLE = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d+(?:, \d+)*),?\), \}\s*"
)
_Sha256 = Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, pydantic.Field(ge=0, le=2**31)]
_Positive = Annotated[float, pydantic.Field(ge=LEAST, le=MOST)]


class Metadata(pydantic.BaseModel):
    """What is said of an update.

    Attributes:
      purpose: `personal` stays on its phone; `update` is sent.
      weights_sha256: The weights that it is the difference to: a package's
        `model.weights_sha256`.
      vocabulary_sha256: Of the package's `vocabulary.txt`.
      weight: How it counts in the mean over phones.
      sentences: How many it was trained on.
      steps: How many batches.
      loss: Mean loss of the batches, each before its step, in nats.
      learning_rate, clipping_norm, batch_size, epochs: How (`local_training.LocalTraining`).
    """

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True, strict=True)

    format: Literal["fedkeyboard.update"] = FORMAT
    version: Annotated[str, pydantic.Field(pattern=r"^1\.\d+$")] = VERSION
    purpose: Literal["personal", "update"]
    weights_sha256: _Sha256
    vocabulary_sha256: _Sha256
    weight: Annotated[float, pydantic.Field(ge=0, le=2**31)] = 0.0
    sentences: _Count
    steps: _Count
    loss: float | None = None
    learning_rate: _Positive
    clipping_norm: _Positive
    batch_size: Annotated[int, pydantic.Field(ge=1, le=2**31)]
    epochs: Annotated[int, pydantic.Field(ge=1, le=2**31)]


class Update(NamedTuple):
    """What a phone learned.

    Attributes:
      difference: The weights after training less those before; NumPy arrays.
      metadata: What is said of it.
    """

    difference: model.Weights
    metadata: Metadata


def check_algorithm(path: files.PathLike, algorithm: str) -> None:
    """Raises UserError if phones of a run or package at `path` send no updates."""
    if algorithm != "fedavg":
        raise UserError(
            f"{path}: trained with {algorithm}; phones' updates are those of "
            'client.algorithm = "fedavg"'
        )


def weight(sentences: int, weighting: str) -> float:
    """Returns how the update of a phone with so many sentences, one at least, counts.

    By `client.weighting`, as `algorithms.templates.report` has it of a simulated phone.
    """
    return float(sentences) if weighting == "sentences" else 1.0


def write(path: files.PathLike, update: Update) -> None:
    """Writes an update, whole or not at all."""
    with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        # ZipInfo, since a name alone is given the time: when a phone learned is nobody's business.
        archive.writestr(zipfile.ZipInfo(_METADATA), update.metadata.model_dump_json(indent=2))
        for name, array in update.difference._asdict().items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array, "<f4"), version=(1, 0))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())


def read(path: files.PathLike, shapes: model.Weights) -> Update:
    """Reads an update.

    Args:
      path: The file.
      shapes: Of the weights that it must be of (`model.weight_shapes`).

    Raises:
      UserError: If it is no update, damaged, of another version or model, or not finite.
    """
    path = pathlib.Path(path)
    members = 4 * sum(math.prod(shape) for shape in shapes) + _MOST_METADATA
    with files.open_regular(path, at_most=int(_MOST_ADDED * members)) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_members(archive)
                said = files.parse_json(_member(archive, _METADATA, _MOST_METADATA), _METADATA)
                arrays = {
                    name: _array(archive, name, tuple(shape))
                    for name, shape in shapes._asdict().items()
                }
        # What zipfile and zlib raise of files that are damaged or made to harm.
        except (
            *(zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError),
            *(RuntimeError, NotImplementedError, OverflowError, UserError),
        ) as error:
            line = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: not a {FORMAT} file, or only part of one ({line})") from error
    try:
        metadata = Metadata.model_validate(said)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "metadata"
        raise UserError(f"{path}: {_METADATA}: {where}: {first['msg']}") from error
    difference = model.Weights(**arrays)
    for name, array in difference._asdict().items():
        if not np.all(np.isfinite(array)):
            raise UserError(f"{path}: {name} is not finite: training has diverged on that phone")
    return Update(difference, metadata)


def _check_members(archive: zipfile.ZipFile) -> None:
    """Refuses what no phone writes: members without number, twice, or compressed otherwise."""
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"{len(members):,} members")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("a member comes twice")
    if any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members):
        raise ValueError("compressed otherwise than by DEFLATE")


def _member(archive: zipfile.ZipFile, name: str, at_most: int) -> bytes:
    """Returns what a member holds, which is no more than so many bytes."""
    with archive.open(name) as member:
        # Not what the archive says of its size, which may be untrue.
        content = member.read(at_most + 1)
    if len(content) > at_most:
        raise ValueError(f"{name} has more than {at_most:,} bytes")
    return content


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads an array in version 1.0 of NumPy's format, float32 in C's order.

    By hand: NumPy has Python parse the header, which runs out of stack, or worse, on hostile ones.
    """
    count = math.prod(shape)
    content = _member(archive, f"{name}.npy", _MOST_HEADER + 4 * count)
    begin = len(_PREAMBLE) + 2
    end = begin + int.from_bytes(content[begin - 2 : begin], "little")
    header = _HEADER.fullmatch(content[begin:end])
    if not content.startswith(_PREAMBLE) or header is None:
        raise ValueError(f"{name} is no float32 array in version 1.0 of NumPy's format")
    found = tuple(map(int, header[1].split(b", ")))
    if found != shape:
        raise ValueError(f"{name} is {found}, not {shape}; of another model?")
    if len(content) - end != 4 * count:
        raise ValueError(f"{name} has not {count:,} numbers")
    return np.frombuffer(content, "<f4", offset=end).reshape(shape).astype(np.float32)


def personal_weights(
    path: files.PathLike,
    base: model.Weights,
    *,
    weights_sha256: str,
    vocabulary_sha256: str,
    migrate: bool = False,
) -> model.Weights:
    """Returns the weights that a personal checkpoint makes of a package's.

    Args:
      path: The checkpoint.
      base: The weights that the package opens with.
      weights_sha256: What its manifest calls them.
      vocabulary_sha256: Of its `vocabulary.txt`.
      migrate: Whether what was learned on top of another model may be added to this one's weights.

    Raises:
      UserError: If it is no personal checkpoint, or belongs to another package, and `migrate` is
        not set or the vocabulary is another, whose words' rows it cannot be added to.
    """
    update = read(path, model.Weights(*(weight.shape for weight in base)))
    of = update.metadata
    if of.purpose != "personal":
        raise UserError(
            f"{path}: an update, which is for a server; a personal checkpoint is written by "
            "update --personal"
        )
    if of.vocabulary_sha256 != vocabulary_sha256:
        raise UserError(f"{path}: learned with another vocabulary; begin again without it")
    if of.weights_sha256 != weights_sha256 and not migrate:
        raise UserError(
            f"{path}: learned on top of another model ({of.weights_sha256[:12]}, not "
            f"{weights_sha256[:12]}); migrate it (--migrate), or begin again without it"
        )
    return add(base, update.difference)


def weights_sha256(weights: model.Weights) -> str:
    """Returns what manifests and updates call some weights by."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def add(weights: model.Weights, difference: model.Weights) -> model.Weights:
    """Returns weights with a difference added."""
    return model.Weights(*(w + d for w, d in zip(weights, difference, strict=True)))


def subtract(weights: model.Weights, base: model.Weights) -> model.Weights:
    """Returns the difference of weights from `base`."""
    return model.Weights(*(w - b for w, b in zip(weights, base, strict=True)))
