"""The two files of a package, of a model whose matrices and vectors are large enough to store."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from fedkeyboard import model
from fedkeyboard.errors import RunFailure
from fedkeyboard.tflite_export import package
from fedkeyboard.tflite_export.files import flatbuffer
from fedkeyboard.tflite_export.phone.learner import Learner

SIZES = model.Sizes(vocabulary=2000, embedding=16, units=24, length=6)


@pytest.fixture(scope="module")
def large(make_weights):
    return make_weights(SIZES)


def bytes_of(content, kind):
    """How many bytes a file has in constants of one type."""
    file = flatbuffer.unpack(content)
    buffers = {t.buffer for graph in file.subgraphs for t in graph.tensors if t.type == kind}
    return sum(len(file.buffers[i].data) for i in buffers if file.buffers[i].data is not None)


def test_what_suggests_is_stored_as_asked(large):
    whole, small = (package.inference_file(large, SIZES, p) for p in ("float32", "int8"))
    numbers = sum(weight.size for weight in large)
    assert bytes_of(whole, schema.TensorType.FLOAT32) >= 4 * numbers
    assert not bytes_of(whole, schema.TensorType.FLOAT16)
    # Matrices in a byte each; vectors as they are (`test_convert` says why).
    assert bytes_of(small, schema.TensorType.INT8) >= large.embedding.size
    assert bytes_of(small, schema.TensorType.FLOAT32) >= 4 * large.output_bias.size
    assert not bytes_of(small, schema.TensorType.FLOAT16)
    assert len(small) < 0.5 * len(whole)


def test_what_learns_is_stored_as_asked(large, tmp_path):
    opened = {}
    for stored in ("float32", "int8"):
        path = tmp_path / f"{stored}.tflite"
        path.write_bytes(package.training_file(large, SIZES, stored))
        opened[stored] = Learner(path).weights()
    for field, was in large._asdict().items():
        np.testing.assert_array_equal(getattr(opened["float32"], field), was, err_msg=field)
    assert np.any(opened["int8"].embedding != large.embedding)
    # Half a step of 254 that the largest number of a row, or column, is cut into.
    most = np.abs(large.embedding).max() / 254
    assert np.abs(opened["int8"].embedding - large.embedding).max() <= 1.01 * most


def test_the_conversion_is_proved_in_float32(
    tmp_path, monkeypatch, weights, sizes, make_weights, tokenizer, training_record, probed_once
):
    """A converter that is wrong, of which int8 would hide much."""
    made = package.inference_file
    wrong = made(make_weights(sizes, seed=3), sizes, "float32")
    monkeypatch.setattr(
        package, "inference_file", lambda w, s, p: wrong if p == "float32" else made(w, s, p)
    )
    with pytest.raises(RunFailure):
        package.export(
            tmp_path / "export",
            weights=weights,
            sizes=sizes,
            tokenizer=tokenizer,
            training=training_record,
            metrics=None,
        )
    assert not (tmp_path / "export").exists()
