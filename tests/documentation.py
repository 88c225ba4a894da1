"""The commands that README and the documents tell people to run, and make's targets."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "benchmarks/README.md",
    "benchmarks/reliability/README.md",
    "tflite_export/*/README.md",
    "tests/mutants/README.md",
)
# In a sentence a word alone, or a word and a noun, is the name of something and not to be typed.
_IN_TEXT = re.compile(
    r"(?:\S*/)?fedkeyboard [a-z].*|make [a-z-]+.*|(?:\S*/)?python\S* -m .*|node --test .*|gradle .*"
)


def commands():
    """The commands by the page that has them first, without comments and where they are."""
    found = {}
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            if "node_modules" in path.parts:
                continue
            for command in _of_page(path.read_text(encoding="utf-8")):
                found.setdefault(command, str(path.relative_to(ROOT)))
    return found


def _of_page(text):
    fenced = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for language, block in fenced.findall(text):
        if language not in ("sh", "bash", "console"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            line = _plain(line.partition("  #")[0].partition(" # ")[0])
            if line:
                yield line
    # Tables and sentences.
    for code in re.findall(r"`([^`]+)`", fenced.sub("", text)):
        code = _plain(code)
        if _IN_TEXT.fullmatch(code):
            yield code


def _plain(command):
    return re.sub(r"\s+", " ", command.replace(".venv/bin/", "")).strip()


def targets():
    """Make's targets that people are to call."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
