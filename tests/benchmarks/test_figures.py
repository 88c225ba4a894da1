"""`make figures`: pages say what the result files say, and it fails where one does not."""

import json
import pathlib
import re
import shutil
import sys

import pytest

from benchmarks.figures import __main__, check, pages, pictures, sources, tables
from fedkeyboard.evaluation import personalization
from fedkeyboard.simulation.comparison import baselines


def test_every_figure_comes_from_its_file():
    assert check.problems(pages.ROOT) == []


@pytest.fixture
def root(tmp_path):
    """A copy of all that the check reads."""
    read = [page.name for page in pages.read()]
    read += [str(path.relative_to(pages.ROOT)) for path in sources.files(pages.ROOT).values()]
    read += [f"benchmarks/figures/{name}.toml" for name in ("claims", "exceptions")]
    for name in (*read, pictures.PICTURE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pages.ROOT / name, tmp_path / name)
    return tmp_path


def edit(path: pathlib.Path, old: str, new: str) -> int:
    """Replaces what stands once in a file, and returns its line."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def doubled(root, name, *keys):
    """Makes a value of a result file twice as large."""
    path = root / f"benchmarks/results/{name}.json"
    values = json.loads(path.read_text())
    of = values
    for key in keys[:-1]:
        of = of[key]
    of[keys[-1]] *= 2
    path.write_text(json.dumps(values))


def test_a_changed_digit_of_a_sentence_is_told_with_its_line(root):
    values = sources.read(root)["quality"]["mean_ratios"]
    told = f"{values['federated against kneser-ney']:.2f}"
    line = edit(root / "README.md", f"{told} times that of", "2.22 times that of")
    (problem,) = check.problems(root)
    assert problem == (
        f"README.md:{line}: says 2.22, benchmarks/results/quality.json says {told} "
        "(quality[mean_ratios][federated against kneser-ney])"
    )


def test_a_changed_digit_of_a_table_is_told_with_its_line(root):
    table = tables.lines("engine", sources.read(root))
    row = next(line for line in table if line.startswith("| TFF"))
    changed = re.sub(r"\d", "7", row, count=1)
    assert changed != row
    line = edit(root / "benchmarks/README.md", row, changed)
    (problem,) = check.problems(root)
    assert problem == (
        f"benchmarks/README.md:{line}: says {changed}\n"
        f"    benchmarks/results/engine.json says {row}"
    )


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_digit_of_any_table_counts(root, name):
    lines = tables.lines(name, sources.read(root))
    row = next(line for line in reversed(lines) if re.search(r"\d", line))
    (page,) = (page for page in pages.read(root) if any(of.name == name for of in page.blocks))
    at = page.text.index(row, page.text.index(f"<!-- figures: {name} -->"))
    changed = re.sub(r"\d", lambda digit: str(9 - int(digit[0])), row, count=1)
    text = page.text[:at] + changed + page.text[at + len(row) :]
    (root / page.name).write_text(text, encoding="utf-8")
    (problem,) = check.problems(root)
    assert problem.startswith(f"{page.name}:{page.line(at)}: says {changed}\n")
    assert problem.endswith(f"says {row}")


def test_a_table_with_fewer_or_more_lines_is_told(root):
    *_, last, blank = tables.lines("engine", sources.read(root))
    edit(root / "benchmarks/README.md", f"{last}\n{blank}\n", "")
    problem, of_blank = check.problems(root)
    assert "says nothing" in problem and problem.endswith(f"says {last}")
    assert "says nothing" in of_blank
    edit(
        root / "benchmarks/README.md", "<!-- figures: memory -->\n", "<!-- figures: memory -->\n\n"
    )
    assert any(problem.endswith("says nothing") for problem in check.problems(root))


@pytest.mark.parametrize(
    ("name", "keys", "told"),
    [
        ("default", ["metrics", "top3_recall"], "docs/using.md"),
        ("quality", ["mean_ratios", "federated against local"], "README.md"),
        ("quality", ["rows", 0, "ratios", 1, "ratio"], "docs/accuracy.md"),
        ("fleet", ["hold", "peak_memory_mb"], "docs/fleet.md"),
        ("phone", ["rows", 0, "milliseconds", "step", "p50"], "docs/ios.md"),
        ("memory", ["by_round", 1, "memory_mb"], "docs/performance.md"),
    ],
)
def test_a_changed_value_of_a_file_is_told_of_the_pages_that_have_it(root, name, keys, told):
    doubled(root, name, *keys)
    (of_page, *_) = (line for line in check.problems(root) if line.startswith(told))
    assert f"benchmarks/results/{name}.json says" in of_page


def test_a_number_of_no_file_is_told(root):
    line = edit(
        root / "README.md", "\n## How it flows", "It is 12.5 times better.\n\n## How it flows"
    )
    (problem,) = check.problems(root)
    assert problem.startswith(f"README.md:{line}: 12.5 is tied to no result file: ")
    # Not of a program, of a name, or in a link.
    edit(root / "README.md", "12.5 times", "`x = 1`, int8, top-1, [this](page-3.md)")
    assert check.problems(root) == []


def test_a_new_number_where_a_whole_section_is_excepted_is_told(root):
    edit(root / "docs/performance.md", "## Concurrency\n", "## Concurrency\n\nIt takes 3 ms.\n")
    (problem,) = check.problems(root)
    assert problem.startswith("docs/performance.md: under 'Concurrency' ")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kinds = [", "kinds = [\n  ['zzz', 'why'],", "no page needs the kind 'zzz'"),
        (
            'texts = [\n  ["x86-64"',
            'texts = [["the words", ""],\n  ["x86-64"',
            "stale: 'the words'",
        ),
        ('["README.md"]', '["NO.md"]\n["README.md"]', "exceptions.toml: no page NO.md"),
        ('"(2.5 GB)"', '"Results"', "'Results' has no number without a source"),
    ],
)
def test_a_stale_exception_is_told(root, old, new, told):
    edit(root / "benchmarks/figures/exceptions.toml", old, new)
    assert any(told in problem for problem in check.problems(root))


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ("nobody says {engine[rounds]} of this", "no sentence has its words"),
        ("Medians of {engine[none][such]} rounds", "no value engine[none][such]"),
        ("Medians of {engine[by]:.1f} rounds", "engine[by] cannot be written as .1f"),
    ],
)
def test_a_claim_that_says_nothing_is_told(root, claim, told):
    first = '["benchmarks/README.md"]\nclaims = [\n'
    edit(root / "benchmarks/figures/claims.toml", first, f'{first}  "{claim}",\n')
    assert any(told in problem for problem in check.problems(root))


def test_a_table_that_is_none_or_stands_nowhere_is_told(root):
    edit(root / "README.md", "<!-- figures: default -->", "<!-- figures: defaults -->")
    problems = check.problems(root)
    assert any("no table is called defaults" in problem for problem in problems)
    assert any("no page has the table default," in problem for problem in problems)


def test_writing_has_pages_and_picture_say_it(root, monkeypatch, capsys):
    doubled(root, "engine", "rows", 0, "seconds_per_round")
    doubled(root, "quality", "mean_ratios", "federated against local")
    monkeypatch.setattr(sys, "argv", ["figures"])
    with pytest.raises(SystemExit) as ended:
        __main__.main(root)
    assert ended.value.code == 1
    assert f"{pictures.PICTURE}: was drawn of other figures" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["figures", "--write"])
    __main__.main(root)
    # Accuracy and performance have them too, and no other page.
    pages_of = ["README.md", "docs/accuracy.md", "docs/performance.md", "benchmarks/README.md"]
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{name} has changed" for name in (pictures.PICTURE, *pages_of)]
    assert check.problems(root) == []


def test_the_settings_in_bold_are_those_that_the_comparison_has():
    assert tables.CHOSEN_CENTRAL.items() <= vars(baselines.CENTRAL).items()
    assert tables.CHOSEN_PERSONAL.items() <= vars(personalization.PERSONAL).items()
