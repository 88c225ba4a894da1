import hashlib
import json
import pathlib
import unicodedata

import numpy as np
import pytest
from packages import METRICS, contents

from fedkeyboard import hashed
from fedkeyboard.errors import UserError
from fedkeyboard.evaluation import keystrokes, metrics, scoring
from fedkeyboard.text.words import words
from fedkeyboard.tflite_export import accuracy, golden, package
from fedkeyboard.tflite_export import manifest as manifests
from fedkeyboard.tflite_export.phone import exported_files, litert
from fedkeyboard.tflite_export.phone.litert import LiteModel

pytestmark = pytest.mark.usefixtures("probed_once")


def test_the_package_is_what_its_manifest_says(export, training_record, tmp_path, weights):
    directory = tmp_path / "deep" / "er" / "export"
    assert export(directory).passed
    manifest = manifests.load(directory)
    written = contents(directory)
    assert (
        set(written)
        == {*manifest.files, "manifest.json"}
        == {
            *("model_infer.tflite", "model_train.tflite"),
            *(
                "ngrams.bin",
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
        suggested = exported_files.suggest_words(
            tmp_path / "export" / "model_infer.tflite",
            tmp_path / "export" / "vocabulary.txt",
            example["text"],
        )
        assert example["suggestions"] == [word for word, _ in suggested]
        assert example["probabilities"] == [probability for _, probability in suggested]


def test_suggestions_are_spelled_as_people_write(package_in, tmp_path, tokenizer, ngrams):
    """Of the fixture's Greek words, which end in a sigma that is no final one."""
    package_in(tmp_path / "export")
    assert dict(tokenizer.spellings) == {"οσ": "ος", "οδοσ": "οδος"}
    content = json.loads((tmp_path / "export" / "golden.json").read_text())
    shown = {word for example in content["examples"] for word in example["suggestions"]}
    assert shown <= set(tokenizer.shown) and not shown & {"οσ", "οδοσ"}
    model = litert.LiteModel(tmp_path / "export" / "model_infer.tflite")
    ids = tokenizer.encode("hello")
    suggested = ngrams.suggest(ids, model.next_word(ids), 3)
    assert exported_files.suggest_words(
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
    changed(format={**written["format"], "version": "4.9"}, something_new=1)
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
    export, tmp_path, tokenizer, ngrams, sizes, precision, train_storage
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
        LiteModel(tmp_path / "export" / "model_infer.tflite"), ngrams, np.concatenate(rows)
    )
    assert said.inference[precision].model_dump() == with_this.recall()


def test_accuracy_is_that_of_the_evaluation(exported, tokenizer, ngrams, sizes):
    """Words outside the vocabulary are misses, ends of sentences are no targets."""
    texts = ["how are you", "zzyzxq is good", "i will tell you all about it when i see you", "ok"]
    text = tokenizer.text(texts, sizes.length)
    prefixes = keystrokes.prefixes(tokenizer.vocabulary)
    scorer = scoring.LogProbabilitiesScorer(
        lambda rows: ngrams.mixed(exported.log_probabilities(rows), rows), prefixes
    )
    expected = metrics.count(text, scorer.score(text))
    hits = accuracy.count(exported, ngrams, text.words)
    assert tuple(hits) == (expected.words, expected.top1, expected.top3)
    assert 0 < hits.top3 < hits.words


def test_the_privacy_statement_says_whose_updates_were_read(
    export, package_in, training_record, tmp_path
):
    package_in(tmp_path / "made")
    stated = manifests.load(tmp_path / "made").privacy.statement
    assert "update files" not in stated and "At least 1 users" in stated
    settings = training_record["settings"] | {"tokenizer": {"minimum_users": 7}}
    export(tmp_path / "export", training={"settings": settings, "rounds_of_updates": [5, 6]})
    stated = manifests.load(tmp_path / "export").privacy.statement
    assert "At least 7 users" in stated
    assert "In 2 further rounds phones sent update files" in stated
