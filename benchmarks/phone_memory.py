"""How much memory a learning file takes, in a process without TensorFlow: `FILE SENTENCES`.

Prints JSON, in 10^6 bytes: `loaded`, above the process before, once the file is open and has
suggested a word; and `training`, above that, while it takes steps on padded random sentences.
"""

import json
import sys

import numpy as np

from fedkeyboard import streams
from fedkeyboard.streams import Stream
from fedkeyboard.text.tokenizer import BEGIN
from fedkeyboard.tflite_export.phone import memory
from fedkeyboard.tflite_export.phone.litert import LiteModel


def main() -> None:
    """Measures and prints."""
    path, count = sys.argv[1], int(sys.argv[2])
    # What a first interpreter loads of LiteRT itself.
    with memory.Growth() as loading:
        learner = LiteModel(path)
        learner.suggest([5])
    length = learner.signatures()["train"]["inputs"]["mask"]["shape"][1]
    generator = streams.generator(0, Stream.BENCHMARKS)
    sentences = generator.integers(4, learner.vocabulary, (count, length + 1)).astype(np.int32)
    sentences[:, 0] = BEGIN
    with memory.Growth() as training:
        for _ in range(5):
            learner.run(
                "train",
                sentences=sentences,
                mask=np.ones((count, length), np.float32),
                learning_rate=np.float32(0.1),
                clipping_norm=np.float32(1.0),
            )
    print(json.dumps({"loaded": loading.megabytes, "training": training.megabytes}))


if __name__ == "__main__":
    main()
