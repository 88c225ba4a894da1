"""NumPy's `.npz` files, read only as they were written here.

`np.load` believes a file: it makes an array as large as a header says, decompresses what comes, and
evaluates the header. Here all of that is known before, so that a member must begin with the very
bytes that its header has.
"""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np


def dump(arrays: Mapping[str, Any]) -> bytes:
    """Returns an `.npz` file of some arrays or numbers, uncompressed and in C order."""
    content = io.BytesIO()
    np.savez(content, **{name: np.asarray(array, order="C") for name, array in arrays.items()})
    return content.getvalue()


def size(like: Mapping[str, np.ndarray]) -> int:
    """Returns how many bytes `dump` makes at most of arrays such as these."""
    return 1024 + sum(array.nbytes + 1024 for array in like.values())


def load(content: bytes, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays of what `dump` made.

    Args:
      content: The file.
      like: Arrays of the names, shapes and types that it must have; their values do not matter.

    Raises:
      ValueError: If it has others, or is no such file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: _member(archive, f"{name}.npy", array) for name, array in like.items()}
    except (KeyError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _member(archive: zipfile.ZipFile, name: str, like: np.ndarray) -> np.ndarray:
    header = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(np.empty(like.shape, like.dtype))
    np.lib.format.write_array_header_1_0(header, described)
    expected = header.getvalue()
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != len(expected) + like.nbytes:
        raise ValueError(f"{name} is not {like.dtype} {like.shape}")
    content = archive.read(info)
    if not content.startswith(expected):
        raise ValueError(f"{name} is not {like.dtype} {like.shape}")
    # A copy, since what is read from bytes cannot be written to.
    return np.frombuffer(content, like.dtype, offset=len(expected)).reshape(like.shape).copy()
