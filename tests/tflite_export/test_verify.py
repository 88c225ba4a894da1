"""What is wrong with a package is found, and named."""

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from packages import change, failed, replace

from fedkeyboard import model
from fedkeyboard.errors import UserError
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.text.tokenizer import SPECIAL
from fedkeyboard.tflite_export import golden, package, verify
from fedkeyboard.tflite_export.files import flatbuffer, order, storage
from fedkeyboard.tflite_export.phone import litert, opened
from fedkeyboard.tflite_export.phone.learner import Learner

pytestmark = pytest.mark.usefixtures("probed_once")


def test_a_whole_package_passes(whole, weights):
    report = verify.verify(whole, weights)
    assert report.passed and len(report.checks) == 13
    of_both = ["step", "predict, 5 words"]
    assert [(timing.file, timing.what) for timing in report.timings] == [
        *(("model_infer.tflite", what) for what in of_both),
        *(("model_train.tflite", what) for what in of_both),
        ("ngrams.bin", "mix, in Python"),
        *(("model_train.tflite", f"{what}, 16 sentences") for what in ("train", "evaluate")),
    ]
    seen = {check.name: check.seen for check in report.checks}
    assert seen["weights, training"] == "int8: within half a step"
    assert all(0 < timing.p50 <= timing.p99 for timing in report.timings)
    json.dumps(report.as_dict(), allow_nan=False)
    stranger = verify.verify(whole)
    assert stranger.passed and len(stranger.checks) == 11


@pytest.mark.parametrize("content", [b"FKNG", NGrams.none(49).dump(), NGrams.none(50).dump()])
def test_other_ngrams(broken, content):
    replace(broken, "ngrams.bin", content)
    report = verify.verify(broken)
    assert [check.name for check in report.checks if not check.passed][0] == "golden n-grams"


def test_contents_that_changed(broken):
    content = bytearray((broken / "model_train.tflite").read_bytes())
    content[-100] ^= 1
    (broken / "model_train.tflite").write_bytes(content)
    name, seen = failed(broken)
    assert name == "files"
    assert "model_train.tflite: has other contents than the manifest says" in seen


def test_files_that_are_missing_or_too_many(broken):
    (broken / "notes.txt").write_text("mine")
    assert failed(broken) == ("files", "notes.txt: not in the manifest")
    (broken / "notes.txt").unlink()
    (broken / "golden.json").unlink()
    assert failed(broken) == ("files", "golden.json: missing")
    change(broken, "manifest.json", lambda m: m["files"].pop("golden.json"))
    assert failed(broken) == ("files", "golden.json: not in the manifest")


def test_signatures_that_are_others(broken):
    def edit(manifest):
        manifest["signatures"]["model_infer.tflite"]["step"]["inputs"]["word"]["type"] = "int64"

    change(broken, "manifest.json", edit)
    assert failed(broken)[0] == "signatures"


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("golden texts", lambda c: c["examples"][3].update(text="How are they")),
        ("golden texts", lambda c: c["examples"][3].update(words=["how"])),
        ("golden texts", lambda c: c["texts"][3]["words"].pop()),
        ("golden texts", lambda c: c["texts"].pop()),
        ("golden texts", lambda c: c["sentences"][0]["sentences"].pop()),
        ("golden texts", lambda c: c.pop("sentences")),
        ("golden n-grams", lambda c: c["examples"][3]["ngrams"].update(kept=0.5)),
        ("golden n-grams", lambda c: c["examples"][3]["ngrams"]["added"].pop()),
        ("golden n-grams", lambda c: c["examples"][3]["ngrams"]["added"].reverse()),
        ("golden n-grams", lambda c: c["examples"][3].pop("ngrams")),
        ("golden suggestions", lambda c: c["examples"][3].update(probabilities=[0.9, 0.05, 0.01])),
        ("golden suggestions", lambda c: c["examples"][3]["suggestions"].pop()),
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


def test_files_of_float32_have_the_runs_weights(broken, weights, exported_path, training_path):
    """And no others, though they were less than a step of int8 away."""
    for name, path in (("infer", exported_path), ("train", training_path)):
        replace(broken, f"model_{name}.tflite", path.read_bytes())
    precisions = {f"model_{name}.tflite": {"precision": "float32"} for name in ("infer", "train")}
    change(
        broken,
        "manifest.json",
        lambda m: [m["files"][name].update(said) for name, said in precisions.items()],
    )
    checks = verify._Checks(opened.Package(broken))
    assert "float32: log-probabilities within" in checks.check_inference(weights)
    assert checks.check_learner(weights) == "float32: equal"
    almost = weights._replace(embedding=weights.embedding + np.float32(1e-5))
    with pytest.raises(UserError, match="another embedding than the run"):
        checks.check_learner(almost)


def test_a_file_of_int8_has_the_runs_weights_within_half_a_step(
    broken, weights, training_path, monkeypatch
):
    # As of a larger model, of which all matrices are.
    monkeypatch.setattr(storage, "_SMALLEST", 100)
    content = order.read_late(storage.store_int8(training_path.read_bytes()))
    replace(broken, "model_train.tflite", content)
    checks = verify._Checks(opened.Package(broken))
    assert np.any(checks._package.learner.weights().embedding != weights.embedding)
    assert checks.check_learner(weights) == "int8: within half a step"
    almost = weights._replace(embedding=weights.embedding + np.abs(weights.embedding).max() / 200)
    with pytest.raises(UserError, match="another embedding than the run"):
        checks.check_learner(almost)


def test_a_reset_that_brings_nothing_back(whole, monkeypatch):
    checks = verify._Checks(opened.Package(whole))
    assert verify._checked("", checks.check_name).passed
    monkeypatch.setattr(Learner, "reset", lambda self: None)
    _, passed, seen = verify._checked("", checks.check_name)
    assert not passed and "reset does not bring the weights back" in seen


def test_a_file_of_other_weights(broken, weights, make_weights, sizes, tokenizer, ngrams):
    """Also one that suggests nothing with any certainty, in int8, and has its own golden.json."""
    with_opinions = make_weights(sizes, seed=3)
    with_opinions.output_bias[len(SPECIAL)] = 5.0  # The first word of all is a word, too.
    for others in (model.initial_weights(sizes, 3), with_opinions):
        content = package.inference_file(others, sizes, "int8")
        replace(broken, "model_infer.tflite", content)
        exported = litert.LiteModel(broken / "model_infer.tflite")
        with_these = golden.examples(exported, ngrams, tokenizer, sizes.length)
        change(broken, "golden.json", lambda c, e=with_these: c.update(examples=e))
        assert failed(broken, weights)[0] == "weights, inference"


@pytest.mark.parametrize("name", ["model_infer.tflite", "model_train.tflite"])
def test_an_operator_that_not_all_phones_have(broken, name):
    file = flatbuffer.unpack((broken / name).read_bytes())
    code = file.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"FlexTanh"
    replace(broken, name, flatbuffer.pack(file))
    with pytest.raises(UserError, match="needs FlexTanh: only LiteRT's builtin operators"):
        verify._Checks(opened.Package(broken)).check_operators()


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
