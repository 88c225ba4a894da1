"""How fast the machine multiplies float32 matrices, and what training needs of that.

The rate is that of the model's largest product, the softmax layer's: `[320, 96]` by `[96, 10004]`,
on all cores, in TensorFlow.
"""

import statistics
import time

import tensorflow as tf

from fedkeyboard import model

_ROWS = 320
_PRODUCTS = 20


def needed(sizes: model.Sizes, targets: int) -> float:
    """Returns the floating-point operations that training on `targets` positions needs.

    Six for each weight of a matrix and position: two forward, four backward.
    """
    shapes = model.weight_shapes(sizes)
    matrices = [shape for shape in shapes if len(shape) == 2]
    return 6.0 * targets * sum(rows * columns for rows, columns in matrices)


class Multiplication:
    """Measures the rate, as often as it is asked."""

    def __init__(self, sizes: model.Sizes):
        left = tf.random.normal([_ROWS, sizes.embedding])
        right = tf.random.normal([sizes.embedding, sizes.vocabulary])
        self._operations = 2.0 * _ROWS * sizes.embedding * sizes.vocabulary
        self._product = tf.function(lambda: tf.matmul(left, right))
        self._product()

    def rate(self) -> float:
        """Returns floating-point operations a second, the median of some products."""
        seconds = []
        for _ in range(_PRODUCTS):
            began = time.perf_counter()
            self._product()
            seconds.append(time.perf_counter() - began)
        return self._operations / statistics.median(seconds)
