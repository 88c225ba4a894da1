"""What is made to harm ends a child process, not this one."""

import pytest

from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.tflite_export.files import flatbuffer
from fedkeyboard.tflite_export.phone import probe


def test_what_ends_litert_is_an_error(training_path, made_to_harm, tmp_path):
    probe.check(training_path, training_path)
    path = tmp_path / "hostile.tflite"
    path.write_bytes(made_to_harm(training_path.read_bytes()))
    with pytest.raises(RunFailure, match=r"hostile\.tflite: not opened: .* ended with SIG"):
        probe.check(training_path, path, training_path)


def test_what_never_ends_is_an_error(training_path, monkeypatch):
    monkeypatch.setattr(probe, "SECONDS", 0.1)
    with pytest.raises(RunFailure, match=r"model\.tflite: not opened: .* not done after 0\.1 s"):
        probe.check(training_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no flatbuffer" * 100,
        b"\x1c\x00\x00\x00TFL3" + b"\xff" * 1000,
        b"\x00\x00\x00\x7fTFL3",
    ],
    ids=range(4),
)
def test_what_is_no_flatbuffer_is_an_error_in_a_line(tmp_path, content):
    path = tmp_path / "garbage.tflite"
    path.write_bytes(content)
    for opens in (probe.check, lambda path: flatbuffer.unpack(path.read_bytes())):
        with pytest.raises(UserError, match=r"not a \.tflite file") as caught:
            opens(path)
        assert len(str(caught.value).splitlines()) == 1
