"""A `.tflite` file's bytes, taken apart and put together again (LiteRT's own schema)."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

# LiteRT reads the buffers where they lie.
_ALIGNMENT = 16
_IDENTIFIER = b"TFL3"


def unpack(content: bytes) -> schema.ModelT:
    """Returns what a file consists of, to be changed at will."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


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
