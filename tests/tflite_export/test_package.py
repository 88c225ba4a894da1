import hashlib
import json
import math
import pathlib
import shutil
import unicodedata

import numpy as np
import pytest

from fedkeyboard import files, hashed, model
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.evaluation import keystrokes, metrics, scoring
from fedkeyboard.text.words import words
from fedkeyboard.tflite_export import accuracy, golden, package, parity, verify
from fedkeyboard.tflite_export import manifest as manifests
from fedkeyboard.tflite_export.phone import litert
from fedkeyboard.tflite_export.phone.litert import LiteModel
from fedkeyboard.updates.update_file import weights_sha256

METRICS = {"split": "test", "top1_recall": 0.25}

pytestmark = pytest.mark.usefixtures("probed_once")


@pytest.fixture(scope="module")
def converted():
    """Makes a conversion one that remembers, since most packages here are of the same weights."""
    files = {}

    def remembering(convert):
        def of(weights, sizes, how):
            key = (convert.__name__, weights_sha256(weights), sizes, how)
            if key not in files:
                files[key] = convert(weights, sizes, how)
            return files[key]

        return of

    return remembering


@pytest.fixture
def export(weights, sizes, tokenizer, training_record, converted, monkeypatch):
    for convert in (package.inference_file, package.training_file):
        monkeypatch.setattr(package, convert.__name__, converted(convert))

    def run(directory, **changes):
        arguments = {
            "weights": weights,
            "sizes": sizes,
            "tokenizer": tokenizer,
            "training": training_record,
            "metrics": METRICS,
            "precision": "float32",
            "train_storage": "float32",
        }
        return package.export(directory, **{**arguments, **changes})

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("made") / "export"


@pytest.fixture
def package_in(export, made):
    """Returns a function that puts the package of the default arguments into a place."""

    def put(directory):
        if not made.exists():
            export(made)
        shutil.copytree(made, directory)
        return contents(directory)

    return put


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_package_is_what_its_manifest_says(export, training_record, tmp_path, weights):
    directory = tmp_path / "deep" / "export"
    assert export(directory).passed
    manifest = manifests.load(directory)
    written = contents(directory)
    assert (
        set(written)
        == {*manifest.files, "manifest.json"}
        == {
            *("model_infer.tflite", "model_train.tflite"),
            *(
                "vocabulary.txt",
                "spellings.json",
                "characters.json",
                "golden.json",
                "manifest.json",
            ),
        }
    )
    for name, said in manifest.files.items():
        assert said.bytes == len(written[name])
        assert said.sha256 == hashlib.sha256(written[name]).hexdigest()
    assert manifest.model.model_dump(exclude={"weights_sha256"}) == {
        "vocabulary": 50,
        "embedding": 8,
        "units": 12,
        "length": 6,
        "weights": 50 * 8 + 2 * 8 * 36 + 36 + 12 * 8 + 50,
    }
    assert (manifest.training, manifest.metrics) == (training_record, METRICS)
    assert [path.name for path in directory.parent.iterdir()] == ["export"]
    assert {path.stat().st_mode & 0o444 for path in directory.iterdir()} == {0o444}


def test_the_signatures_are_those_of_the_file(package_in, tmp_path):
    def tensor(kind, *shape):
        return {"shape": list(shape), "type": kind}

    suggestions = {"suggestions": tensor("int32", 1, 3), "probabilities": tensor("float32", 1, 3)}
    state = {"output": tensor("float32", 1, 8), "cell": tensor("float32", 1, 12)}
    before = {"word": tensor("int32", 1), **state}
    number, count = tensor("float32"), tensor("int32")
    sentences = {"sentences": tensor("int32", -1, 7), "mask": tensor("float32", -1, 6)}
    weights = {
        "embedding": tensor("float32", 50, 8),
        "input_kernel": tensor("float32", 8, 36),
        "recurrent_kernel": tensor("float32", 8, 36),
        "bias": tensor("float32", 36),
        "projection": tensor("float32", 12, 8),
        "output_bias": tensor("float32", 50),
    }
    inference = {
        "predict": {"inputs": {"words": tensor("int32", 1, 6)}, "outputs": suggestions},
        "step": {"inputs": before, "outputs": {**suggestions, **state}},
        "score": {
            "inputs": before,
            "outputs": {"log_probabilities": tensor("float32", 1, 50), **state},
        },
    }
    learning = {
        "train": {
            "inputs": {**sentences, "learning_rate": number, "clipping_norm": number},
            "outputs": {"loss": number},
        },
        "evaluate": {
            "inputs": sentences,
            "outputs": {"loss": number, "words": count, "top1_hits": count, "top3_hits": count},
        },
        "get_weights": {"inputs": {"anything": number}, "outputs": weights},
        "set_weights": {"inputs": weights, "outputs": {"done": count}},
        "reset": {"inputs": {"anything": number}, "outputs": {"done": count}},
    }
    package_in(tmp_path / "export")
    assert manifests.load(tmp_path / "export").model_dump()["signatures"] == {
        "model_infer.tflite": inference,
        "model_train.tflite": {**inference, **learning},
    }


