"""The manifest of a phone package: what is in it, where it comes from and what it is worth.

`manifest.schema.json` says the same as a JSON Schema, for readers in other languages.

It has the hash of every file and, last, its own (`fedkeyboard.hashed.sealed`), so that one flipped
bit anywhere in a package is found where a file is read. Numbers are bounded by what a package of
ours can have: a reader may allot memory and count by them.
"""

import hashlib
import os
import pathlib
from typing import Annotated, Any, Literal

import pydantic

import fedkeyboard
from fedkeyboard import files, hashed
from fedkeyboard.errors import RunFailure, UserError

FILE = "manifest.json"
INFERENCE_FILE = "model_infer.tflite"
TRAINING_FILE = "model_train.tflite"
FORMAT_NAME = "fedkeyboard-phone-package"
# The first number changes when a client must change, the second when there is more to read.
FORMAT_VERSION = "4.0"

Precision = Literal["float32", "float16", "int8"]
Sha256 = Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
_Bytes = Annotated[int, pydantic.Field(ge=0, le=2**31)]  # As many as a flatbuffer can have.
_Count = Annotated[int, pydantic.Field(ge=0, le=2**53)]
_Width = Annotated[int, pydantic.Field(ge=1, le=100_000)]
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]
# As `local_training.LEAST` and `MOST`, which is not imported for TensorFlow's sake.
_Positive = Annotated[float, pydantic.Field(ge=1e-30, le=3.4028234663852886e38)]

# Bytes of a manifest; most of it are metrics, some 20 KB.
_MOST = 4 * files.MEGABYTE


class _Part(pydantic.BaseModel):
    # What a later minor version adds is no error.
    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)


class Format(_Part):
    """What kind of directory this is."""

    name: Literal["fedkeyboard-phone-package"]
    version: Annotated[str, pydantic.Field(pattern=r"^\d+\.\d+$")]


class Model(_Part):
    """The model's sizes (`fedkeyboard.model.Sizes`) and which weights it has."""

    vocabulary: Annotated[int, pydantic.Field(ge=1, le=1_000_000)]
    embedding: _Width
    units: _Width
    length: Annotated[int, pydantic.Field(ge=1, le=10_000)]
    weights: _Count
    """How many numbers."""
    weights_sha256: Sha256
    """Of the weights with which `model_train.tflite` opens: float32, little endian, in the order of
    `fedkeyboard.model.Weights`. It names the model that personal weights and updates belong to."""


class File(_Part):
    """A file of the package."""

    bytes: _Bytes
    sha256: Sha256
    precision: Precision | None = None
    """Of the weights as they are stored; None of files without weights."""


class Tensor(_Part):
    """An input or output; -1 in its shape is any number."""

    shape: list[int]
    type: str


class Signature(_Part):
    """What a signature takes and returns, by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Recall(_Part):
    """What a file's suggestions are worth; fractions, None without words."""

    top1_recall: _Share | None
    top3_recall: _Share | None


class Accuracy(_Part):
    """What storing the weights in fewer bits costs, on users whose text the model has not seen."""

    split: str
    users: _Count
    sentences_per_user: _Count | None
    """At most so many of each; None is all."""
    words: _Count
    inference: dict[Precision, Recall]
    """Of `model_infer.tflite` in each precision."""
    training: dict[Precision, Recall]
    """Of `model_train.tflite` before it learns, however it is stored."""


class Privacy(_Part):
    """How the weights came about, as far as it concerns the people whose text they learned from."""

    statement: str


class Client(_Part):
    """What `training.settings.client` says of a phone's part in a round.

    A phone that sends updates trains so (`fedkeyboard.algorithms.local_training`).
    """

    algorithm: str
    learning_rate: _Positive
    batch_size: Annotated[int, pydantic.Field(ge=1, le=1_000_000)]
    epochs: Annotated[int, pydantic.Field(ge=1, le=1000)]
    clipping_norm: _Positive
    maximum_sentences: Annotated[int, pydantic.Field(ge=1, le=1_000_000)]
    weighting: Literal["sentences", "uniform"]


