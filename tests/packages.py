"""Phone packages in tests."""

METRICS = {"split": "test", "top1_recall": 0.25}


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}
