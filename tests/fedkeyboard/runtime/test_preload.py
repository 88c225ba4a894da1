"""The library that is preloaded: as installed, or compiled, or a line about why not."""

import contextlib
import os
import subprocess
import tempfile

import pytest
from tff_workers import install, own_workers, run, served_strangers, total, without_compiler

from fedkeyboard.errors import RunFailure
from fedkeyboard.runtime import preload
from fedkeyboard.runtime.session import tff_runtime

# Nothing may be left that complains when Python collects it, after the worker's end.
pytestmark = pytest.mark.filterwarnings(
    "error::pytest.PytestUnraisableExceptionWarning",
    "error::pytest.PytestUnhandledThreadExceptionWarning",
)


def flipped(library):
    middle = len(library) // 2
    return library[:middle] + bytes([library[middle] ^ 1]) + library[middle + 1 :]


DAMAGES = {
    "missing": lambda library: None,
    "empty": lambda library: b"",
    "half of it": lambda library: library[: len(library) // 2],
    "a bit flipped": flipped,
    "no library": lambda library: b"not ELF" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_replaced_or_the_run_refused(damage, tmp_path, monkeypatch, caplog):
    install(DAMAGES[damage](preload.library()), tmp_path / "installed", monkeypatch)
    monkeypatch.setenv("HOME", "/nonexistent")
    with tff_runtime() as worker:
        assert served_strangers(worker) == {"out"}
    without_compiler(tmp_path / "bin", monkeypatch)
    with pytest.raises(RunFailure, match="no C compiler.*apt install gcc") as failure:
        tff_runtime().__enter__()
    assert "FEDKEYBOARD_UNPROTECTED_WORKER=1" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not own_workers()
    assert not caplog.records


def test_an_installed_library_needs_no_compiler_no_home_and_is_no_other_codes(
    tmp_path, monkeypatch, caplog
):
    install(preload.build(), tmp_path / "Jane Doe: $HOME", monkeypatch)
    without_compiler(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("HOME", "/nonexistent")
    with tff_runtime() as worker:
        assert served_strangers(worker) == {"out"}
    assert not caplog.records
    edited = tmp_path / "blocks.c"
    edited.write_bytes(preload._SOURCES[1].read_bytes() + b"\n")
    monkeypatch.setattr(preload, "_SOURCES", [preload._SOURCES[0], edited])
    with pytest.raises(RunFailure, match="no C compiler"):
        tff_runtime().__enter__()


def test_a_compiler_that_fails(tmp_path, monkeypatch):
    install(None, tmp_path / "installed", monkeypatch)
    without_compiler(tmp_path / "bin", monkeypatch)
    (tmp_path / "bin/cc").write_text("#!/bin/sh\necho 'out of luck' >&2\nexit 1\n")
    (tmp_path / "bin/cc").chmod(0o755)
    with pytest.raises(RunFailure, match="cc failed: out of luck; FEDKEYBOARD"):
        tff_runtime().__enter__()


def test_a_full_disk(tmp_path, monkeypatch):
    tmp_path = tmp_path / "full"
    tmp_path.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=8k", "fedkeyboard-test", str(tmp_path)]
    if os.getuid() != 0 or subprocess.run(mounted, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        with contextlib.suppress(OSError):
            (tmp_path / "filler").write_bytes(bytes(1 << 20))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with tff_runtime():  # It needs no space.
            assert run(total, [1, 2, 3]) == 6
        monkeypatch.setattr(preload, "INSTALLED", tmp_path / "missing.so")
        with pytest.raises(RunFailure, match="[Nn]o space left on device") as failure:
            tff_runtime().__enter__()
        assert "\n" not in str(failure.value)
        assert [path.name for path in tmp_path.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
