"""Whether bfloat16 pays on this processor: a product of each kind, timed.

Processors that multiply bfloat16 do not all do it faster: on an AMD EPYC a round takes 0.8 of
float32's time, on an Intel Xeon with AVX-512 BF16 1.4 to 1.6 times as much. What a run computes is
what its settings say, on every machine; a run only tells what that costs here.
"""

import time

import tensorflow as tf

from fedkeyboard import model

_ROWS = 320  # A batch of 16 sentences of 20 words.
_PRODUCTS = 15
_WORTH_SAYING = 1.02  # Less is the clock's noise.


def bfloat16_by_float32(sizes: model.Sizes) -> float:
    """Returns the time of the model's largest product in bfloat16 by its time in float32.

    The softmax layer's, `[320, D]` by `[D, V]`, with the roundings to and from bfloat16 that a
    training step has; the fastest of some products each, in turn, so that what else the machine
    does meets both.
    """
    outputs = tf.random.stateless_normal([_ROWS, sizes.embedding], [0, 1])
    embedding = tf.random.stateless_normal([sizes.vocabulary, sizes.embedding], [0, 2])

    def product(kind: tf.DType) -> tf.types.experimental.GenericFunction:
        @tf.function(autograph=False)
        def multiply():
            return tf.cast(
                tf.matmul(tf.cast(outputs, kind), tf.cast(embedding, kind), transpose_b=True),
                tf.float32,
            )

        return multiply

    products = [product(tf.bfloat16), product(tf.float32)]
    fastest = [float("inf")] * len(products)
    for _ in range(_PRODUCTS):
        for i, multiply in enumerate(products):
            began = time.perf_counter()
            multiply()
            fastest[i] = min(fastest[i], time.perf_counter() - began)
    return fastest[0] / fastest[1]


def notice(ratio: float) -> str | None:
    """Returns a line for the user if bfloat16 is slower by this ratio, else None."""
    if ratio < _WORTH_SAYING:
        return None
    return (
        f"bfloat16 products take {ratio:.2f} times float32's time on this processor; "
        "a new run with client.bfloat16 = false is faster, and more exact"
    )
