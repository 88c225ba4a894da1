import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from fedkeyboard import model
from fedkeyboard.errors import UserError
from fedkeyboard.updates import update_file

SIZES = model.Sizes(vocabulary=12, embedding=3, units=4, length=5)
SHAPES = model.weight_shapes(SIZES)
ONE, OTHER = "1" * 64, "2" * 64


def metadata(**changes):
    said = {
        "purpose": "update",
        "weights_sha256": ONE,
        "vocabulary_sha256": OTHER,
        "weight": 7.0,
        "sentences": 7,
        "steps": 2,
        "loss": 4.25,
        "learning_rate": 0.1,
        "clipping_norm": 1.0,
        "batch_size": 4,
        "epochs": 1,
    }
    return update_file.Metadata(**{**said, **changes})


def draw(seed):
    generator = np.random.default_rng(seed)
    return model.Weights(*(generator.normal(size=s).astype(np.float32) for s in SHAPES))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "update_file.npz"
    update_file.write(path, update_file.Update(draw(0), metadata()))
    return path


def test_what_was_written_is_read(path):
    difference, said = update_file.read(path, SHAPES)
    assert said == metadata()
    for mine, expected in zip(difference, draw(0), strict=True):
        np.testing.assert_array_equal(mine, expected)
    # As the format promises: NumPy's own reader, and JSON.
    with np.load(path) as arrays:
        assert set(model.Weights._fields) < set(arrays.files)
        assert arrays["bias"].dtype == np.float32
        assert json.loads(arrays["metadata.json"])["format"] == "fedkeyboard.update"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_it_does_not_say_when_it_was_made(path):
    with zipfile.ZipFile(path) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("kept", [0, 1, 100, -30, -1])
def test_part_of_a_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    assert_refused(path, "not a fedkeyboard.update file")


