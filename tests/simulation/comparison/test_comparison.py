"""Baselines and their comparison on a run whose weights were drawn, not trained."""

import csv
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from fedkeyboard import model
from fedkeyboard.data.population import Population
from fedkeyboard.errors import RunFailure, UserError
from fedkeyboard.evaluation import metrics, scoring
from fedkeyboard.simulation import assessment, config_files, report, rounds, runs
from fedkeyboard.simulation.comparison import centralized, comparison, comparison_page
from fedkeyboard.simulation.comparison.baselines import CENTRAL
from fedkeyboard.simulation.comparison.task import Task
from fedkeyboard.text.tokenizer import Tokenizer

SETTINGS = """
population.file = "tiny.sqlite"
model = { embedding = 6, units = 8, length = 8 }
rounds = { count = 3, cohort = 4 }
"""


@pytest.fixture(scope="module")
def console():
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def population(tiny_population):
    with Population.open(tiny_population) as opened:
        yield opened


@pytest.fixture
def run(tmp_path, population, tiny_tokenizer):
    return begin(tmp_path / "one", population, tiny_tokenizer)


def begin(path, population, tokenizer, seed=1, length=8):
    settings = path.parent / "settings.toml"
    settings.write_text(SETTINGS)
    config = config_files.load(settings, [f"model.length={length}"])
    run = runs.begin(path, config, population, tokenizer)
    run.save_weights(model.initial_weights(run.sizes, seed), 3)
    (path / "metrics.json").write_text("{}")
    with open(run.rounds_csv, "w", newline="") as file:
        writer = csv.DictWriter(file, rounds.COLUMNS, restval=0)
        writer.writeheader()
        for number in (1, 2, 3):
            of = {"validation_top1_recall": "", "bytes_down": 400, "phones_seen": 4 * number}
            writer.writerow({"round": number, **of} | dict(validation_top1_recall=0.1 * number))
    return run


@pytest.mark.heavy
def test_compare_reads_what_holds_and_makes_the_rest_again(run, population, console):
    compared = comparison.compare([run], "test", console)
    (of_run,) = compared["runs"]
    assert set(of_run["later"]) == {
        *("unigram", "kneser-ney", "local", "federated", "personalized", "central")
    }
    # The same figures as `evaluate` gives.
    evaluated = assessment.evaluate(run, population, "test", console)
    assert of_run["models"]["federated"]["top3_recall"] == evaluated["top3_recall"]
    assert of_run["models"]["unigram"]["top3_recall"] == pytest.approx(
        evaluated["baselines"]["unigram"]["top3_recall"]
    )
    # All are tested on the same later sentences.
    targets = {of["targets"] for of in of_run["later"].values()}
    assert len(targets) == 1 and 0 < targets.pop() < evaluated["targets"] / 2
    for name in ("kneser-ney", "central"):
        assert of_run["models"][name]["top3_recall"] > evaluated["top3_recall"]

    files = {path: path.stat().st_mtime_ns for path in (run.path / "baselines").glob("*-test.json")}
    assert len(files) == 6
    (run.path / "baselines/unigram-test.json").write_text("{ half a")
    run.save_weights(model.initial_weights(run.sizes, 2), 3)
    again = comparison.compare([run], "test", console)
    changed = {path.stem for path, time in files.items() if path.stat().st_mtime_ns != time}
    assert changed == {"unigram-test", "federated-test", "personalized-test"}
    (later,) = again["runs"]
    for name, of in of_run["later"].items():
        same = name not in ("federated", "personalized")
        assert (later["later"][name] == of) == same, name


def test_ratios_are_of_the_same_users(run, population, console):
    compared = comparison.compare([run], "test", console, central=False)
    (of_run,) = compared["runs"]
    assert "central" not in of_run["models"]
    ratios = {(r["model"], r["against"]): r for r in of_run["ratios"]}
    ratio = ratios["federated", "kneser-ney"]
    models = of_run["models"]
    assert ratio["ratio"] == pytest.approx(
        models["federated"]["top1_recall"] / models["kneser-ney"]["top1_recall"]
    )
    low, high = ratio["interval"]
    assert low <= ratio["ratio"] <= high
    assert ("federated", "central") not in ratios
    assert report.ratio_rows(of_run)[0][0] == "federated against unigram"


