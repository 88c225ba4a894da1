"""Puts into the wheel the library that is preloaded into TFF's worker; needs a C compiler."""

import pathlib
import runpy
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WorkerLibrary(BuildHookInterface):
    """Compiles the library, for this machine's kind."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the library to what the wheel holds, which makes it one for a platform."""
        preload = runpy.run_path(str(pathlib.Path(self.root, "fedkeyboard", "preload.py")))
        try:
            library = preload["build"]()
        except OSError as error:
            self.app.abort(f"fedkeyboard: cannot compile fedkeyboard/*.c ({error})")
        self._directory = tempfile.TemporaryDirectory()
        path = pathlib.Path(self._directory.name, preload["INSTALLED_NAME"])
        path.write_bytes(library)
        included = "force_include_editable" if version == "editable" else "force_include"
        build_data[included][str(path)] = path.name
        build_data.update(pure_python=False, infer_tag=True)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what `initialize` left for the wheel to be made of."""
        self._directory.cleanup()