def test_a_changed_byte_is_seen(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert_refused(path, "not a fedkeyboard.update file")


def assert_refused(path, match, shapes=SHAPES):
    with pytest.raises(UserError, match=match) as caught:
        update_file.read(path, shapes)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def rewritten(path, *, drop=None, said=None, arrays=None):
    """Writes an update as no client should."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != drop}
    if said is not None:
        whole = json.loads(members["metadata.json"])
        members["metadata.json"] = json.dumps({**whole, **said}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if arrays is not None and name in arrays:
                with archive.open(name, "w") as member:
                    np.lib.format.write_array(member, arrays[name])
            else:
                archive.writestr(name, content)


def test_what_is_no_update_is_refused(path, tmp_path):
    assert_refused(tmp_path / "missing.npz", "No such file")
    assert_refused(tmp_path, "a directory")
    np.savez(tmp_path / "other.npz", embedding=np.zeros(3))
    assert_refused(tmp_path / "other.npz", "not a fedkeyboard.update file")
    other = model.weight_shapes(model.Sizes(vocabulary=12, embedding=3, units=5, length=5))
    assert_refused(path, r"input_kernel is \(3, 12\), not \(3, 15\)", other)
    (tmp_path / "encrypted.npz").write_bytes(b"PK\x03\x04" + b"\1" * 100)
    assert_refused(tmp_path / "encrypted.npz", "not a fedkeyboard.update file")


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"format": "other"}, "metadata.json: format"),
        ({"version": "2.0"}, "metadata.json: version"),
        ({"weight": -1}, "metadata.json: weight"),
        ({"weights_sha256": "abc"}, "metadata.json: weights_sha256"),
        ({"purpose": "sell"}, "metadata.json: purpose"),
        ({"sentences": "9"}, "metadata.json: sentences"),
        ({"sentences": True}, "metadata.json: sentences"),
        ({"epochs": 10**30}, "metadata.json: epochs"),
        ({"epochs": 1.5}, "metadata.json: epochs"),
        ({"learning_rate": "0.1"}, "metadata.json: learning_rate"),
        ({"learning_rate": 1e300}, "metadata.json: learning_rate"),
        ({"learning_rate": float("nan")}, "metadata.json: .*NaN is no number"),
        ({"clipping_norm": float("inf")}, "metadata.json: .*Infinity is no number"),
        ({"epochs": 1.5, "weight": -1}, "metadata.json: weight"),  # The first one is told.
    ],
)
def test_metadata_is_checked(path, said, match):
    rewritten(path, said=said)
    assert_refused(path, match)


def test_a_newer_minor_version_is_read(path):
    rewritten(path, said={"version": "1.3", "charging": True})
    assert update_file.read(path, SHAPES).metadata.version == "1.3"


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.full(12, np.nan, np.float32), "output_bias is not finite"),
        *(
            (np.insert(np.ones(11, np.float32), at, value), "output_bias is not finite")
            for at, value in [(0, np.nan), (5, np.inf), (11, -np.inf)]
        ),
        (np.zeros(12, np.float64), "output_bias is no float32 array"),
        (np.array([{}] * 12, object), "not a fedkeyboard.update file"),
        (np.zeros((12, 1), np.float32), r"output_bias is \(12, 1\), not \(12,\)"),
    ],
)
def test_arrays_are_checked(path, array, match):
    """Also that none is a pickle, which could run what it likes."""
    rewritten(path, arrays={"output_bias.npy": array})
    assert_refused(path, match)


@pytest.mark.parametrize("change", [-12, -4, -1, 1, 4, 12, 800])
def test_an_array_is_as_long_as_it_says(path, change):
    content = members_of(path)["output_bias.npy"]
    changed = content[:change] if change < 0 else content + bytes(change)
    written(path, members_of(path) | {"output_bias.npy": changed})
    assert_refused(path, "output_bias has not 12 numbers")


def test_an_array_beyond_all_bounds_is_not_read_whole(path):
    content, longest = members_of(path)["output_bias.npy"], 1024 + 4 * 12
    for length, match in ((longest, "has not 12 numbers"), (longest + 1, "more than 1,072 bytes")):
        written(path, members_of(path) | {"output_bias.npy": content.ljust(length, b"\0")})
        assert_refused(path, f"output_bias.* {match}")


def test_an_array_that_is_missing_is_seen(path):
    rewritten(path, drop="bias.npy")
    assert_refused(path, "bias")


def test_personal_weights_belong_to_a_model(path):
    base, newer = draw(1), draw(2)
    update_file.write(path, update_file.Update(draw(0), metadata(purpose="personal")))

    def load(weights, weights_sha256, **changes):
        return update_file.personal_weights(
            path,
            weights,
            **{"weights_sha256": weights_sha256, "vocabulary_sha256": OTHER, **changes},
        )

    for mine, b, d in zip(load(base, ONE), base, draw(0), strict=True):
        np.testing.assert_array_equal(mine, b + d)
    with pytest.raises(UserError, match="another model .*migrate"):
        load(newer, OTHER)
    for mine, b, d in zip(load(newer, OTHER, migrate=True), newer, draw(0), strict=True):
        np.testing.assert_array_equal(mine, b + d)
    with pytest.raises(UserError, match="another vocabulary"):
        load(newer, OTHER, migrate=True, vocabulary_sha256=ONE)
    update_file.write(path, update_file.Update(draw(0), metadata(purpose="update")))
    with pytest.raises(UserError, match="an update, which is for a server"):
        load(base, ONE)


def test_an_array_that_says_it_is_vast_is_not_read(path):
    """Its header alone: what it says would not fit into memory."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = members["output_bias.npy"].replace(b"(12,), ", b"(9" + b"9" * 3 + b",)")
    assert header != members["output_bias.npy"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "output_bias.npy": header}.items():
            archive.writestr(name, content)
    assert_refused(path, "not a fedkeyboard.update file")


def test_damaged_compression_is_seen(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        place = archive.getinfo("embedding.npy").header_offset
    content = bytearray(path.read_bytes())
    content[place + 60 : place + 70] = b"\xff" * 10
    path.write_bytes(content)
    assert_refused(path, "not a fedkeyboard.update file")


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "header",
    [
        b"\x93NUMPY\x01\x00\xe8\x03" + b"(" * 1000,
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'\n",
        b"\x93NUMPY\x01\x00\x04\x00'''\n",
        b"\x93NUMPY\x01\x00\x05\x00[][0]",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x03\x00" + b"\xff" * 100,
        b"",
    ],
    ids=range(7),
)
def test_a_hostile_header_is_refused(path, header):
    """NumPy has Python's parser read them: IndexError, TokenError, or no stack any more."""
    written(path, members_of(path) | {"bias.npy": header})
    assert_refused(path, "bias is no float32 array in version 1.0")


def test_what_is_larger_than_an_update_is_not_read(path, tmp_path):
    """Compressed it is small: 200 MB of blanks are 200 KB, and Python would read all of them."""
    vast = model.weight_shapes(model.Sizes(vocabulary=100_000, embedding=3, units=4, length=5))
    members = members_of(path) | {"metadata.json": b" " * 200_000_000}
    written(path, members, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    assert_refused(path, "metadata.json has more than 65,536 bytes", vast)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert_refused(path, "bytes, where at most")


def test_how_large_an_update_may_be_follows_from_the_model(path):
    """4 bytes a number and 64 KB of metadata, with a hundredth for what ZIP adds."""
    numbers = sum(array.size for array in draw(0))
    most = int(1.01 * (4 * numbers + 65_536))
    path.write_bytes(path.read_bytes().ljust(most, b"\0"))
    assert update_file.read(path, SHAPES).metadata == metadata()
    path.write_bytes(path.read_bytes() + b"\0")
    assert_refused(path, f"at most {most:,} are expected")


def test_a_difference_is_what_is_added():
    for mine, weights, base in zip(
        update_file.subtract(draw(0), draw(1)), draw(0), draw(1), strict=True
    ):
        np.testing.assert_array_equal(mine, weights - base)


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compression_than_a_phones_is_refused(path, compression):
    written(path, members_of(path), compression)
    assert_refused(path, "compressed otherwise than by DEFLATE")


def test_members_that_no_phone_writes_are_refused(path):
    written(path, members_of(path) | {f"more{i}": b"" for i in range(50)})
    assert_refused(path, "57 members|at most")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_comes_twice_is_refused(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.json", "{}")
    assert_refused(path, "a member comes twice")


@pytest.mark.parametrize(
    "said", [b"[" * 60_000, b'{"epochs": ' + b"1" * 6000 + b"}", b"\xff", b"[]"]
)
def test_hostile_metadata_is_refused(path, said):
    written(path, members_of(path) | {"metadata.json": said})
    assert_refused(path, "metadata")


def test_no_pipe_and_no_device_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    for name in ("pipe.npz", "zero.npz"):
        assert_refused(tmp_path / name, "a device or a pipe")
