"""Where figures are kept: `benchmarks/results/NAME.json`, with the machine they are of."""

import importlib.metadata
import json
import os
import pathlib
import re
from typing import Any

from fedkeyboard import files

DIRECTORY = pathlib.Path(__file__).parent / "results"


def write(name: str, **values: Any) -> pathlib.Path:
    """Writes figures, and returns the file."""
    path = DIRECTORY / f"{name}.json"
    result = {"machine": machine(), "versions": versions(), **values}
    files.write_text(path, json.dumps(result, indent=2) + "\n")
    return path


def read(name: str) -> dict[str, Any]:
    """Returns what was written last, nothing if nothing was."""
    path = DIRECTORY / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def machine() -> dict[str, Any]:
    """Returns what figures depend on of this machine."""
    processor = pathlib.Path("/proc/cpuinfo").read_text()
    flags = re.search(r"^flags\s*: (.*)$", processor, re.MULTILINE)[1].split()
    return {
        "processor": re.search(r"^model name\s*: (.*)$", processor, re.MULTILINE)[1],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "instructions": [flag for flag in flags if flag in ("avx2", "avx512f", "avx512_bf16")],
    }


def versions() -> dict[str, str]:
    """Returns the versions that figures depend on."""
    names = ("fedkeyboard", "tensorflow-federated", "tensorflow-cpu", "numpy")
    return {name: importlib.metadata.version(name) for name in names}