def test_golden_examples_are_reproduced(package_in, tmp_path, tokenizer, sizes):
    package_in(tmp_path / "export")
    content = (tmp_path / "export" / "golden.json").read_bytes()
    assert content.isascii()
    examples = json.loads(content)["examples"]
    assert [example["text"] for example in examples] == golden.texts(sizes.length)
    for example in examples:
        assert example["words"] == words(example["text"])
        assert example["ids"] == tokenizer.encode(example["text"])
        suggested = litert.suggest_words(
            tmp_path / "export" / "model_infer.tflite",
            tmp_path / "export" / "vocabulary.txt",
            example["text"],
        )
        assert example["suggestions"] == [word for word, _ in suggested]
        assert example["probabilities"] == [probability for _, probability in suggested]


def test_suggestions_are_spelled_as_people_write(package_in, tmp_path, tokenizer):
    """Of the fixture's Greek words, which end in a sigma that is no final one."""
    package_in(tmp_path / "export")
    assert dict(tokenizer.spellings) == {"οσ": "ος", "οδοσ": "οδος"}
    content = json.loads((tmp_path / "export" / "golden.json").read_text())
    shown = {word for example in content["examples"] for word in example["suggestions"]}
    assert shown <= set(tokenizer.shown) and not shown & {"οσ", "οδοσ"}
    model = litert.LiteModel(tmp_path / "export" / "model_infer.tflite")
    suggested = model.suggest(tokenizer.encode("hello"))
    assert litert.suggest_words(
        tmp_path / "export" / "model_infer.tflite", tmp_path / "export" / "vocabulary.txt", "hello"
    ) == [(tokenizer.shown[i], probability) for i, probability in suggested]


def test_golden_examples_cover_the_rules(sizes):
    texts = golden.texts(sizes.length)
    everything = "".join(texts)
    # The examples at which clients go wrong; each by the characters that make it hard.
    for characters in ("'", "\u2019", "\u200d", "\U0001f3fd", "\ufe0f", "\u03c2", "\u03a3", "ß"):
        assert characters in everything
    assert any(unicodedata.east_asian_width(c) == "F" and c.isalpha() for c in everything)
    assert any(c.isdigit() for c in everything) and "?" in everything and "\n" in everything
    assert any(text != unicodedata.normalize("NFC", text) for text in texts)
    assert any(text != unicodedata.normalize("NFD", text) for text in texts)
    assert "" in texts and any(text[:1] == " " and text[-1:] == " " for text in texts)
    assert len(words(texts[-1])) > sizes.length
    assert words("zzyzxq zzyzxq") == ["zzyzxq", "zzyzxq"] and "zzyzxq zzyzxq" in texts
    assert len(set(texts)) == len(texts)


def test_the_long_text_is_long_for_any_length():
    assert len(words(golden.texts(100)[-1])) > 100


def test_an_older_package_is_replaced(export, package_in, tmp_path, make_weights, sizes):
    directory = tmp_path / "export"
    before = package_in(directory)
    # A file that an older version's manifest has.
    (directory / "of_an_older_version.txt").write_text("old")
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"]["of_an_older_version.txt"] = {}
    manifest["format"]["version"] = 1
    (directory / "manifest.json").write_text(json.dumps(manifest))
    export(directory, weights=make_weights(sizes, seed=1))
    after = contents(directory)
    assert set(after) == set(before)
    assert after["model_infer.tflite"] != before["model_infer.tflite"]
    assert list(tmp_path.iterdir()) == [directory]


def test_an_empty_directory_and_a_link_are_filled(export, tmp_path):
    directory, link = tmp_path / "export", tmp_path / "latest"
    directory.mkdir()
    link.symlink_to(directory)
    export(link)
    assert link.is_symlink() and manifests.load(link) == manifests.load(directory)


@pytest.mark.parametrize("manifest", [None, "{}", "no json", "[]", '{"format": {"name": "x"}}'])
def test_a_directory_of_something_else_is_left_alone(export, tmp_path, manifest):
    directory = tmp_path / "thesis"
    directory.mkdir()
    (directory / "chapter1.txt").write_text("mine")
    if manifest is not None:
        (directory / "manifest.json").write_text(manifest)
    before = contents(directory)
    with pytest.raises(UserError, match="thesis: holds .* not a phone package's"):
        export(directory)
    assert contents(directory) == before
    with pytest.raises(UserError, match="is a file"):
        export(directory / "chapter1.txt")


