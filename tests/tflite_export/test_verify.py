"""What is wrong with a package is found, and named."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from fedkeyboard import hashed, model
from fedkeyboard.algorithms import local_training
from fedkeyboard.errors import UserError
from fedkeyboard.ngrams.model import NGrams
from fedkeyboard.tflite_export import golden, package, verify
from fedkeyboard.tflite_export import manifest as manifests
from fedkeyboard.tflite_export.phone import litert, opened
from fedkeyboard.tflite_export.phone.learner import Learner
from fedkeyboard.updates import update_file

pytestmark = pytest.mark.usefixtures("probed_once")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, weights, sizes, tokenizer, ngrams, training_record):
    directory = tmp_path_factory.mktemp("package") / "export"
    package.export(
        directory,
        weights=weights,
        sizes=sizes,
        tokenizer=tokenizer,
        ngrams=ngrams,
        training=training_record,
        metrics=None,
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
    content = json.loads((directory / name).read_text())
    edit(content)
    replace(directory, name, hashed.sealed(content).encode())


def replace(directory, name, content):
    """Replaces a file of a package, as one does who makes the manifest say so."""
    (directory / name).write_bytes(content)
    if name != "manifest.json":
        digest = hashlib.sha256(content).hexdigest()
        said = json.loads((directory / "manifest.json").read_text())
        said["files"][name].update(bytes=len(content), sha256=digest)
        (directory / "manifest.json").write_text(hashed.sealed(said))


def test_a_whole_package_passes(whole, weights):
    report = verify.verify(whole, weights)
    assert report.passed and len(report.checks) == 13
    of_both = ["step", "predict, 5 words"]
    assert [(timing.file, timing.what) for timing in report.timings] == [
        *(("model_infer.tflite", what) for what in of_both),
        *(("model_train.tflite", what) for what in of_both),
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


def test_a_reset_that_brings_nothing_back(whole, monkeypatch):
    checks = verify._Checks(opened.Package(whole))
    assert verify._checked("", checks.check_name).passed
    monkeypatch.setattr(Learner, "reset", lambda self: None)
    _, passed, seen = verify._checked("", checks.check_name)
    assert not passed and "reset does not bring the weights back" in seen


def test_a_file_of_other_weights(broken, weights, make_weights, sizes, tokenizer, ngrams):
    """Also one that suggests nothing with any certainty, in int8, and has its own golden.json."""
    for others in (model.initial_weights(sizes, 3), make_weights(sizes, seed=3)):
        content = package.inference_file(others, sizes, "int8")
        replace(broken, "model_infer.tflite", content)
        exported = litert.LiteModel(broken / "model_infer.tflite")
        with_these = golden.examples(exported, ngrams, tokenizer, sizes.length)
        change(broken, "golden.json", lambda c, e=with_these: c.update(examples=e))
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model_infer.tflite", b"no flatbuffer" * 100),
        ("model_train.tflite", b"\x1c\0\0\0TFL3" + b"\xff" * 999),
    ],
    ids=["text", "begin"],
)
def test_files_that_are_no_flatbuffers(broken, name, content):
    """Though the manifest says that they are as they should be."""
    replace(broken, name, content)
    check, seen = failed(broken)
    assert check == "opening" and f"{name}: not a .tflite file" in seen


def test_a_file_that_ends_litert(broken, made_to_harm):
    hostile = made_to_harm((broken / "model_train.tflite").read_bytes())
    replace(broken, "model_train.tflite", hostile)
    check, seen = failed(broken)
    assert check == "opening" and "ended with SIG" in seen


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("model", "length"), 10**12),
        (("model", "vocabulary"), 10**30),
        (("model", "units"), 0),
        (("files", "golden.json", "bytes"), 10**15),
        (("files", "golden.json", "bytes"), -1),
        (("accuracy",), {"users": 10**30}),
    ],
)
def test_a_manifest_with_numbers_that_no_package_has(broken, place, value):
    def edit(said):
        *above, key = place
        for name in above:
            said = said[name]
        said[key] = value

    change(broken, "manifest.json", edit)
    with pytest.raises(UserError, match=rf"manifest\.json: {'.'.join(place)}") as caught:
        verify.verify(broken)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda e: e.update(probabilities=[float("nan")] * 3), "NaN is no number"),
        (lambda e: e.update(probabilities=[1e999] * 3), "off by inf"),
        (lambda e: e.update(suggestions=[[1], [1], [1]]), "no word"),
    ],
)
def test_golden_suggestions_that_compare_with_nothing(broken, edit, why):
    content = json.loads((broken / "golden.json").read_text())
    for example in content["examples"]:
        edit(example)
    text = json.dumps(content).replace("Infinity", "1e999")
    replace(broken, "golden.json", text.encode())
    report = verify.verify(broken)
    assert not report.passed
    assert any(why in check.seen for check in report.checks if not check.passed)


@pytest.mark.parametrize(
    ("entry", "why"),
    [("", "no word"), ("a b", "no word"), ("Hello", "no word"), ("you", "an entry twice")],
)
def test_entries_that_nobody_can_type(broken, entry, why):
    lines = (broken / "vocabulary.txt").read_text().splitlines()
    assert "you" in lines
    lines[[i for i, line in enumerate(lines) if i > 3 and line != "you"][0]] = entry
    replace(broken, "vocabulary.txt", "".join(f"{line}\n" for line in lines).encode())
    report = verify.verify(broken)
    assert any(why in check.seen for check in report.checks if not check.passed)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clipping_norm", 1e-300),
        ("learning_rate", 1e300),
        ("epochs", 10**30),
        ("batch_size", 10**30),
        ("maximum_sentences", 10**12),
        ("epochs", 0),
    ],
)
def test_rounds_that_never_end_are_refused(broken, key, value):
    assert opened.Package(broken).client().epochs == 1

    def edit(manifest):
        manifest["training"]["settings"]["client"][key] = value

    change(broken, "manifest.json", edit)
    with pytest.raises(UserError, match="does not say how phones train"):
        opened.Package(broken).client()
    name, seen = failed(broken)
    assert name == "training settings" and "does not say how phones train" in seen


@pytest.mark.parametrize(
    ("edit", "check", "part"),
    [
        (lambda c: c["training"].update(losses=[1.0] * 10**5), "check_training", "than 100"),
        (lambda c: c["training"].update(texts=["ok"] * 10**5), "check_training", "than 100"),
        (lambda c: c["examples"][0].update(ids=[5] * 10**5), "check_texts", "100,000 words"),
        (lambda c: c.update(examples=c["examples"][:1] * 20_000), "check_texts", "than 10000"),
    ],
    ids=["losses", "texts", "ids", "examples"],
)
def test_golden_examples_without_end(broken, monkeypatch, edit, check, part):
    # As of a vocabulary of 10,000 words.
    monkeypatch.setattr(verify, "_MOST_OF_TEXT", verify._MOST_OF_TEXT // 200)
    change(broken, "golden.json", edit)
    assert part in of_golden(broken, check)


def test_golden_examples_may_reach_their_bounds(whole, monkeypatch):
    content = json.loads((whole / "golden.json").read_text())
    training = content["training"]
    longest = max(len(example["ids"]) for example in content["examples"])
    bounds = {
        "_MOST_TRAINING": (max(len(training["texts"]), len(training["losses"])), "check_training"),
        "_MOST_EXAMPLES": (len(content["examples"]), "check_texts"),
        # Probabilities in float32, of each entry after each word.
        "_MOST_OF_TEXT": (4 * 50 * longest, "check_texts"),
    }
    for name, (there, check) in bounds.items():
        for most in (there, there - 1):
            with monkeypatch.context() as patch:
                patch.setattr(verify, name, most)
                checks = verify._Checks(opened.Package(whole))
                assert verify._checked("", getattr(checks, check)).passed == (most == there)


def of_golden(directory, check):
    """Returns what one check of golden.json says that must fail."""
    checks = verify._Checks(opened.Package(directory))
    name, passed, seen = verify._checked("golden", getattr(checks, check))
    assert not passed and len(seen.splitlines()) == 1
    return seen


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"9" * 5000, b"{", b"\xff", b"[1]", b"null"],
    ids=["brackets", "digits", "half", "bytes", "list", "null"],
)
def test_json_that_is_none(broken, content):
    replace(broken, "golden.json", content)
    for check in ("check_texts", "check_suggestions", "check_training"):
        assert of_golden(broken, check)
    (broken / "manifest.json").write_bytes(content)
    with pytest.raises(UserError, match=r"manifest\.json: damaged, or not a phone package's"):
        verify.verify(broken)


def test_a_manifest_that_is_not_as_it_was_written(broken):
    path = broken / "manifest.json"
    path.write_text(path.read_text().replace('"units": 12', '"units": 13'))
    with pytest.raises(UserError, match=r"manifest\.json: damaged, or of an older version"):
        verify.verify(broken)


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        *((local_training.LEAST, True), (local_training.MOST, True), (1.0, True)),
        *((local_training.LEAST / 2, False), (2 * local_training.MOST, False), (0.0, False)),
    ],
)
@pytest.mark.parametrize("key", ["learning_rate", "clipping_norm"])
def test_a_rate_is_one_to_all_or_to_none(key, value, allowed, training_record):
    """To what trains, to the package that says how, and to the update that says how it was."""
    client = training_record["settings"]["client"] | {key: value}
    of_both = ("learning_rate", "clipping_norm", "batch_size", "epochs")
    said = {name: client[name] for name in of_both}
    errors = []
    for make in (
        lambda: local_training.LocalTraining(**said),
        lambda: manifests.Client.model_validate(client),
        lambda: update_file.Metadata.model_validate(
            dict.fromkeys(update_file.Metadata.model_fields) | said
        ),
    ):
        try:
            make()
            errors.append("")
        except (UserError, ValueError) as error:
            errors.append(str(error))
    assert [f"{key}:" in error or f"\n{key}\n" in error for error in errors] == [not allowed] * 3


@pytest.mark.parametrize("ids", [[2**70], [-5], [2**40], ["x"], None])
def test_ids_that_are_none_break_no_other_check(broken, weights, ids):
    change(broken, "golden.json", lambda content: content["examples"][0].update(ids=ids))
    report = verify.verify(broken, weights)
    failed = [check.name for check in report.checks if not check.passed]
    assert failed and all(name.startswith("golden ") for name in failed)
