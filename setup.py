"""Builds the wheel, and into it the library that is preloaded into TFF's worker."""

import atexit
import pathlib
import runpy
import shutil
import tempfile
from collections.abc import Iterator

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import _encode_pth, _TopLevelFinder, editable_wheel

ROOT = pathlib.Path(__file__).resolve().parent


class WorkerLibrary(build_ext):
    """Compiles the library by the code that does it where the installed one is damaged."""

    def build_extension(self, ext: Extension) -> None:
        """Writes it where its package goes; in an editable install, beside its sources."""
        preload = runpy.run_path(str(ROOT / "fedkeyboard" / "runtime" / "preload.py"))
        try:
            library = preload["build"]()
        except OSError as error:
            raise SystemExit(
                f"fedkeyboard: cannot compile {', '.join(ext.sources)} ({error})"
            ) from error
        path = pathlib.Path(self.get_ext_fullpath(ext.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(library)

    def get_ext_filename(self, fullname: str) -> str:
        """Returns a name without Python's version, of which the library knows nothing."""
        return str(pathlib.Path(*fullname.split("."))) + ".so"


class FinderAndPath(_TopLevelFinder):
    """Puts the checkout on the path as well.

    A directory of the package's name, as the one that the checkout lies in has, is a namespace to
    Python, which comes before setuptools' finder; a package on the path comes before both.
    """

    def get_implementation(self) -> Iterator[tuple[str, bytes]]:
        """Yields the files beside the finder, by their names."""
        yield from super().get_implementation()
        yield "__editable__.fedkeyboard_checkout.pth", _encode_pth(f"{ROOT}\n")


class Editable(editable_wheel):
    """Installs so whatever the layout, which needs a finder."""

    def _select_strategy(self, name: str, *_: object) -> _TopLevelFinder:
        return FinderAndPath(self.distribution, name)


# Not in the checkout, where files of an earlier build would get into the wheel.
_BUILD = tempfile.mkdtemp(prefix="fedkeyboard-build-")
atexit.register(shutil.rmtree, _BUILD, ignore_errors=True)

setup(
    options={"build": {"build_base": _BUILD}},
    cmdclass={"build_ext": WorkerLibrary, "editable_wheel": Editable},
    ext_modules=[
        Extension(
            "fedkeyboard.runtime.preloaded",
            ["fedkeyboard/runtime/parent_only.c", "fedkeyboard/runtime/blocks.c"],
        )
    ],
)
