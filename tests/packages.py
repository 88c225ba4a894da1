"""Phone packages in tests."""

import hashlib
import json

from fedkeyboard import hashed
from fedkeyboard.tflite_export import verify

METRICS = {"split": "test", "top1_recall": 0.25}


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def failed(directory, weights=None):
    """Returns the name of the only check that fails, and what it saw."""
    report = verify.verify(directory, weights)
    assert not report.passed and report.timings == []
    (check,) = (check for check in report.checks if not check.passed)
    assert "\n" not in check.seen
    return check.name, check.seen


def change(directory, name, edit):
    """Changes a JSON file of a package, and what the manifest says of it."""
    content = json.loads((directory / name).read_text())
    edit(content)
    replace(directory, name, hashed.sealed(content).encode())


def replace(directory, name, content):
    """Replaces a file of a package, as one does who makes the manifest say so."""
    (directory / name).write_bytes(content)
    if name != "manifest.json":
        digest = hashlib.sha256(content).hexdigest()
        said = json.loads((directory / "manifest.json").read_text())
        said["files"][name].update(bytes=len(content), sha256=digest)
        (directory / "manifest.json").write_text(hashed.sealed(said))
