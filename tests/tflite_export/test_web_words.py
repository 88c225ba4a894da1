"""Whether the web client splits random text of every script as Python does.

The Android client's tests do the same of theirs (`make test-android`).
"""

import json
import pathlib
import shutil
import subprocess

import pytest
from fuzzed_words import cases

from fedkeyboard.text import characters

PAGE = pathlib.Path(__file__).parents[2] / "tflite_export" / "web" / "page"
SCRIPT = """
import { readFileSync } from "node:fs";
import { Words } from "./words.js";
const [table, texts] = JSON.parse(readFileSync(0, "utf8"));
const rules = new Words(table);
console.log(JSON.stringify(texts.map((text) => [rules.of(text), rules.bySentence(text)])));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_random_text_is_split_as_in_python():
    expected = cases(10_000, seed=0)
    table = json.loads(characters.PATH.read_text())
    told = subprocess.run(
        ["node", "--input-type=module", "--eval", SCRIPT],
        input=json.dumps([table, [case["text"] for case in expected]]),
        capture_output=True,
        text=True,
        check=True,
        cwd=PAGE,
    )
    for case, (words, sentences) in zip(expected, json.loads(told.stdout), strict=True):
        assert (words, sentences) == (case["words"], case["sentences"]), ascii(case["text"])
