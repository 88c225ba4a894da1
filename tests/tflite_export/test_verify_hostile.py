"""Packages and manifests that were made to harm, or by somebody else."""

import json

import pytest
from packages import change, failed, replace

from fedkeyboard.algorithms import local_training
from fedkeyboard.errors import UserError
from fedkeyboard.tflite_export import manifest as manifests
from fedkeyboard.tflite_export import verify
from fedkeyboard.tflite_export.phone import opened
from fedkeyboard.updates import update_file

pytestmark = pytest.mark.usefixtures("probed_once")


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
    # Enough for a text of 250 words, of a vocabulary of 10,000.
    assert verify._MOST_OF_TEXT > 4 * 10_000 * 250
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
