"""The wheel: one name, all that its code reads, also beside a user's files of the same names."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {folder: name for name, folder in SETTINGS["package-dir"].items()}
UV = ROOT / ".tools" / "bin" / "uv"
# Clients for other platforms, which no Python reads.
CLIENTS = tuple(f"tflite_export/{name}/" for name in ("android", "ios", "web", "tools"))


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.splitlines() if not name.startswith(CLIENTS)]


def installed_as(name):
    """Where the wheel has a file of the repository."""
    folder, _, rest = name.partition("/")
    return f"{FOLDERS[folder].replace('.', '/')}/{rest}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from what git knows of: anything else here is no part of it."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in [*tracked(), "pyproject.toml", "setup.py", "README.md", "LICENSE"]:
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    if not UV.exists():
        pytest.skip("uv builds it, which make installs")
    command = [UV, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", built]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(built.glob("*.whl"))


def test_every_package_is_listed():
    listed = {name for name in SETTINGS["packages"]}
    found = {
        str(pathlib.PurePath(installed_as(name)).parent).replace("/", ".")
        for name in tracked()
        if name.endswith("/__init__.py")
    }
    assert listed == found


def test_the_wheel_has_one_name_and_every_file(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {installed_as(name) for name in tracked()}
    assert names == expected | {"fedkeyboard/runtime/preloaded.so"}


def test_it_works_beside_a_users_own_modules(wheel, tmp_path):
    """In an environment with its dependencies and without this checkout."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    user = tmp_path / "user"
    for name in ("data", "simulation", "tflite_export", "benchmarks"):
        (user / name).mkdir(parents=True)
        (user / name / "__init__.py").write_text("raise SystemExit('the user's own')")
    (user / "data.py").write_text("raise SystemExit('a user's own')")
    # -S: without the .pth files of this environment, which know of this checkout.
    libraries = [str(tmp_path / "installed"), sysconfig.get_paths()["purelib"]]

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-S", "-m", "fedkeyboard", *arguments],
            cwd=user,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(libraries)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    small = ("population.phones=2000", "rounds.cohort=5", "fleet.minimum_reports=2")
    overrides = [part for each in small for part in ("--set", each)]
    done = run("fleet", "--config", "gboard", *overrides, "--rounds", "3")
    assert done.returncode == 0, done.stderr
    assert "plot" in done.stdout
    done = run("prepare", "--corpus", "chitchat", "--out", "own.sqlite", "--max-sentences", "6")
    assert done.returncode == 0, done.stderr


def test_without_tff_a_line_says_how_to_install_it(tmp_path):
    (tmp_path / "tensorflow_federated.py").write_text(
        "raise ModuleNotFoundError('No module named x', name='tensorflow_federated')"
    )
    done = subprocess.run(
        [sys.executable, "-m", "fedkeyboard", "fleet", "--config", "chitchat"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("fedkeyboard: ")]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert line.endswith(f"pip install --no-deps {' '.join(groups['federated'])}")
    assert "jaxlib" in line


def test_the_requirements_are_the_locks():
    """What `make requirements` would write is there: people install by it, without uv."""
    if not UV.exists():
        pytest.skip("uv exports them, which make installs")
    command = [UV, "export", "--locked", "--no-dev", "--no-emit-project", "--quiet", "--no-header"]
    exported = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "requirements.txt").read_text() == exported
