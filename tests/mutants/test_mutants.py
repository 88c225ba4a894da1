"""The runner, with a module of a few lines and tests of it, in folders of their own."""

import json
import pathlib

import pytest

from mutants import changes, forked, modules, run, summary

ROOT = pathlib.Path(__file__).parents[2]
# A tiny module: what is noticed, what is not, and what never ends.
SOURCE = '''\
import functools


@functools.cache
def halves(number: int | None) -> int:
    """Returns how often a number can be halved, - 1 + 1 of them."""
    if number is None:
        raise ValueError(f"none of {3 - 2}")
    count = 0
    while number > 1:
        number, count = number // 2, count + 1
    return count
'''
TEST = """\
import pytest
from halves_of_mutants import halves

@pytest.fixture(scope="module")
def eight():
    return halves(256)

def test_slow():
    assert halves(64) == 6

def test_one():
    assert halves(1) == 0

def test_of_fixture(eight):
    assert eight == 8

def test_of_fixture_again(eight):
    assert eight < 9
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with a module, its tests and pytest's own settings; not this repository's."""
    (tmp_path / "halves_of_mutants.py").write_text(SOURCE)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_halves.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of(source, part):
    return [m for m in changes.mutants(source) if part in m.before]


def test_each_change_is_made_once_and_compiles():
    found = changes.mutants(SOURCE)
    assert len({m[:2] for m in found}) == len(found) == len({(m.line, m.after) for m in found})
    for mutant in found:
        changed = changes.changed_source(SOURCE, mutant.operator, mutant.occurrence)
        assert mutant.after in " ".join(line.strip() for line in changed.splitlines())
        assert SOURCE.splitlines()[mutant.line - 1].strip() in mutant.before
        compile(changed, "", "exec")


def test_which_changes_there_are():
    assert {m.after for m in of(SOURCE, "while")} == {
        "while not number > 1:",
        "while number >= 1:",
        "while number <= 1:",
        "while number > 2:",
        "while number > 0:",
    }
    assert [m.after for m in of(SOURCE, "cache")] == ["def halves(number: int | None) -> int:"]
    assert {m.after for m in of(SOURCE, "is None")} == {
        "if not number is None:",
        "if number is not None:",
    }
    # Neither annotations nor messages nor what stands in a docstring.
    for part in ("int | None", "none of", "Returns"):
        assert not of(SOURCE, part)


def test_what_only_forbids_or_annotates_is_left_out():
    source = (
        "import dataclasses\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class A:\n"
        "    x: int | None = None\n"
        "    def f(self, y: int | str = 1) -> int | None:\n"
        "        return y | 2\n"
    )
    assert {m.line for m in changes.mutants(source)} == {2, 5, 6}
    assert not of(source, "x:")
    assert {m.after for m in of(source, "return")} >= {"return y & 2", "return y ^ 2"}
    assert {m.after for m in of(source, "frozen")} == {"class A:"}
    assert all("int | str" in m.after and "int | None" in m.after for m in of(source, "def f"))


def test_samples_are_parts_of_larger_ones():
    found = changes.mutants(SOURCE)
    few, more = (changes.sample(found, count, "7 path") for count in (4, 8))
    assert len(few) == 4 and set(few) < set(more) < set(found)
    assert few == sorted(few, key=found.index)
    assert few != changes.sample(found, 4, "8 path")
    assert changes.sample(found, None, "7") == found == changes.sample(found, 10**6, "7")


def job(project, source, **more):
    path = project / "halves_of_mutants.py"
    return forked.Job(path.stem, path, source, ["tests"], **{"seconds": 30.0} | more)


def outcome(project, source, **more):
    (((_, found),)) = forked.outcomes([job(project, source, **more)], 1)
    return found


def test_killed_survived_and_timed_out(project):
    named = {
        forked.SURVIVED: SOURCE,
        forked.KILLED: SOURCE.replace("number // 2", "number // 3"),
        forked.TIMED_OUT: SOURCE.replace("number // 2", "number * 2"),
    }
    jobs = [
        job(project, source, **({"seconds": 3.0} if result == forked.TIMED_OUT else {}))
        for result, source in named.items()
    ]
    found = list(forked.outcomes(jobs, 2))
    assert len(found) == 3 and all(each.source == named[of.result] for each, of in found)
    by = {of.result: of.by for _, of in found}
    assert by[forked.KILLED] == "tests/test_halves.py::test_slow" and by[forked.SURVIVED] is None


def test_what_breaks_while_it_is_imported_is_killed(project):
    assert outcome(project, "1 / 0\n").result == forked.KILLED
    assert outcome(project, "import os; os._exit(1)\n").result == forked.KILLED
    assert outcome(project, "import os; os.kill(os.getpid(), 11)\n").result == forked.KILLED


def test_a_test_that_takes_much_longer_than_without_the_change_is_timed_out(project, monkeypatch):
    monkeypatch.setattr(forked, "MORE", 0.0)
    endless = SOURCE.replace("number // 2", "number * 2")
    only = {"tests/test_halves.py::test_one": 0.1, "tests/test_halves.py::test_slow": 0.1}
    late = outcome(project, endless, only=only, seconds=100.0)
    assert late.result == forked.TIMED_OUT and late.seconds < 20


