"""LiteRT for the JVM tests: a child process that runs the signatures of one `.tflite` file.

LiteRT has no Java library for a desktop. Requests come on stdin and answers go to stdout, in the
encoding of Java's `DataOutputStream`; the process ends with its stdin, so with its parent.

request   signature, tensors
answer    0, tensors; or 1 and a message
tensors   how many (int32); of each its name, "f" or "i", rank and dimensions (int32), values
"""

import struct
import sys
from typing import BinaryIO

import numpy as np

from fedkeyboard.tflite_export.phone.litert import LiteModel

_TYPES = {b"f": np.dtype(">f4"), b"i": np.dtype(">i4")}


def main() -> None:
    """Serves until stdin ends."""
    exported = LiteModel(sys.argv[1])
    while True:
        try:
            signature = _read_text(sys.stdin.buffer)
            inputs = _read_tensors(sys.stdin.buffer)
        except EOFError:
            return
        try:
            outputs = exported.run(signature, **inputs)
        except (KeyError, RuntimeError, ValueError) as error:
            answer = b"\1" + _text(str(error))
        else:
            answer = b"\0" + struct.pack(">i", len(outputs))
            answer += b"".join(_tensor(name, value) for name, value in outputs.items())
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


def _read(stream: BinaryIO, count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content


def _read_int(stream: BinaryIO) -> int:
    return struct.unpack(">i", _read(stream, 4))[0]


def _read_text(stream: BinaryIO) -> str:
    return _read(stream, struct.unpack(">H", _read(stream, 2))[0]).decode()


def _read_tensors(stream: BinaryIO) -> dict[str, np.ndarray]:
    return dict(_read_tensor(stream) for _ in range(_read_int(stream)))


def _read_tensor(stream: BinaryIO) -> tuple[str, np.ndarray]:
    name = _read_text(stream)
    kind = _TYPES[_read(stream, 1)]
    shape = [_read_int(stream) for _ in range(_read_int(stream))]
    values = np.frombuffer(_read(stream, 4 * int(np.prod(shape))), kind)
    return name, values.reshape(shape).astype(kind.newbyteorder("="))


def _text(text: str) -> bytes:
    content = text.encode("ascii", "replace")[:1000]
    return struct.pack(">H", len(content)) + content


def _tensor(name: str, value: np.ndarray) -> bytes:
    kind = b"f" if value.dtype == np.float32 else b"i"
    shape = struct.pack(f">{1 + value.ndim}i", value.ndim, *value.shape)
    # LiteRT gives NumPy's scalars, which have no byte order to choose.
    return _text(name) + kind + shape + np.asarray(value, _TYPES[kind]).tobytes()


if __name__ == "__main__":
    main()
