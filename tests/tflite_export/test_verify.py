"""What is wrong with a package is found, and named."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from fedkeyboard import model
from fedkeyboard.errors import UserError
from tflite_export import golden, litert, package, verify
from tflite_export.learner import Learner


@pytest.fixture(scope="module")
def whole(tmp_path_factory, weights, sizes, tokenizer):
    directory = tmp_path_factory.mktemp("package") / "export"
    package.export(
        directory, weights=weights, sizes=sizes, tokenizer=tokenizer, training={}, metrics=None
    )
    return directory


@pytest.fixture
def broken(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "export")


def failed(directory, weights=None):
    """Returns the name of the only check that fails, and what it saw."""
    report = verify.verify(directory, weights)
    assert not report.passed and report.timings == []
    (check,) = (check for check in report.checks if not check.passed)
    assert "\n" not in check.seen
    return check.name, check.seen


def change(directory, name, edit):
    """Changes a JSON file of a package, and what the manifest says of it."""
    path, manifest = directory / name, directory / "manifest.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    if path != manifest:
        said = json.loads(manifest.read_text())
        said["files"][name] = {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        manifest.write_text(json.dumps(said))


def test_a_whole_package_passes(whole, weights):
    report = verify.verify(whole, weights)
    assert report.passed and len(report.checks) == 10
    assert {timing.file for timing in report.timings} == {
        "model_infer.tflite",
        "model_train.tflite",
    }
    assert all(0 < timing.p50 <= timing.p99 for timing in report.timings)
    json.dumps(report.as_dict(), allow_nan=False)
    stranger = verify.verify(whole)
    assert stranger.passed and len(stranger.checks) == 8


def test_contents_that_changed(broken):
    content = bytearray((broken / "model_train.tflite").read_bytes())
    content[-100] ^= 1
    (broken / "model_train.tflite").write_bytes(content)
    assert failed(broken) == (
        "files",
        "model_train.tflite: has other contents than the manifest says",
    )


def test_files_that_are_missing_or_too_many(broken):
    (broken / "notes.txt").write_text("mine")
    assert failed(broken) == ("files", "notes.txt: not in the manifest")
    (broken / "notes.txt").unlink()
    (broken / "golden.json").unlink()
    assert failed(broken) == ("files", "golden.json: missing")


def test_signatures_that_are_others(broken):
    def edit(manifest):
        manifest["signatures"]["model_infer.tflite"]["step"]["inputs"]["word"]["type"] = "int64"

    change(broken, "manifest.json", edit)
    assert failed(broken)[0] == "signatures"


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("golden texts", lambda c: c["examples"][3]["ids"].reverse()),
        ("golden texts", lambda c: c["examples"][3].update(words=["how"])),
        ("golden texts", lambda c: c["texts"][3]["words"].pop()),
        ("golden texts", lambda c: c["texts"].pop()),
        ("golden texts", lambda c: c["sentences"][0]["sentences"].pop()),
        ("golden texts", lambda c: c.pop("sentences")),
        ("golden suggestions", lambda c: c["examples"][3].update(probabilities=[0.9, 0.05, 0.01])),
        ("golden training", lambda c: c["training"]["rows"][0].reverse()),
        ("golden training", lambda c: c["training"].update(losses=[1.0])),
        ("golden training", lambda c: c["training"].pop("texts")),
    ],
)
def test_golden_examples_that_are_not_reproduced(broken, name, edit):
    change(broken, "golden.json", edit)
    assert failed(broken)[0] == name


def test_another_table_of_characters(broken):
    change(broken, "characters.json", lambda c: c.update(letters=c["letters"][:-2]))
    name, seen = failed(broken)
    assert name == "golden texts" and "characters.json" in seen


def test_a_word_that_stands_apart_must_be_the_same(broken):
    examples = json.loads((broken / "golden.json").read_text())["examples"]
    apart = next(
        i for i, e in enumerate(examples) if e["probabilities"][0] > e["probabilities"][1] + 0.05
    )
    change(
        broken, "golden.json", lambda c: c["examples"][apart]["suggestions"].__setitem__(0, "it's")
    )
    name, seen = failed(broken)
    assert name == "golden suggestions" and "not it's" in seen


def test_another_name_for_the_weights(broken):
    change(broken, "manifest.json", lambda m: m["model"].update(weights_sha256="0" * 64))
    assert failed(broken)[0] == "weights' name"


@pytest.mark.parametrize("field", ["embedding", "output_bias"])
def test_weights_of_another_run(whole, weights, field):
    changed = getattr(weights, field).copy()
    # Not a constant: that would change no probability.
    changed[::2] += 3.0
    report = verify.verify(whole, weights._replace(**{field: changed}))
    wrong = [check.name for check in report.checks if not check.passed]
    assert wrong == ["weights, inference", "weights, training"]


def test_a_file_of_other_weights(broken, weights, make_weights, sizes, tokenizer):
    """Also one that suggests nothing with any certainty, in int8, and has its own golden.json."""
    for others in (model.initial_weights(sizes, 3), make_weights(sizes, seed=3)):
        content = package.inference_file(others, sizes, "int8")
        (broken / "model_infer.tflite").write_bytes(content)
        exported = litert.LiteModel(broken / "model_infer.tflite")
        with_these = golden.examples(exported, tokenizer, sizes.length)
        change(broken, "golden.json", lambda c, e=with_these: c.update(examples=e))
        said = json.loads((broken / "manifest.json").read_text())
        said["files"]["model_infer.tflite"].update(
            bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
        (broken / "manifest.json").write_text(json.dumps(said))
        assert failed(broken, weights)[0] == "weights, inference"


def test_sizes_that_are_not_the_files(broken):
    change(broken, "manifest.json", lambda m: m["model"].update(units=5))
    assert failed(broken)[0] == "signatures"


def test_texts_and_tolerances_are_not_the_packages_to_choose(broken):
    def edit(content):
        content["examples"][3]["probabilities"][0] += 0.1
        content.update(probability_tolerance=1e9)

    change(broken, "golden.json", edit)
    assert failed(broken)[0] == "golden suggestions"
    change(broken, "golden.json", lambda c: c["examples"].pop())
    report = verify.verify(broken)
    assert [c.name for c in report.checks if not c.passed] == ["golden texts", "golden suggestions"]


def test_a_step_that_is_another(whole, monkeypatch):
    fit = Learner.fit
    monkeypatch.setattr(Learner, "fit", lambda self, rows, *how: fit(self, rows[:-1], *how))
    wrong = [check.name for check in verify.verify(whole).checks if not check.passed]
    assert wrong == ["golden training", "a local step"]


def test_no_number_passes_for_none(whole, weights):
    nan = weights._replace(output_bias=np.full_like(weights.output_bias, np.nan))
    assert not verify.verify(whole, nan).passed


def test_what_is_no_package_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a phone package"):
        verify.verify(tmp_path)
