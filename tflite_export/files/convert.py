"""TensorFlow functions become a `.tflite` file that plain LiteRT runs.

Only LiteRT's builtin operators: the others ("Flex", TensorFlow's own kernels) would add tens of MB
to an app and are not to be had on the web.
https://ai.google.dev/edge/litert/models/ops_select
"""

import re
import tempfile
from collections.abc import Sequence

import tensorflow as tf

from fedkeyboard.errors import RunFailure
from fedkeyboard.tflite_export.files import flatbuffer
from fedkeyboard.tflite_export.manifest import Precision
from fedkeyboard.tflite_export.quiet import quiet_stderr


def convert(
    module: tf.Module, signatures: Sequence[str], precision: Precision = "float32"
) -> bytes:
    """Converts a module to `.tflite` bytes.

    Args:
      module: Its signatures are attributes, `tf.function`s of fixed input signature that return a
        dictionary.
      signatures: Their names.
      precision: Of the constants in the file. With `int8` ("dynamic range") the large products are
        computed in int8 too, where the processor has that; with `float16` all is float32 once the
        file is open. Variables stay as they are (see `fedkeyboard.tflite_export.files.storage`).

    Raises:
      RunFailure: If an operator is not a builtin one.
    """
    functions = {name: getattr(module, name) for name in signatures}
    with tempfile.TemporaryDirectory() as directory, quiet_stderr():
        tf.saved_model.save(module, directory, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            directory, signature_keys=list(functions)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.experimental_enable_resource_variables = True
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            content = converter.convert()
        # The converter's own error class is not public; it is a plain Exception.
        except Exception as error:
            raise RunFailure(f"the model could not be converted: {_reason(error)}") from error
    check_operators(content)
    return content


def check_operators(content: bytes) -> None:
    """Checks that a flatbuffer has builtin operators only, by its own list of operators.

    Raises:
      RunFailure: If not; names the others.
    """
    if others := flatbuffer.custom_operators(content):
        raise RunFailure(
            f"the file needs {', '.join(others)}: only LiteRT's builtin operators run on all phones"
        )


def _reason(error: Exception) -> str:
    """One line of the converter's many: the operators it could not convert, if it names them."""
    named = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", str(error), re.MULTILINE)
    if named:
        return f"{', '.join(named)} is not among LiteRT's builtin operators"
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
