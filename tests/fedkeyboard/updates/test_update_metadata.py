"""What an update may say of itself: up to each bound, and not beyond."""

import zipfile

import numpy as np
import pytest

from fedkeyboard import model
from fedkeyboard.errors import UserError
from fedkeyboard.updates import update_file

SAID = {
    "purpose": "update", "weights_sha256": "1" * 64, "vocabulary_sha256": "2" * 64,
    "sentences": 7, "steps": 2, "learning_rate": 0.5, "clipping_norm": 2.0, "batch_size": 4,
    "epochs": 1,
}  # fmt: skip
LEAST, MOST = 1e-30, float(np.finfo(np.float32).max)
BOUNDS = {
    "weight": (0.0, 2.0**31),
    "sentences": (0, 2**31),
    "steps": (0, 2**31),
    "batch_size": (1, 2**31),
    "epochs": (1, 2**31),
    "learning_rate": (LEAST, MOST),
    "clipping_norm": (LEAST, MOST),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_numbers_up_to_their_bounds(name):
    least, most = BOUNDS[name]
    for value in (least, most):
        assert getattr(update_file.Metadata(**SAID | {name: value}), name) == value
    beyond = (least - 1, most + 1) if isinstance(least, int) else (least - 1e-31, 1.0001 * most)
    for value in beyond:
        with pytest.raises(ValueError, match=name):
            update_file.Metadata(**SAID | {name: value})


def test_what_need_not_be_said():
    said = update_file.Metadata(**SAID)
    assert (said.weight, said.loss) == (0, None)
    assert (said.format, said.version) == ("fedkeyboard.update", "1.0")
    assert update_file.Metadata(**SAID, more=1) == said
    for name in SAID:
        with pytest.raises(ValueError, match=name):
            update_file.Metadata(**{key: value for key, value in SAID.items() if key != name})


def test_nothing_of_it_changes():
    with pytest.raises(ValueError):
        update_file.Metadata(**SAID).weight = 2.0


@pytest.mark.parametrize(
    ("name", "value"),
    [("sentences", 7.0), ("sentences", "7"), ("steps", True), ("learning_rate", "0.5"),
     ("purpose", "sell"), ("version", "1"), ("version", "1.0.0"), ("version", "11.0"),
     ("weights_sha256", "1" * 63), ("vocabulary_sha256", "G" * 64), ("format", "other")],
)  # fmt: skip
def test_no_other_type_or_text(name, value):
    with pytest.raises(ValueError, match=name):
        update_file.Metadata(**SAID | {name: value})


def test_how_an_update_counts():
    assert [update_file.weight(n, "sentences") for n in (1, 7)] == [1, 7]
    assert [update_file.weight(n, "uniform") for n in (1, 7)] == [1, 1]


def test_only_averaging_has_updates():
    update_file.check_algorithm("run", "fedavg")
    for other in ("fedsgd", "mime_lite"):
        with pytest.raises(UserError, match=f"run: trained with {other}"):
            update_file.check_algorithm("run", other)


def test_a_file_may_have_more_members_but_not_many(tmp_path):
    """A newer version may write more."""
    shapes = model.weight_shapes(model.Sizes(vocabulary=12, embedding=3, units=4, length=5))
    zeros = model.Weights(*(np.zeros(shape, np.float32) for shape in shapes))
    path = tmp_path / "update.npz"
    update_file.write(path, update_file.Update(zeros, update_file.Metadata(**SAID)))
    with zipfile.ZipFile(path) as archive:
        written = len(archive.namelist())
    with zipfile.ZipFile(path, "a") as archive:
        for i in range(16 - written):
            archive.writestr(f"more{i}", b"")
    assert update_file.read(path, shapes).metadata.sentences == 7
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("one too many", b"")
    with pytest.raises(UserError, match="17 members"):
        update_file.read(path, shapes)


def test_metadata_may_be_some_kilobytes(tmp_path):
    shapes = model.weight_shapes(model.Sizes(vocabulary=12, embedding=3, units=4, length=5))
    zeros = model.Weights(*(np.zeros(shape, np.float32) for shape in shapes))
    path = tmp_path / "update.npz"
    update_file.write(path, update_file.Update(zeros, update_file.Metadata(**SAID)))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def with_blanks(length):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                blank = content.ljust(length) if name == "metadata.json" else content
                archive.writestr(name, blank)
        return path

    assert update_file.read(with_blanks(64 * 1024), shapes).metadata.steps == 2
    with pytest.raises(UserError, match="metadata.json has more than 65,536 bytes"):
        update_file.read(with_blanks(64 * 1024 + 1), shapes)