def refuse(*_):
    raise RunFailure("refused")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (parity, "check"),
        (verify.convert, "check_operators"),
        (golden, "examples"),
        (package.importlib.metadata, "version"),
    ],
)
def test_a_failed_export_leaves_the_old_package(
    export, package_in, tmp_path, monkeypatch, place, name
):
    directory = tmp_path / "export"
    before = package_in(directory)
    monkeypatch.setattr(place, name, refuse)
    with pytest.raises(RunFailure, match="refused"):
        export(directory)
    assert contents(directory) == before
    assert list(tmp_path.iterdir()) == [directory]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", ["old", "export"])
def test_a_failed_swap_leaves_the_old_package(
    export, package_in, tmp_path, monkeypatch, failing, error
):
    directory = tmp_path / "export"
    before = package_in(directory)
    rename, failed = pathlib.Path.rename, []

    def rename_badly(self, to):
        if pathlib.Path(to).name == failing and not failed:
            failed.append(to)
            raise error
        return rename(self, to)

    monkeypatch.setattr(pathlib.Path, "rename", rename_badly)
    expected = RunFailure if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is RunFailure else None):
        export(directory)
    assert failed
    assert contents(directory) == before
    assert list(tmp_path.iterdir()) == [directory]


def test_what_a_killed_process_left_is_taken_up(export, package_in, tmp_path, monkeypatch):
    directory = tmp_path / "export"
    before = package_in(directory)
    left = tmp_path / ".export.abc.part"
    (left / "new").mkdir(parents=True)
    directory.rename(left / "old")
    busy = tmp_path / ".export.def.part"
    (busy / "new").mkdir(parents=True)
    monkeypatch.setattr(verify, "verify", refuse)
    with files.locked(busy), pytest.raises(RunFailure, match="refused"):
        export(directory)
    assert contents(directory) == before
    assert sorted(tmp_path.iterdir()) == [busy, directory]


def test_the_package_is_never_a_mixture(
    export, package_in, tmp_path, monkeypatch, make_weights, sizes
):
    directory = tmp_path / "export"
    package_in(directory)
    seen, rename = [contents(directory)], pathlib.Path.rename

    def watched(self, to):
        result = rename(self, to)
        seen.append(contents(directory) if directory.exists() else None)
        return result

    monkeypatch.setattr(pathlib.Path, "rename", watched)
    export(directory, weights=make_weights(sizes, seed=1))
    old, *between, new = seen
    assert between == [None] and new == contents(directory) != old


def test_what_does_not_fit_together_is_refused(export, tmp_path, weights, sizes):
    def assert_refused(kind, match, **changes):
        with pytest.raises(kind, match=match) as caught:
            export(tmp_path / "export", **changes)
        assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []

    other = model.Sizes(vocabulary=49, embedding=8, units=12, length=6)
    assert_refused(UserError, "tokenizer has 50 entries, the model 49", sizes=other)
    other = model.Sizes(vocabulary=50, embedding=8, units=13, length=6)
    assert_refused(UserError, r"input_kernel has the shape \(8, 36\), not \(8, 39\)", sizes=other)
    nan = weights._replace(bias=np.full_like(weights.bias, np.nan))
    assert_refused(RunFailure, "bias is not finite", weights=nan)
    for one in (np.nan, np.inf, -np.inf):
        bias = np.insert(weights.bias[1:], 5, one)
        assert_refused(RunFailure, "bias is not finite", weights=weights._replace(bias=bias))
    assert_refused(RunFailure, "manifest.json: .*NaN", metrics={"perplexity": math.inf})


def test_a_vocabulary_of_two_words_is_refused(export, tmp_path, tokenizer, make_weights):
    few = model.Sizes(vocabulary=6, embedding=8, units=12, length=6)
    small = type(tokenizer)(tokenizer.model, tokenizer.vocabulary[:6])
    with pytest.raises(UserError, match="fewer than 3 words"):
        export(tmp_path / "export", sizes=few, tokenizer=small, weights=make_weights(few))


def test_a_vocabulary_of_three_words_is_enough(export, tmp_path, tokenizer, make_weights):
    few = model.Sizes(vocabulary=7, embedding=8, units=12, length=6)
    small = type(tokenizer)(tokenizer.model, tokenizer.vocabulary[:7])
    report = export(tmp_path / "export", sizes=few, tokenizer=small, weights=make_weights(few))
    assert report.passed


