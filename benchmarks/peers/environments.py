"""The peers' virtual environments: `.peers/NAME`, made once from `benchmarks/peers/NAME.txt`."""

import hashlib
import pathlib
import shutil
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[2]
_UV = _ROOT / ".tools" / "bin" / "uv"


class PeerMissing(Exception):
    """A peer's environment could not be made; the message is the installer's."""


def ensure(name: str) -> pathlib.Path:
    """Returns the Python of the peer `name`, having installed what its requirements say.

    Without network if that has been done before; an environment that is half made, or was made from
    other requirements, is made again.

    Raises:
      PeerMissing: If it cannot be made.
    """
    requirements = pathlib.Path(__file__).with_name(f"{name}.txt")
    environment = _ROOT / ".peers" / name
    python = environment / "bin" / "python"
    made_from = environment / "requirements.sha256"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if python.exists() and made_from.exists() and made_from.read_text() == digest:
        return python
    shutil.rmtree(environment, ignore_errors=True)
    _install(name, _UV, "venv", "--quiet", "--seed", "--python", sys.executable, environment)
    # By pip, not uv: it heeds the machine's own settings for where wheels are found.
    _install(
        name, python, "-m", "pip", "install", "--disable-pip-version-check", "-r", requirements
    )
    made_from.write_text(digest)
    return python


def _install(name: str, *command: str | pathlib.Path) -> None:
    try:
        installer = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise PeerMissing(f"{name}: {error}") from error
    if installer.returncode:
        last = installer.stdout.strip().rpartition("\n")[2] or f"exit code {installer.returncode}"
        raise PeerMissing(f"{name}: {last}")
