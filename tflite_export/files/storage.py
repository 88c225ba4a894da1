"""Weights that are int8 in the file and float32 once it is open, where the converter has no way.

TensorFlow's converter leaves variables, and what is assigned to them, float32. Of a model that
learns each large matrix that is assigned as it is, when the file is opened and on `reset`, becomes
int8 here: a quarter of the bytes, and the phone trains in float32. Symmetric, with a scale for each
row: |w - s q| <= s / 2, s = max |row| / 127 (as the converter does for inference;
https://ai.google.dev/edge/litert/models/quantization_spec).
"""

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fedkeyboard.tflite_export.files import flatbuffer

# Smaller ones are not worth an operator.
_SMALLEST = 1000
_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}


def quantized(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns int8 `[n, m]` and the float32 `[n]` scales of its rows."""
    scales = np.max(np.abs(matrix), axis=1) / np.float32(127)
    # A row of zeros has any scale but 0.
    scales = np.where(scales > 0, scales, np.float32(1)).astype(np.float32)
    return np.rint(matrix / scales[:, np.newaxis]).astype(np.int8), scales


def largest_error(weight: np.ndarray) -> np.ndarray | float:
    """Returns how far a weight may be from what `store_int8` makes of it, by row."""
    if weight.ndim != 2 or weight.size <= _SMALLEST:
        return 0.0
    _, scales = quantized(weight)
    # Half a step, and float32's own rounding of numbers of up to 127 steps.
    return scales[:, np.newaxis] * np.float32(0.5 + 127 * 2**-22)


def store_int8(content: bytes) -> bytes:
    """Returns `.tflite` bytes with int8 in the place of large matrices that are assigned."""
    file = flatbuffer.unpack(content)
    store = _Store(file)
    for graph in file.subgraphs:
        operators = []
        for operator in graph.operators:
            if flatbuffer.kind(file, operator) == schema.BuiltinOperator.ASSIGN_VARIABLE:
                value = graph.tensors[operator.inputs[1]]
                data = file.buffers[value.buffer].data
                if data is not None and len(value.shape) == 2 and np.prod(value.shape) > _SMALLEST:
                    operators += store.restored(graph, operator)
            operators.append(operator)
        graph.operators = operators
    _drop_unused(file)
    return flatbuffer.pack(file)


class _Store:
    """Puts constants into a file, each once, and the operators that make them float32."""

    def __init__(self, file: schema.ModelT):
        self._file = file
        self._buffers: dict[bytes, int] = {}

    def restored(
        self, graph: schema.SubGraphT, assign: schema.OperatorT
    ) -> tuple[schema.OperatorT, schema.OperatorT]:
        """Returns the operators to go before `assign`, which make its constant of an int8 one.

        The rows' scales are a factor: as parameters of the quantisation they would be there twice,
        with a zero of eight bytes for each.
        """
        value = graph.tensors[assign.inputs[1]]
        data = self._file.buffers[value.buffer].data
        matrix = np.frombuffer(data.tobytes(), np.float32).reshape(value.shape)
        numbers, scales = quantized(matrix)
        unit = schema.QuantizationParametersT(scale=[1.0], zeroPoint=[0])
        stored = self._tensor(graph, numbers, quantization=unit)
        factor = self._tensor(graph, scales[:, np.newaxis])
        whole, scaled = (self._tensor(graph, shape=value.shape) for _ in range(2))
        assign.inputs = [assign.inputs[0], scaled]
        return (
            self._dequantize(stored, whole),
            schema.OperatorT(
                opcodeIndex=self._opcode(schema.BuiltinOperator.MUL, version=1),
                inputs=[whole, factor],
                outputs=[scaled],
                builtinOptionsType=schema.BuiltinOptions.MulOptions,
                builtinOptions=schema.MulOptionsT(),
            ),
        )

    def _dequantize(self, stored: int, whole: int) -> schema.OperatorT:
        return schema.OperatorT(
            opcodeIndex=self._opcode(schema.BuiltinOperator.DEQUANTIZE, version=2),
            inputs=[stored],
            outputs=[whole],
            builtinOptionsType=schema.BuiltinOptions.DequantizeOptions,
            builtinOptions=schema.DequantizeOptionsT(),
        )

    def _tensor(
        self,
        graph: schema.SubGraphT,
        content: np.ndarray | None = None,
        *,
        shape: Sequence[int] | None = None,
        quantization: schema.QuantizationParametersT | None = None,
    ) -> int:
        """Adds a tensor, a constant if it has a content; returns its number."""
        graph.tensors.append(
            schema.TensorT(
                shape=list(content.shape if shape is None else shape),
                hasRank=True,
                type=_TYPES[np.dtype(np.float32) if content is None else content.dtype],
                buffer=0 if content is None else self._buffer(content.tobytes()),
                quantization=quantization,
            )
        )
        return len(graph.tensors) - 1

    def _buffer(self, content: bytes) -> int:
        if content not in self._buffers:
            self._file.buffers.append(schema.BufferT(data=np.frombuffer(content, np.uint8)))
            self._buffers[content] = len(self._file.buffers) - 1
        return self._buffers[content]

    def _opcode(self, builtin: int, version: int) -> int:
        """Returns the number of an operator in the file's list, to which it is added if need be."""
        codes = self._file.operatorCodes
        for i, code in enumerate(codes):
            if flatbuffer.kind_of_code(code) == builtin:
                code.version = max(code.version, version)
                return i
        codes.append(
            schema.OperatorCodeT(
                # The older field, which ends at 127.
                deprecatedBuiltinCode=min(builtin, 127),
                builtinCode=builtin,
                version=version,
            )
        )
        return len(codes) - 1


def _drop_unused(file: schema.ModelT) -> None:
    """Empties the buffers that no operator reads any more."""
    used = {0, *(metadata.buffer for metadata in file.metadata or [])}
    for graph in file.subgraphs:
        read = {*graph.inputs, *graph.outputs}
        for operator in graph.operators:
            read |= {*operator.inputs, *operator.outputs}
        used |= {graph.tensors[i].buffer for i in read if i >= 0}
    for i, buffer in enumerate(file.buffers):
        if i not in used:
            buffer.data = None
