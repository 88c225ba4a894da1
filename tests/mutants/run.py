"""Runs the mutants of modules, and records each; goes on with what a record lacks."""

import ast
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from mutants import changes, forked, modules
from mutants.changes import Mutant
from mutants.forked import Job, Outcome


class Record:
    """What is known, in a file that is replaced whole after each mutant.

    Attributes:
      known: By module: its `digest`, the `seconds` that its tests take without a change, how many
        mutants there are `in_all`, and `mutants`: of each that was run what it is and its outcome.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path
        self.known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def write(self) -> None:
        """Replaces the file."""
        temporary = self._path.with_suffix(".partial")
        temporary.write_text(json.dumps(self.known, indent=1))
        temporary.replace(self._path)


class TestsFail(Exception):
    """The tests fail without any change."""


def run(
    root: pathlib.Path,
    path: str,
    tests: list[str],
    record: Record,
    *,
    count: int | None,
    seed: int,
    at_once: int,
    said: Callable[[str], None],
) -> None:
    """Runs a sample of a module's mutants.

    Args:
      root: Of the repository, the working directory.
      path: The module's file, from there.
      tests: Files of tests, and directories of them, from there.
      record: What is known of it, and will be.
      count: How many mutants; None for all.
      seed: Of the sample.
      at_once: How many are run at the same time.
      said: Called with lines about how it goes on.

    Raises:
      TestsFail: If they do without a change.
    """
    source = (root / path).read_text()
    found = changes.mutants(source)
    digest = _digest([source])
    of_tests = _digest([file.read_text() for file in _files(root, tests)])
    known = record.known.get(path, {})
    if known.get("digest") != digest:
        known = {"digest": digest, "mutants": []}
    # What is found once, more tests find, too; what survived may not survive other tests.
    done = {
        tuple(each["mutant"]): each
        for each in known["mutants"]
        if each["result"] != forked.SURVIVED or each["tests"] == of_tests
    }
    chosen = changes.sample(found, count, f"{seed} {path}")
    todo = [mutant for mutant in chosen if mutant not in done]
    known |= {"in_all": len(found), "mutants": [done[m] for m in chosen if m in done]}
    record.known[path] = known
    if not todo:
        return
    job = Job(modules.import_name(path), root / path, source, tests, trace=True)
    (((_, without),)) = forked.outcomes([job], 1)
    if without.result != forked.SURVIVED:
        raise TestsFail(f"{path}: without a change {without.by or 'a test'} is {without.result}")
    known["seconds"] = round(without.seconds, 1)
    said(f"{path}: {len(todo)} mutants to run, {len(without.tests)} tests, {without.seconds:.0f} s")
    jobs = {}
    for mutant in todo:
        changed = changes.changed_source(source, mutant.operator, mutant.occurrence)
        jobs[mutant] = job._replace(
            source=changed,
            only=_covering(without, _statement(source, mutant.line)),
            seconds=forked.MORE + 3 * without.seconds,
            trace=False,
        )
    by_source = {each.source: mutant for mutant, each in jobs.items()}
    for number, (each, outcome) in enumerate(forked.outcomes(jobs.values(), at_once), 1):
        mutant = by_source[each.source]
        known["mutants"].append(_line(mutant, outcome, of_tests, without, source))
        record.write()
        if outcome.result == forked.SURVIVED:
            said(f"  survived: line {mutant.line}: {mutant.before}  ->  {mutant.after}")
        if not number % 20:
            said(f"  {number} of {len(todo)}")


def _line(
    mutant: Mutant, outcome: Outcome, of_tests: str, without: Outcome, source: str
) -> dict[str, Any]:
    lines = _statement(source, mutant.line)
    return {
        "mutant": mutant,
        "result": outcome.result,
        "by": outcome.by,
        "seconds": round(outcome.seconds, 2),
        "tests": of_tests,
        "reached": any(not lines.isdisjoint(ran) for _, ran in without.tests.values()),
    }


def _covering(without: Outcome, lines: set[int]) -> dict[str, float]:
    """Returns the tests that run some lines, a file's together, quick ones first; their seconds.

    In another order it may be another test for which the fixtures are made that several have.
    """
    covering = {
        name: seconds for name, (seconds, ran) in without.tests.items() if not lines.isdisjoint(ran)
    }
    least: dict[str, float] = {}
    for name, seconds in covering.items():
        file = name.split("::")[0]
        least[file] = min(seconds, least.get(file, seconds))
    order = sorted(covering, key=lambda name: (least[name.split("::")[0]], covering[name]))
    return {name: covering[name] + without.shared for name in order}


def _statement(source: str, line: int) -> set[int]:
    """Returns the lines of the smallest statement with a line; of one with a body, those before."""
    lines = {line}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
            if node.lineno <= line <= last:
                lines = set(range(node.lineno, last + 1))
    return lines


def _files(root: pathlib.Path, tests: list[str]) -> Iterator[pathlib.Path]:
    for name in tests:
        path = root / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _digest(texts: list[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]
