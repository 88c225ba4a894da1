import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from fedkeyboard import model
from fedkeyboard.tflite_export.files import flatbuffer, order, signatures, variables
from fedkeyboard.tflite_export.phone.litert import LiteModel

READ = schema.BuiltinOperator.READ_VARIABLE
PIECES = 4


@pytest.fixture(scope="module")
def paths(to_file, make_weights):
    """A file that learns, as converted and in the other order; its first function is `score`."""
    sizes = model.Sizes(vocabulary=50, embedding=8, units=12, length=6)
    weights = make_weights(sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variables, "_PIECE", 13 * weights.embedding[0].nbytes)
        module = signatures.TrainingModule(weights, sizes)
    path = to_file(module, ("score", "step", "set_weights"))
    ordered = path.with_name("ordered.tflite")
    ordered.write_bytes(order.read_late(path.read_bytes()))
    return path, ordered


def test_what_is_read_is_used_next(paths):
    file = flatbuffer.unpack(paths[1].read_bytes())
    graphs = {of.signatureKey.decode(): of.subgraphIndex for of in file.signatureDefs}
    reads = 0
    for graph in (file.subgraphs[graphs[name]] for name in ("score", "step")):
        for i, operator in enumerate(graph.operators):
            if flatbuffer.kind(file, operator) == READ:
                following = next(o for o in graph.operators[i:] if flatbuffer.kind(file, o) != READ)
                assert operator.outputs[0] in following.inputs
                reads += 1
    assert reads == 2 * (PIECES + len(model.Weights._fields) - 1)


def test_litert_keeps_the_order(paths):
    """Operators between two reads that XNNPACK takes become one that LiteRT adds."""

    def delegated(path):
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        return sum(of["op_name"] == "DELEGATE" for of in interpreter._get_ops_details())

    converted, ordered = map(delegated, paths)
    assert ordered >= converted + PIECES


def test_it_computes_the_same(paths):
    converted, ordered = map(LiteModel, paths)
    for word in (1, 4, 30, 49):
        given = {"word": np.array([word], np.int32), **converted.start}
        for one, other in zip(
            converted.run("score", **given).values(),
            ordered.run("score", **given).values(),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_numbers_of_more_than_seven_bits():
    # 200 operators: the last edge goes from 198, twice which is 396 = 3 * 128 + 12, to 199.
    written = order._control_edges([0, 200])
    assert written[:2] == bytes([1, 2])
    assert written[2] == 0
    assert written[3:5] == bytes([199 & 0x7F | 0x80, 1])
    assert written[-4:] == bytes([0x80 | 12, 3, 0x80 | 14, 3])


def test_twice_is_as_once(paths):
    once = paths[1].read_bytes()
    file = flatbuffer.unpack(order.read_late(once))
    assert [of.name for of in file.metadata].count(order._KEY.encode()) == 1
    file.metadata = None
    assert order.read_late(flatbuffer.pack(file))