def test_a_fixture_that_takes_long_is_not_held_against_the_test_that_comes_first(
    project, monkeypatch
):
    """Without a change it was made for another test."""
    slow = """
import time, pytest
from halves_of_mutants import halves

@pytest.fixture(scope="module")
def made():
    began = time.process_time()
    while time.process_time() < began + 1.5:
        pass
    return halves(4)

def test_whole(made):
    assert made == 2 and halves(8) == 3 and time.process_time()

def test_quick(made):
    assert made == 2
"""
    (project / "tests/test_halves.py").write_text(slow)
    monkeypatch.setattr(forked, "MORE", 0.0)
    without = outcome(project, SOURCE, trace=True)
    assert without.shared == pytest.approx(1.5, abs=0.2)
    only = run._covering(without, {11})
    assert next(iter(only)).endswith("test_quick")
    assert outcome(project, SOURCE, only=only).result == forked.SURVIVED


def test_what_sleeps_is_timed_out_by_the_clock(project):
    source = "import time; time.sleep(60)\n" + SOURCE
    assert outcome(project, source, seconds=0.1).result == forked.TIMED_OUT


def test_tests_run_in_the_order_that_is_asked_for_and_tell_their_lines(project):
    whole = outcome(project, SOURCE, trace=True, seconds=20)
    lines = {name.split("::")[1]: set(ran) for name, (_, ran) in whole.tests.items()}
    many = dict.fromkeys(
        ("test_slow", "test_of_fixture", "test_of_fixture_again"), {7, 9, 10, 11, 12}
    )
    assert {name: ran & set(range(7, 13)) for name, ran in lines.items()} == {
        **many,
        "test_one": {7, 9, 10, 12},
    }
    both = SOURCE.replace("return count", "return count + 1")
    slow, one = (f"tests/test_halves.py::{name}" for name in ("test_slow", "test_one"))
    assert list(outcome(project, both, only={one: 0.1, slow: 0.1}).tests) == [one]
    assert outcome(project, both, only={slow: 0.1}).by == slow


LARGER = "def larger(a, b):\n    return a if a > b else b\n"
TEST_LARGER = "from larger import larger\n\ndef test_two():\n    assert larger(2, 1) == 2\n"


@pytest.fixture
def runs(project, monkeypatch):
    """Runs the mutants of a module with fewer of them; returns what was said and is known."""
    (project / "larger.py").write_text(LARGER)
    (project / "tests/test_larger.py").write_text(TEST_LARGER)
    # It lies in none of fedkeyboard's folders.
    monkeypatch.setattr(modules, "import_name", lambda path: path.removesuffix(".py"))

    def run_some(**more):
        said, record = [], run.Record(project / "record.json")
        options = {"count": None, "seed": 0, "at_once": 2, "said": said.append} | more
        run.run(project, "larger.py", ["tests/test_larger.py"], record, **options)
        return said, record.known

    return run_some


@pytest.mark.heavy
def test_a_run_is_recorded_goes_on_and_is_summed_up(project, runs):
    said, known = runs(count=2)
    assert "2 mutants to run" in said[0] and len(known["larger.py"]["mutants"]) == 2
    said, known = runs()
    assert "1 mutants to run" in said[0]
    assert runs()[0] == []
    made = summary.make(known, {})["larger.py"]
    assert (made["mutants"], made["run"], made["killed"], made["timed_out"]) == (3, 3, 2, 0)
    # Of two that are equal, either is the larger one: no test can tell.
    (survivor,) = made["survivors"]
    assert (survivor["line"], survivor["after"]) == (2, "return a if a >= b else b")
    assert "reached" not in survivor
    # More tests: what survived is tried again, what was killed is not.
    (project / "tests/test_larger.py").write_text(TEST_LARGER + "    assert larger(1, 2) == 2\n")
    assert "1 mutants to run" in runs()[0][0]


def test_tests_that_fail_without_a_change_are_no_measure(project, runs):
    (project / "tests/test_larger.py").write_text("def test_it():\n    assert False\n")
    with pytest.raises(run.TestsFail, match="larger.py: without a change"):
        runs()


def test_the_summary_names_survivors_and_why(tmp_path):
    killed, survived, late = (
        {
            "mutant": ["core/Some", i, 10 + i, f"a | {i}", f"b | {i}"],
            "result": result,
            "seconds": 1.4,
            "reached": result != forked.SURVIVED,
        }
        for i, result in enumerate([forked.KILLED, forked.SURVIVED, forked.TIMED_OUT])
    )
    known = {"data/x.py": {"in_all": 30, "mutants": [killed, survived, late]}}
    assert len(summary.problems(summary.make(known, {}))) == 2
    (tmp_path / "reasons.json").write_text(
        json.dumps({"data/x.py": [{"before": "a | 1", "after": "b | 1", "why": "It is so."}]})
    )
    (tmp_path / "README.md").write_text("What it is.\n")
    made = summary.make(known, summary.read_reasons(tmp_path / "reasons.json"))
    assert summary.problems(made) == ["2 of 3 are killed, less than 90%"]
    for _ in range(2):
        summary.write(tmp_path, made)
    text = (tmp_path / "README.md").read_text()
    assert (
        text.startswith("What it is.\n") and text.count("| all | 30 | 3 | 2 | 1 | 1 | 67% |") == 1
    )
    assert "| `data/x.py:11` | `` a \\| 1 `` → `` b \\| 1 `` | It is so. |" in text
    assert summary.read(tmp_path) == made and summary.read(tmp_path / "none") == {}


def test_every_module_and_test_that_is_named_is_there():
    for path, tests in modules.TESTS.items():
        assert (ROOT / path).is_file()
        assert all((ROOT / "tests" / name).exists() for name in tests.split())
    of_data = {f"data/{path.name}" for path in (ROOT / "data").glob("[!_]*.py")}
    assert of_data <= set(modules.TESTS)
    assert modules.import_name("data/x.py") == "fedkeyboard.data.x"
    assert modules.import_name("fedkeyboard/text/x.py") == "fedkeyboard.text.x"