class Manifest(_Part):
    """A package's manifest."""

    format: Format
    fedkeyboard: str
    """The version that wrote it."""
    created: str
    """ISO 8601, UTC."""
    model: Model
    files: dict[str, File]
    signatures: dict[str, dict[str, Signature]]
    """By file and name."""
    runtimes: dict[str, str]
    """The versions of what converted and checked the files."""
    training: dict[str, Any]
    """`rounds`; `settings`, the experiment's, with `client` (`Client`); `rounds_of_updates`, those
    in which phones' update files were aggregated."""
    metrics: dict[str, Any] | None
    """The final evaluation of the weights, in float32."""
    accuracy: Accuracy | None
    privacy: Privacy
    sha256: Sha256
    """Of this file with 64 zeros in the place of these; the last key, on the last line but one."""


def schema() -> dict[str, Any]:
    """Returns the JSON Schema of a manifest."""
    return Manifest.model_json_schema()


def is_package(directory: files.PathLike) -> bool:
    """Whether a directory is a phone package, of any version."""
    return _format(pathlib.Path(directory)) is not None


def names(directory: files.PathLike) -> set[str]:
    """Returns the names of the files that a package has, of any version; none of another place."""
    directory = pathlib.Path(directory)
    if not is_package(directory):
        return set()
    said = _read(directory).get("files")
    return {FILE, *(said if isinstance(said, dict) else ())}


def load(directory: files.PathLike) -> Manifest:
    """Reads the manifest of a phone package.

    Raises:
      UserError: If there is none, one of another major version, or one that is damaged.
    """
    path = pathlib.Path(directory) / FILE
    found = _format(path.parent)
    if found is None and path.exists():
        files.open_regular(path, at_most=_MOST).close()
        raise UserError(
            f"{path}: damaged, or not a phone package's; remove {directory} if it was one, and "
            "write it again with `fedkeyboard export`"
        )
    if found is None:
        raise UserError(f"{directory}: not a phone package; write one with `fedkeyboard export`")
    version = str(found.get("version"))
    if version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
        raise UserError(
            f"{directory}: a phone package of format {version}; fedkeyboard "
            f"{fedkeyboard.__version__} reads format {FORMAT_VERSION}, so export it again"
        )
    content = files.read_bytes(path, at_most=_MOST)
    if not hashed.is_sealed(content):
        raise UserError(
            f"{path}: damaged, or of an older version: it has not the sha256 that it says; export "
            "the package again"
        )
    try:
        return Manifest.model_validate_json(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {where}: {first['msg']}; export the package again") from error


def check_file(directory: files.PathLike, manifest: Manifest, name: str) -> pathlib.Path:
    """Returns the path of a package's file, which has the contents that the manifest says.

    Raises:
      UserError: If it is not in the manifest, cannot be read, or is no regular file.
      RunFailure: If it has other contents.
    """
    path = pathlib.Path(directory) / name
    if name not in manifest.files:
        raise UserError(f"{directory}: its manifest has no {name}; export it again")
    said = manifest.files[name]
    with files.open_regular(path) as file:
        # Not read to its end, wherever that is, if it is longer.
        if os.fstat(file.fileno()).st_size == said.bytes:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest == said.sha256:
                return path
    raise RunFailure(f"{path}: has other contents than the manifest says; export it again")


def _read(directory: pathlib.Path) -> Any:
    path = directory / FILE
    return files.parse_json(files.read_bytes(path, at_most=_MOST), path)


def _format(directory: pathlib.Path) -> dict[str, Any] | None:
    try:
        found = _read(directory)["format"]
        return found if found["name"] == FORMAT_NAME else None
    except (UserError, KeyError, TypeError):
        return None