def test_an_unwritable_place_is_one_line(export, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailure, match="could not be written"):
        export(tmp_path / "file" / "export")


def test_manifests_of_other_formats_are_refused(package_in, tmp_path):
    with pytest.raises(UserError, match="not a phone package"):
        manifests.load(tmp_path)
    directory = tmp_path / "export"
    package_in(directory)
    path = directory / "manifest.json"
    written = json.loads(path.read_text())

    def changed(**changes):
        path.write_text(hashed.sealed({**written, **changes}))

    for version in ("1", 1, "2.0"):
        changed(format={**written["format"], "version": version})
        with pytest.raises(UserError, match=f"format {version};.*export it again"):
            manifests.load(directory)
    # It still is a package of ours, and may be replaced.
    assert manifests.is_package(directory)
    changed(format={**written["format"], "version": "3.9"}, something_new=1)
    assert manifests.load(directory).model.vocabulary == 50
    changed(model={**written["model"], "weights_sha256": "abc"})
    with pytest.raises(UserError, match=r"manifest.json: model.weights_sha256: .*export"):
        manifests.load(directory)


def test_the_schema_is_that_of_the_manifest():
    committed = pathlib.Path(manifests.__file__).with_name("manifest.schema.json")
    assert json.loads(committed.read_text()) == manifests.schema()


def test_the_file_in_the_package_is_the_models(package_in, tmp_path, exported):
    package_in(tmp_path / "export")
    packaged = LiteModel(tmp_path / "export" / "model_infer.tflite")
    assert packaged.suggest([5, 6, 7]) == exported.suggest([5, 6, 7])


@pytest.mark.parametrize(
    ("precision", "train_storage"),
    [
        ("int8", "int8"),
        pytest.param("float16", "int8", marks=pytest.mark.heavy),
        pytest.param("float32", "float32", marks=pytest.mark.heavy),
    ],
)
def test_precisions_are_measured_on_unseen_text(
    export, tmp_path, tokenizer, sizes, precision, train_storage
):
    users = [["how are you", "i know that"], ["we can go out on friday"]]
    rows = [tokenizer.rows(texts, sizes.length) for texts in users]
    report = export(
        tmp_path / "export",
        unseen=package.Unseen("validation", rows),
        precision=precision,
        train_storage=train_storage,
    )
    assert report.passed
    manifest = manifests.load(tmp_path / "export")
    assert manifest.files["model_infer.tflite"].precision == precision
    assert manifest.files["model_train.tflite"].precision == train_storage
    said = manifest.accuracy
    assert (said.split, said.users, said.words) == ("validation", 2, 12)
    assert set(said.inference) == {"float32", "float16", "int8"}
    assert set(said.training) == {train_storage}
    with_this = accuracy.count(
        LiteModel(tmp_path / "export" / "model_infer.tflite"), np.concatenate(rows)
    )
    assert said.inference[precision].model_dump() == with_this.recall()


def test_accuracy_is_that_of_the_evaluation(exported, tokenizer, sizes):
    """Words outside the vocabulary are misses, ends of sentences are no targets."""
    texts = ["how are you", "zzyzxq is good", "i will tell you all about it when i see you", "ok"]
    text = tokenizer.text(texts, sizes.length)
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    scorer = scoring.LogProbabilitiesScorer(exported.log_probabilities, prefixes)
    expected = metrics.count(text, scorer.score(text))
    hits = accuracy.count(exported, text.words)
    assert tuple(hits) == (expected.words, expected.top1, expected.top3)
    assert 0 < hits.top3 < hits.words


def test_what_lies_in_a_package_and_is_not_its_own_is_not_removed(export, package_in, tmp_path):
    directory = tmp_path / "export"
    package_in(directory)
    (directory / "update.npz").write_text("learned all night")
    with pytest.raises(UserError, match="holds update.npz, which is not a phone package's"):
        export(directory)
    assert (directory / "update.npz").read_text() == "learned all night"


def test_the_privacy_statement_says_whose_updates_were_read(
    export, package_in, training_record, tmp_path
):
    package_in(tmp_path / "made")
    assert "update files" not in manifests.load(tmp_path / "made").privacy.statement
    settings = training_record["settings"] | {"tokenizer": {"minimum_users": 7}}
    export(tmp_path / "export", training={"settings": settings, "rounds_of_updates": [5, 6]})
    stated = manifests.load(tmp_path / "export").privacy.statement
    assert "At least 7 users" in stated
    assert "In 2 further rounds phones sent update files" in stated