def test_costs_and_typing(run, population, console):
    (of_run,) = comparison.compare([run], "test", console, central=False)["runs"]
    users = population.users("train")
    text = sum(len("".join(population.sentences(user)).encode()) for user in users)
    assert of_run["costs"]["bytes_down_per_phone"] == pytest.approx(3 * 400 / 12)
    assert of_run["costs"]["text_bytes_per_user"] == pytest.approx(text / len(users))
    days = {
        (user, int(time // 86400))
        for user in population.users("test")
        for time in population.times(user)
    }
    assert of_run["typing"]["active_days"] == len(days)
    typing = of_run["typing"]
    sentences = [s for user in population.users("test") for s in population.sentences(user)]
    # The tiny text is of words and single spaces, but for marks.
    keys = sum(len(re.sub(r"[^\w' ]", "", s).strip()) + 1 for s in sentences)
    assert typing["keys_a_day"] * len(days) == pytest.approx(keys, rel=0.02)
    assert set(typing["saved_a_day"]) == set(of_run["later"])
    for name, saved in typing["saved_a_day"].items():
        savings = of_run["later"][name]["keystroke_savings"]
        assert saved == pytest.approx(savings * typing["keys_a_day"])
    assert of_run["rounds"]["round"] == [1, 2, 3]
    assert of_run["rounds"]["bytes_per_phone"] == [100, 100, 100]


def test_runs_on_other_text_are_not_compared(run, population, tiny_texts, console):
    other = Tokenizer.learn(tiny_texts, vocabulary_size=200, minimum_users=2)
    second = begin(run.path.parent / "two", population, other)
    with pytest.raises(UserError, match="two: with another vocabulary"):
        comparison.compare([run, second], "test", console)
    shorter = begin(run.path.parent / "three", population, run.tokenizer, length=5)
    with pytest.raises(UserError, match=r"three: with other settings of \[model\]"):
        comparison.compare([run, shorter], "test", console)


def test_a_run_without_a_checkpoint_says_so(run, console):
    (run.path / "weights.npz").unlink()
    run.rounds_csv.write_text(run.rounds_csv.read_text().splitlines()[0] + "\n")
    with pytest.raises(RunFailure, match="no checkpoint yet"):
        comparison.compare([run], "test", console)


@pytest.mark.heavy
def test_central_training_stopped_goes_on_as_unbroken(run, population, console, monkeypatch):
    settings = dataclasses.replace(CENTRAL, epochs=6)
    task = Task(run, population, "test", console)
    unbroken, epoch = centralized.train(task, settings)
    second = begin(run.path.parent / "two", population, run.tokenizer)
    recalls = []

    def stops(task, weights):
        recalls.append(recall(task, weights))
        if len(recalls) == 3:
            raise KeyboardInterrupt
        return recalls[-1]

    recall = centralized._validation_recall
    with monkeypatch.context() as patched:
        patched.setattr(centralized, "_validation_recall", stops)
        with pytest.raises(KeyboardInterrupt):
            centralized.train(Task(second, population, "test", console), settings)
    done = []
    monkeypatch.setattr(centralized, "_validation_recall", lambda *a: done.append(1) or recall(*a))
    resumed, same = centralized.train(Task(second, population, "test", console), settings)
    assert len(done) == settings.epochs - 2 and same == epoch
    for ours, theirs in zip(resumed, unbroken, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    # It has learned something.
    scorer = scoring.WeightsScorer(unbroken, task.prefixes)
    users = [assessment.reader(run, population).text(u) for u in population.users("validation")]
    report = metrics.report(scoring.count_users({"c": scorer}, users)["c"], {})
    assert report["top1_recall"] >= max(recalls) - 1e-6 > 0.02


def test_the_best_epoch_of_central_training_is_kept(run, population, console, monkeypatch):
    seen, recalls = [], iter([0.1, 0.3, 0.2, 0.3])

    def recall(task, weights):
        seen.append([w.numpy() for w in weights])
        return next(recalls)

    monkeypatch.setattr(centralized, "_validation_recall", recall)
    settings = dataclasses.replace(CENTRAL, epochs=4)
    best, epoch = centralized.train(Task(run, population, "test", console), settings)
    assert epoch == 2
    for ours, theirs, last in zip(best, seen[1], seen[3], strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.any(ours != last)


def test_the_page_is_whole_and_fetches_nothing(run, population, console, tmp_path):
    compared = comparison.compare([run], "test", console, central=False)
    compared["runs"][0]["name"] = "</script><b>"
    comparison_page.write(tmp_path / "page.html", compared)
    page = (tmp_path / "page.html").read_text()
    assert "</script><b>" not in page and "/*DATA*/" not in page and "/*PLOTLY*/" not in page
    data = json.loads(re.search(r"^const DATA = (.*);$", page, re.M)[1])
    assert data.pop("version") and data == json.loads(json.dumps(compared))
    template = comparison_page._TEMPLATE.read_text()
    assert "http" not in template and "src=" not in template and "url(" not in template
    # Nobody's text: the longest sentences of the users are not in it.
    sentences = [s for user in population.users("test") for s in population.sentences(user)]
    assert not any(s in page for s in sorted(sentences, key=len)[-50:])


@pytest.mark.parametrize(
    ("ratio", "interval", "said"),
    [
        (1.01, [0.9, 1.1], []),
        (None, None, []),
        (0.88, [0.8, 0.95], ["it has 0.88 times the recall."]),
        (0.88, [0.8, 1.05], ["it has 0.88 times the recall, which may be chance."]),
        (0.88, None, ["it has 0.88 times the recall, which may be chance."]),
    ],
)
def test_a_baseline_that_wins_is_told_of(ratio, interval, said):
    of = {"ratio": ratio, "interval": interval}
    ratios = [
        {"model": "federated", "against": "kneser-ney", **of},
        # Neither is a rival.
        {"model": "federated", "against": "central", **of},
        {"model": "personalized", "against": "federated", **of},
    ]
    told = comparison.verdicts(ratios)
    assert [verdict.split(": ")[1] for verdict in told] == said
    assert all("Kneser-Ney" in verdict for verdict in told)
