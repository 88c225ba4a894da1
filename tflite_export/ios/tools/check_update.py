"""Whether the update that the iOS client wrote is that of a Python phone with the same sentences.

    python tflite_export/ios/tools/check_update.py PACKAGE SENTENCES UPDATE

It is read as a server reads it, and says of itself what Python's says. Numbers may differ by what
two versions of LiteRT do.
"""

import sys

import numpy as np

from fedkeyboard import model
from fedkeyboard.tflite_export.phone import phone
from fedkeyboard.tflite_export.phone.opened import Package
from fedkeyboard.updates import update_file

# Of the largest change of a weight; two versions of LiteRT differ by some 1e-5 of it.
_TOLERANCE = 1e-3


def main() -> None:
    """Exits with a line that says what differs."""
    package, sentences, path = sys.argv[1:]
    opened = Package(package)
    expected = phone.learn_from_file(opened, sentences)
    said = update_file.read(path, model.weight_shapes(opened.sizes))
    exact = {"loss", "learning_rate", "clipping_norm"}
    if said.metadata.model_dump(exclude=exact) != expected.metadata.model_dump(exclude=exact):
        sys.exit(f"{path} says {said.metadata}; Python: {expected.metadata}")
    for name in exact:
        one, other = getattr(said.metadata, name), getattr(expected.metadata, name)
        if not np.isclose(one, other, rtol=1e-5):
            sys.exit(f"{path}: {name} is {one}; Python: {other}")
    for name, one, other in zip(
        model.Weights._fields, said.difference, expected.difference, strict=True
    ):
        largest = np.abs(other).max()
        apart = np.abs(one - other).max() / largest
        print(f"{name}: changed by {largest:.2g} at most, Python's differs by {apart:.1g} of that")
        if not apart < _TOLERANCE:
            sys.exit(f"{path}: {name} is not Python's")


if __name__ == "__main__":
    main()
