"""A `.tflite` file's bytes, taken apart and put together again (LiteRT's own schema)."""

import contextlib
import struct
from collections.abc import Iterator

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fedkeyboard.errors import RunFailure

# LiteRT reads the buffers where they lie.
_ALIGNMENT = 16
_IDENTIFIER = b"TFL3"


def unpack(content: bytes) -> schema.ModelT:
    """Returns what a file consists of, to be changed at will.

    Raises:
      RunFailure: If it is no `.tflite` file. Of one that is made to harm, lists may be of any
        length: see `fedkeyboard.tflite_export.phone.probe`.
    """
    with _readable(content) as file:
        return schema.ModelT.InitFromObj(file)


def custom_operators(content: bytes) -> list[str]:
    """Returns the names of operators that are not builtin ones; errors are those of `unpack`.

    Without unpacking the file, which takes long.
    """
    with _readable(content) as file:
        codes = map(file.OperatorCodes, range(file.OperatorCodesLength()))
        return sorted(
            code.CustomCode().decode(errors="replace")
            for code in codes
            if max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            == schema.BuiltinOperator.CUSTOM
        )


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[schema.Model]:
    try:
        if content[4:8] != _IDENTIFIER:
            raise ValueError("no TFL3 at its begin")
        yield schema.Model.GetRootAs(content, 0)
    except (struct.error, LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunFailure(f"not a .tflite file, or a damaged one: {error}") from error


def pack(file: schema.ModelT) -> bytes:
    """Returns a file's bytes."""
    builder = _Builder(1 << 20)
    builder.Finish(file.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def kind(file: schema.ModelT, operator: schema.OperatorT) -> int:
    """Returns which of `schema.BuiltinOperator` an operator is."""
    return kind_of_code(file.operatorCodes[operator.opcodeIndex])


def kind_of_code(code: schema.OperatorCodeT) -> int:
    """Returns which of `schema.BuiltinOperator` an entry of a file's list of operators is."""
    return max(code.builtinCode, code.deprecatedBuiltinCode)


class _Builder(flatbuffers.Builder):
    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802, the base's name
        self.Prep(_ALIGNMENT, x.nbytes)
        return super().CreateNumpyVector(x)
