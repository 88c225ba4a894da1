"""Arrays are read as they were written, and nothing that merely says so."""

import io
import zipfile

import numpy as np
import pytest

from fedkeyboard import arrays

LIKE = {
    "round": np.array(7),
    "weights": np.arange(12, dtype=np.float32).reshape(3, 4),
    "made_from": np.array("settings"),
}


def test_as_written(tmp_path):
    content = arrays.dump(LIKE | {"weights": LIKE["weights"].T.copy().T})  # In Fortran's order.
    assert len(content) <= arrays.size(LIKE)
    read = arrays.load(content, LIKE)
    for name, array in LIKE.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    read["weights"] += 1
    (tmp_path / "file.npz").write_bytes(content)
    with np.load(tmp_path / "file.npz") as others:
        np.testing.assert_array_equal(others["weights"], LIKE["weights"])


def changed(name, member, **options):
    """An archive of which one member is another."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(arrays.dump(LIKE))) as whole,
        zipfile.ZipFile(content, "w", **options) as archive,
    ):
        for each in whole.namelist():
            archive.writestr(each, member if each == f"{name}.npy" else whole.read(each))
    return content.getvalue()


def npy(array, **options):
    content = io.BytesIO()
    np.lib.format.write_array(content, array, **options)
    return content.getvalue()


def huge():
    content = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(content, described)
    return content.getvalue() + bytes(48)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        arrays.dump({"round": 7}),
        arrays.dump(LIKE)[:-30],
        changed("weights", huge()),
        changed("weights", npy(LIKE["weights"].astype(np.float64))),
        changed("weights", npy(LIKE["weights"].T.copy())),
        changed("weights", npy(np.array([None] * 12), allow_pickle=True)),
        changed("weights", b"\x93NUMPY\x01\x00v\x00{'descr': [[[[[[" + bytes(200)),
        changed("weights", npy(LIKE["weights"]), compression=zipfile.ZIP_DEFLATED),
        changed("weights", npy(LIKE["weights"]), compression=zipfile.ZIP_LZMA),
        changed("made_from", npy(np.array("other settings"))),
    ],
    ids=range(12),
)
def test_anything_else_is_a_value_error(content):
    with pytest.raises(ValueError) as caught:
        arrays.load(content, LIKE)
    assert len(str(caught.value).splitlines()) <= 1


def test_any_flipped_bit_is_an_error_or_changes_nothing():
    content = arrays.dump(LIKE)
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            read = arrays.load(bytes(flipped), LIKE)
        except ValueError:
            continue
        for name, array in LIKE.items():
            np.testing.assert_array_equal(read[name], array)
