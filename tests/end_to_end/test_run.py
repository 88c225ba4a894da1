"""The whole way on a tiny population: the command line, the real TFF and the real LiteRT."""

import csv
import json
import shutil
from unittest import mock

import numpy as np
import pytest
from commands import command, fails, process, succeeds
from tiny_runs import rounds, simulate

from fedkeyboard import hashed
from fedkeyboard.simulation import runs


def test_a_run_directory_is_whole(run):
    names = {path.name for path in run.iterdir()} - {".lock"}
    assert names == {
        *(
            "config.toml",
            "population.json",
            "vocabulary.txt",
            "spellings.json",
            "tokenizer.model",
            "ngrams.bin",
            "checkpoints",
        ),
        "hashes.json",
        *("weights.npz", "rounds.csv", "tensorboard", "metrics.json", "report.html", "export"),
    }
    rows = rounds(run)
    assert [int(row["round"]) for row in rows] == list(range(1, 10))
    assert list(rows[0])[0] == "round"
    assert [row["round"] for row in rows if row["validation_top1_recall"]] == [*"24689"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert all(2 <= int(row["reported"]) <= 4 and float(row["virtual_seconds"]) > 0 for row in rows)
    assert int(rows[-1]["phones_seen"]) > 4
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["split"] == "test" and metrics["users"] > 2 and metrics["targets"] > 100
    assert 0 < metrics["top1_recall"] < metrics["top3_recall"] < 1
    assert metrics["perplexity"] < 300
    assert "data:image/png" in (run / "report.html").read_text()


def test_exported_file_agrees_with_the_weights(run):
    weights = json.loads(succeeds("evaluate", run, "--json"))
    assert weights == json.loads((run / "metrics.json").read_text())
    artifact = json.loads(
        succeeds("evaluate", run, "--artifact", run / "export/model_infer.tflite", "--json")
    )
    assert artifact["targets"] == weights["targets"]
    for name in ("top1_recall", "top3_recall", "perplexity", "accuracy_no_oov_no_eos", "oov_rate"):
        assert artifact[name] == pytest.approx(weights[name], rel=0.05), name


def test_suggestions(run):
    by_run = json.loads(succeeds("suggest", run, "i am going to", "--json"))
    by_file = json.loads(
        succeeds("suggest", run / "export/model_infer.tflite", "I am  GOING, to", "--json")
    )
    assert by_run == by_file and len(by_run) == 3
    vocabulary = (run / "vocabulary.txt").read_text().split()
    assert all(s["word"] in vocabulary[4:] and 0 < s["probability"] < 1 for s in by_run)
    assert by_run[0]["word"] in succeeds("suggest", run, "i am going to")


def test_personalize(run):
    gains = json.loads(
        succeeds("personalize", run, "--split", "train", "--learning-rate", 0.5, "--json")
    )
    assert gains["users"] > 3 and gains["targets"] > 50
    assert gains["before"]["top1_recall"] != gains["after"]["top1_recall"]
    assert 0 <= gains["gate"]["kept"] <= 1 and gains["cost"]["seconds"]["p50"] > 0
    several = ("--learning-rate", 0.5, "--learning-rate", 0.1, "--layers", "all")
    assert "validation" in fails(2, "personalize", run, *several)
    tried = succeeds("personalize", run, *several, "--split", "validation")
    assert "0.5" in tried and "0.1" in tried


def test_a_package_is_verified_by_a_stranger(run, tmp_path):
    told = succeeds("verify", run)
    assert "FAILED" not in told and "a local step" in told and "weights, training" in told
    package = shutil.copytree(run / "export", tmp_path / "package")
    alone = json.loads(succeeds("verify", package, "--json"))
    assert alone["passed"] and len(alone["checks"]) == 11
    assert len(json.loads(succeeds("verify", package, "--run", run, "--json"))["checks"]) == 13
    assert "--population" in fails(2, "personalize", package)
    (package / "vocabulary.txt").write_text("other")
    broken = command("verify", package)
    assert broken.returncode == 1 and "vocabulary.txt: has other contents" in broken.stdout


@pytest.mark.heavy
def test_a_package_is_personalized_as_its_run_is(run, tmp_path, population):
    package = shutil.copytree(run / "export", tmp_path / "package")
    assert json.loads(
        succeeds("personalize", package, "--population", population, "--json")
    ) == json.loads(succeeds("personalize", run, "--json")) | {"cost": mock.ANY}


@pytest.mark.heavy
def test_a_round_of_real_phones_is_that_of_simulated_ones(run, tmp_path, simulated_round):
    """What phones send becomes the next model, from which they may go on."""
    exact = shutil.copytree(run, tmp_path / "run")
    succeeds("export", exact, "--train-storage", "float32")
    texts = {
        "one": ["how are you", "see you at home", "i am going home"],
        "two": ["i don't know what you mean"],
    }
    updates = []
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(text))
        updates.append(tmp_path / f"{name}.npz")
        succeeds("update", exact, tmp_path / f"{name}.txt", "--out", updates[-1])
    succeeds("aggregate", exact, *updates, "--out", tmp_path / "next")
    manifest = json.loads((tmp_path / "next/export/manifest.json").read_text())
    assert manifest["training"]["rounds"] == 10 and manifest["accuracy"] is None
    assert manifest["files"]["model_train.tflite"]["precision"] == "float32"
    before, after = (runs.open_run(path) for path in (exact, tmp_path / "next"))
    rows = [before.tokenizer.rows(text, before.sizes.length) for text in texts.values()]
    simulated = simulated_round(before, rows).global_model_weights.trainable
    for was, theirs, mine in zip(before.weights()[0], simulated, after.weights()[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5)
        assert np.max(np.abs(mine - was)) > 1e-4
    # They belong to the round before.
    again = fails(2, "aggregate", tmp_path / "next", *updates, "--out", tmp_path / "third")
    assert "another package" in again and not (tmp_path / "third").exists()
    (tmp_path / "empty.txt").write_text("!!\n")
    assert "no words" in fails(2, "update", run, tmp_path / "empty.txt", "--out", tmp_path / "u")


@pytest.fixture
def personal(run, tmp_path):
    """A common and a rare word, and a checkpoint of one who writes one after the other."""
    vocabulary = (run / "vocabulary.txt").read_text().split()
    liked, *_, rare = vocabulary[4:]
    (tmp_path / "wrote.txt").write_text(f"{liked} {rare} {rare} {rare}\n" * 100)
    checkpoint = tmp_path / "personal.npz"
    rate = ("--learning-rate", 2)
    succeeds("update", run, tmp_path / "wrote.txt", "--personal", *rate, "--out", checkpoint)
    return liked, rare, checkpoint


def test_suggestions_for_one_user(run, tmp_path, personal):
    liked, rare, checkpoint = personal
    asked = (liked, "--json")
    before = json.loads(succeeds("suggest", run, *asked))
    after = json.loads(succeeds("suggest", run, *asked, "--personal", checkpoint))
    assert after[0]["word"] == rare not in [s["word"] for s in before]
    assert "--personal" in fails(2, "suggest", run, *asked, "--migrate")
    file = run / "export/model_infer.tflite"
    no_package = ("no such directory", "a run or a phone package")
    for wrong in (file, tmp_path / "missing"):
        said = fails(2, "suggest", wrong, *asked, "--personal", checkpoint)
        assert all(part in said for part in no_package)
    succeeds("update", run, tmp_path / "wrote.txt", "--out", checkpoint)
    assert "for a server" in fails(2, "suggest", run, *asked, "--personal", checkpoint)


@pytest.mark.heavy
def test_what_a_phone_learned_goes_on_in_another_model(run, tmp_path, personal):
    """The app brought one of the same words."""
    liked, rare, checkpoint = personal
    asked = (liked, "--json")
    other = shutil.copytree(run, tmp_path / "other")
    succeeds("export", other, "--train-storage", "float32")
    refused = fails(2, "suggest", other, *asked, "--personal", checkpoint)
    assert "on top of another model" in refused and "migrate it" in refused
    migrated = json.loads(succeeds("suggest", other, *asked, "--personal", checkpoint, "--migrate"))
    assert migrated[0]["word"] == rare


def test_a_package_says_how_its_weights_were_made_and_not_where(run):
    manifest = json.loads((run / "export/manifest.json").read_text())
    assert manifest["training"]["rounds"] == 9
    assert manifest["training"]["settings"]["seed"] == 2
    assert str(run.parent) not in (run / "export/manifest.json").read_text()


@pytest.mark.heavy
def test_export_elsewhere(run, tmp_path):
    manifest = json.loads(succeeds("export", run, "--out", tmp_path / "package", "--json"))
    assert (
        manifest["training"] == json.loads((run / "export/manifest.json").read_text())["training"]
    )


def test_a_package_does_not_take_the_place_of_other_files(run, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "holds thesis.txt" in fails(2, "export", run, "--out", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.heavy
def test_a_run_with_subwords(run, place, population):
    """It is evaluated on the words of the run with words, those outside its vocabulary too.

    Its other commands work, or say in a line that they do not yet.
    """
    subwords = [*simulate(population, "subwords"), "--set", "tokenizer.kind=unigram"]
    simulated = command(*subwords, "--set", "rounds.count=5", cwd=place)
    assert simulated.returncode == 0 and "not exported" in simulated.stderr, simulated.stderr
    result = json.loads(simulated.stdout)
    of_words = json.loads((run / "metrics.json").read_text())
    assert result["export"] is None and result["targets"] == of_words["targets"]
    assert result["baselines"] == of_words["baselines"]
    assert result["oov_rate"] < of_words["oov_rate"] / 5
    assert 0.01 < result["top1_recall"] < result["top3_recall"] < 1
    # To spell the words outside the vocabulary has its price, whatever they are called.
    assert result["perplexity"] > of_words["perplexity"] and result["keystroke_savings"] is None
    outside = [of["by"]["frequency"]["out of vocabulary"] for of in (result, of_words)]
    assert outside[0]["targets"] == outside[1]["targets"] > 50
    assert outside[0]["top3_recall"] >= outside[1]["top3_recall"] == 0
    path = place / "subwords"
    validated = rounds(path)[-1]
    assert (
        0 < float(validated["validation_top1_recall"]) <= float(validated["validation_top3_recall"])
    )

    trigram = json.loads(succeeds("baseline", "kneser-ney", path, "--json"))
    assert trigram["targets"] == result["targets"] and trigram["oov_rate"] == of_words["oov_rate"]
    gains = json.loads(succeeds("baseline", "personalized", path, "--json"))
    assert gains["users"] > 0 and gains["after"]["keystroke_savings"] is None
    assert "no phone package" in fails(2, "personalize", path)
    suggested = json.loads(succeeds("suggest", path, "how are", "--json"))
    assert len(suggested) == 3 and all(s["word"] and 0 < s["probability"] < 1 for s in suggested)
    for refused in (["export", path], ["evaluate", path, "--artifact", "model.tflite"]):
        assert "sub-words" in fails(2, *refused)


def test_wrong_use_is_refused_in_a_line(run, place, population, tmp_path):
    simulated = simulate(population, "unbroken")
    assert "--resume" in fails(2, *simulated, cwd=place)
    assert "client.learning_rate" in fails(
        2, *simulated, "--resume", "--set", "client.learning_rate=0.1", cwd=place
    )
    metrics = (run / "metrics.json").read_bytes()
    fewer = fails(2, *simulated, "--resume", "--set", "rounds.count=4", cwd=place)
    assert "9 rounds already" in fewer and (run / "metrics.json").read_bytes() == metrics
    too_many = fails(
        2, *simulate(population, tmp_path / "new"), "--set", "rounds.cohort=5000", cwd=place
    )
    assert "rounds.cohort" in too_many and "training phones" in too_many
    assert not (tmp_path / "new").exists()
    assert "nowhere" in fails(2, "evaluate", tmp_path / "nowhere", run=process)
    assert "not a run directory" in fails(2, "evaluate", tmp_path)
    assert "no such setting" in fails(
        2, *simulate(population, tmp_path / "new"), "--set", "rounds.cohrot=5", cwd=place
    )
    assert "messages.csv" in fails(
        2, "simulate", "--config", "tiny.toml", "--population", "messages.csv", cwd=place
    )
    assert "messages.csv" in fails(2, "suggest", place / "messages.csv", "i am")
    assert "fedkeyboard export" in fails(2, "suggest", place, "i am")
    assert "usr" in fails(
        2, "prepare", "--input", place / "messages.csv", "--user-column", "usr",
        "--out", tmp_path / "p.sqlite",
    )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.heavy
def test_compare_answers_on_a_page(run):
    compared = json.loads(succeeds("compare", run, "--no-central", "--json"))
    (of_run,) = compared["runs"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert of_run["models"]["federated"]["top1_recall"] == metrics["top1_recall"]
    assert of_run["strategy"]["rounds"] == 9 and of_run["costs"]["bytes_down_per_phone"] > 0
    assert "Plotly" in (run / "comparison.html").read_text()
    told = succeeds("compare", run, "--no-central")
    assert "personalized against federated" in told and "comparison.html" in told
    trigram = json.loads(succeeds("baseline", "kneser-ney", run, "--json"))
    assert trigram["top1_recall"] == of_run["models"]["kneser-ney"]["top1_recall"]
    assert "95% interval" in succeeds("baseline", "local", run)


@pytest.mark.heavy
def test_a_run_whose_population_moved(run, population, tmp_path):
    copy, moved = tmp_path / "copy", tmp_path / "moved.sqlite"
    shutil.copytree(run, copy)
    shutil.copy(population, moved)
    record = json.loads((copy / "population.json").read_text())
    moved_record = json.dumps({**record, "file": str(tmp_path / "old")})
    hashed.write_text(copy / "population.json", moved_record)
    metrics = json.loads((run / "metrics.json").read_text())
    for asked in (["evaluate"], ["baseline", "federated"]):
        assert "--population" in fails(2, *asked, copy)
        found = json.loads(succeeds(*asked, copy, "--population", moved, "--json"))
        assert found["top1_recall"] == metrics["top1_recall"]
    exported = command("export", copy, "--json")
    assert exported.returncode == 0 and "--population" in exported.stderr
    assert json.loads(exported.stdout)["accuracy"] is None
    measured = json.loads(succeeds("export", copy, "--population", moved, "--json"))
    assert measured["accuracy"]["users"] == metrics["users"]


def test_a_page_does_not_take_the_place_of_something_else(run, tmp_path):
    messages = tmp_path / "messages.csv"
    messages.write_text("user,text\n")
    assert ".html" in fails(2, "compare", run, "--no-central", "--out", messages)
    assert messages.read_text() == "user,text\n"


def test_a_trained_run_without_its_checkpoints_is_not_trained_anew(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints")
    before = (copy / "weights.npz").read_bytes()
    line = fails(1, "simulate", "--resume", "--out", copy, "--set", "rounds.count=12")
    assert "checkpoints: empty" in line and "weights.npz" in line
    assert (copy / "weights.npz").read_bytes() == before


def test_a_comparison_is_of_the_rounds_that_the_model_has_had(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    last = (copy / "rounds.csv").read_bytes().splitlines()[-1].split(b",", 1)[1]
    with open(copy / "rounds.csv", "ab") as file:
        file.write(b"10," + last + b"\r\n11," + last[:9])
    told = [
        json.loads(succeeds("compare", of, "--no-central", "--json"))["runs"][0]
        for of in (run, copy)
    ]
    for name in ("costs", "rounds"):
        assert told[0][name] == told[1][name]


def test_damaged_files_of_a_run_are_named(run, place, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for damaged in ("", "[]", '{"file": "x"}'):
        (copy / "population.json").write_text(damaged)
        assert "population.json: damaged" in fails(1, "evaluate", copy)
    shutil.copy(run / "population.json", copy)
    (copy / "weights.npz").write_bytes((copy / "weights.npz").read_bytes()[:1000])
    line = fails(1, "evaluate", copy)
    assert "weights.npz: damaged" in line and "--resume" in line


def test_the_fleet_alone_is_the_fleet_of_the_run(run, place, population):
    arguments = ["fleet", "--config", "tiny.toml", "--population", population, "--rounds", 9]
    figures = json.loads(succeeds(*arguments, "--out", "fleet", "--json", cwd=place))
    assert figures["rounds"] == 9 and figures["virtual_seconds"] > 0
    assert (place / "fleet/fleet.png").read_bytes().startswith(b"\x89PNG")
    with open(place / "fleet/fleet.csv", newline="") as file:
        alone = list(csv.DictReader(file))
    for ours, theirs in zip(alone, rounds(run), strict=True):
        assert ours == {name: theirs[name] for name in ours}
    assert "dropped out" in succeeds(*arguments, "--out", "fleet", cwd=place)
    line = fails(2, *arguments, "--set", "fleet.deadline_minutes=0.001", cwd=place)
    assert "fleet.deadline_minutes" in line
    assert "another --out" in fails(2, *arguments, "--out", "tiny.toml", cwd=place)


def test_statistics_of_a_population(population):
    described = json.loads(succeeds("population", "stats", population, "--json"))
    assert described["splits"]["train"]["phones"] > 20
    text = succeeds("population", "stats", population)
    assert "out of vocabulary" in text and "█" in text
    assert "no such population" in fails(2, "population", "stats", "nowhere.sqlite")
