"""Variables are read where they are used, in the order in which a phone works through a file.

TensorFlow's converter puts all reads of variables first. And whatever a file's order is, LiteRT
gathers what it hands to a delegate (XNNPACK, its faster kernels), which reads cannot be part of:
they come first again, and what they copied has left the processor's cache when it is used.

Control edges, "this operator before that one", keep an order. They are metadata that TensorFlow's
converter writes too, into files that it makes need less memory. A runtime that does not know them
computes the same.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fedkeyboard.tflite_export.files import flatbuffer

_KEY = "model_control_dependencies"
_VERSION = 1
_READ = schema.BuiltinOperator.READ_VARIABLE
_ASSIGN = schema.BuiltinOperator.ASSIGN_VARIABLE


def read_late(content: bytes) -> bytes:
    """Returns `.tflite` bytes that read each variable just before it is used.

    Of the functions that change no variable; in others a read has its place.
    """
    file = flatbuffer.unpack(content)
    lengths = []
    for graph in file.subgraphs:
        kinds = {flatbuffer.kind(file, operator) for operator in graph.operators}
        if _READ in kinds and _ASSIGN not in kinds:
            graph.operators = _read_late(file, graph.operators)
            lengths.append(len(graph.operators))
        else:
            lengths.append(0)
    edges = np.frombuffer(_control_edges(lengths), np.uint8)
    file.buffers.append(schema.BufferT(data=edges))
    others = [of for of in file.metadata or [] if of.name != _KEY.encode()]
    file.metadata = [*others, schema.MetadataT(name=_KEY, buffer=len(file.buffers) - 1)]
    return flatbuffer.pack(file)


def _read_late(
    file: schema.ModelT, operators: Iterable[schema.OperatorT]
) -> list[schema.OperatorT]:
    ordered, reads = [], {}
    for operator in operators:
        if flatbuffer.kind(file, operator) == _READ:
            reads[operator.outputs[0]] = operator
        else:
            ordered += [reads.pop(i) for i in operator.inputs if i in reads]
            ordered.append(operator)
    # Those that are results.
    return [*ordered, *reads.values()]


def _control_edges(lengths: Sequence[int]) -> bytes:
    """Returns the edges from each operator to the next one, of functions of so many operators.

    Numbers are written as in protocol buffers, seven bits a byte, those of operators as signed ones
    (zigzag); lists begin with their length (TensorFlow,
    compiler/mlir/lite/experimental/remat/metadata_util.cc).
    """
    numbers = [_VERSION, len(lengths)]
    for length in lengths:
        edges = range(length - 1)
        numbers += [len(edges), *(2 * end for i in edges for end in (i, i + 1))]
    return b"".join(map(_varint, numbers))


def _varint(number: int) -> bytes:
    content = bytearray()
    while number > 0x7F:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*content, number])
