import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from fedkeyboard import model
from fedkeyboard.errors import RunFailure
from fedkeyboard.tflite_export import package
from fedkeyboard.tflite_export.files import convert, flatbuffer


class Module(tf.Module):
    """Has a function that needs one of TensorFlow's own kernels, and one that does not."""

    @tf.function(input_signature=[tf.TensorSpec([2, 2], tf.float32, "x")], autograph=False)
    def foreign(self, x):
        return {"y": tf.linalg.det(x)}

    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, "x")], autograph=False)
    def plain(self, x):
        return {"y": x + 1.0}


def convert_leniently(tmp_path, **settings):
    module = Module()
    tf.saved_model.save(module, tmp_path, signatures={"foreign": module.foreign})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path), ["foreign"])
    for name, value in settings.items():
        setattr(converter, name, value)
    return converter.convert()


def test_the_model_has_builtin_operators_only(exported_path):
    convert.check_operators(exported_path.read_bytes())


def test_a_flex_operator_in_a_file_is_named(tmp_path):
    spec = tf.lite.TargetSpec(
        supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    )
    content = convert_leniently(tmp_path, target_spec=spec)
    with pytest.raises(RunFailure, match="FlexMatrixDeterminant"):
        convert.check_operators(content)


def test_a_custom_operator_in_a_file_is_named(tmp_path):
    content = convert_leniently(tmp_path, allow_custom_ops=True)
    with pytest.raises(RunFailure, match="needs MatrixDeterminant:"):
        convert.check_operators(content)


def test_a_custom_operator_in_a_file_of_old_is_named(tmp_path):
    """Before there were more than 127 operators, their kind stood in another field."""
    file = flatbuffer.unpack(convert_leniently(tmp_path, allow_custom_ops=True))
    for code in file.operatorCodes:
        code.builtinCode = 0
    with pytest.raises(RunFailure, match="needs MatrixDeterminant:"):
        convert.check_operators(flatbuffer.pack(file))


def test_a_module_that_needs_another_operator_is_refused_on_one_line():
    with pytest.raises(RunFailure, match="MatrixDeterminant") as caught:
        convert.convert(Module(), ["plain", "foreign"])
    assert "\n" not in str(caught.value)


def test_what_was_converted_is_checked(monkeypatch):
    def refuse(content):
        assert content[4:8] == b"TFL3"
        raise RunFailure("refused")

    monkeypatch.setattr(convert, "check_operators", refuse)
    with pytest.raises(RunFailure, match="refused"):
        convert.convert(Module(), ["plain"])


def test_only_the_named_functions_become_signatures():
    content = convert.convert(Module(), ["plain"])
    interpreter = tf.lite.Interpreter(model_content=content)
    assert interpreter.get_signature_list() == {"plain": {"inputs": ["x"], "outputs": ["y"]}}


def test_it_is_quiet_and_gives_stderr_back(capfd):
    convert.convert(Module(), ["plain"])
    with pytest.raises(RunFailure):
        convert.convert(Module(), ["foreign"])
    assert capfd.readouterr() == ("", "")
    tf.print("after")  # from C++, to file descriptor 2
    assert capfd.readouterr().err == "after\n"


@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_xnnpack_keeps_no_number_that_it_frees(precision):
    """Of float16 constants XNNPACK makes float32 ones, in memory that it has for one signature.

    What it prepares for the next signature takes the place of them, in TensorFlow Lite 2.14 at
    least (`PrepareOpsToDelegate`). Products have copied theirs by then; a sum would read what is
    not there any more, as the biases of the first packages did.
    """
    # As large as the converter, too, thinks worth to be float16.
    sizes = model.Sizes(vocabulary=2000, embedding=32, units=400, length=4)
    content = package.inference_file(model.initial_weights(sizes, 0), sizes, precision)
    file = flatbuffer.unpack(content)
    kinds = schema.BuiltinOperator
    for graph in file.subgraphs:
        widened = {
            operator.outputs[0]
            for operator in graph.operators
            if flatbuffer.kind(file, operator) == kinds.DEQUANTIZE
            and graph.tensors[operator.inputs[0]].type == schema.TensorType.FLOAT16
            and file.buffers[graph.tensors[operator.inputs[0]].buffer].data is not None
        }
        assert widened or precision == "int8" or b"cond" in graph.name
        users = {
            flatbuffer.kind(file, operator)
            for operator in graph.operators
            if widened & set(operator.inputs)
        }
        # Gathers and loops are not XNNPACK's: they read the interpreter's own memory.
        assert users <= {kinds.FULLY_CONNECTED, kinds.GATHER, kinds.WHILE}
