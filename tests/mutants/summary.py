"""What came of the mutants: `summary.json`, and the tables of README.md."""

import json
import pathlib
from typing import Any

from mutants import forked

LEAST = 0.9  # Of all mutants, those that tests must notice.
_BEGIN = "<!-- The tables are made by `make mutants`. -->\n"


def read_reasons(path: pathlib.Path) -> dict[tuple[str, str, str], str]:
    """Reads why mutants that survive do: by module, what the line was, and what it became."""
    content = json.loads(path.read_text()) if path.exists() else {}
    return {
        (module, each["before"], each["after"]): each["why"]
        for module, reasons in content.items()
        for each in reasons
    }


def make(known: dict[str, Any], reasons: dict[tuple[str, str, str], str]) -> dict[str, Any]:
    """Returns the summary of a record."""
    return {path: _of(path, of, reasons) for path, of in sorted(known.items())}


def read(folder: pathlib.Path) -> dict[str, Any]:
    """Returns the summary that a folder has."""
    path = folder / "summary.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _of(path: str, of: dict[str, Any], reasons: dict[tuple[str, str, str], str]) -> dict[str, Any]:
    survivors = []
    for each in of["mutants"]:
        if each["result"] == forked.SURVIVED:
            _, _, line, before, after = each["mutant"]
            why = reasons.get((path, before, after))
            said = {"line": line, "before": before, "after": after, "why": why}
            survivors.append(said | ({} if each["reached"] else {"reached": False}))
    late = sum(each["result"] == forked.TIMED_OUT for each in of["mutants"])
    count = len(of["mutants"])
    return {
        "mutants": of["in_all"],
        "run": count,
        "killed": count - len(survivors),
        "timed_out": late,
        "survived": len(survivors),
        "seconds": round(sum(each["seconds"] for each in of["mutants"])),
        "survivors": sorted(survivors, key=lambda each: each["line"]),
    }


def table(made: dict[str, Any]) -> str:
    """Returns the table of modules, in Markdown."""
    lines = ["| module | mutants | run | killed | of them timed out | survived | score |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    columns = ("mutants", "run", "killed", "timed_out", "survived")
    rows = [(f"`{path}`", [of[name] for name in columns]) for path, of in made.items()]
    rows.append(("all", [sum(numbers) for numbers in zip(*(n for _, n in rows), strict=True)]))
    for path, numbers in rows:
        score = f"{numbers[2] / numbers[1]:.0%}" if numbers[1] else "-"
        lines.append(f"| {path} | {' | '.join(f'{n:,}' for n in numbers)} | {score} |")
    return "\n".join(lines) + "\n"


def _survivors(made: dict[str, Any]) -> str:
    lines = ["| where | what it was → what it became | why no test fails |", "|---|---|---|"]
    for path, of in made.items():
        for each in of["survivors"]:
            before, after = (f"`` {each[n].replace('|', chr(92) + '|')} ``" for n in _CHANGE)
            lines.append(f"| `{path}:{each['line']}` | {before} → {after} | {each['why'] or '?'} |")
    return "\n".join(lines) + "\n"


_CHANGE = ("before", "after")


def problems(made: dict[str, Any]) -> list[str]:
    """Returns what a run fails for, a line each."""
    run, killed = (sum(of[name] for of in made.values()) for name in ("run", "killed"))
    found = [
        f"{path}:{each['line']}: survives without a reason: {each['before']}  ->  {each['after']}"
        for path, of in made.items()
        for each in of["survivors"]
        if not each["why"]
    ]
    if killed < LEAST * run:
        found.append(f"{killed} of {run} are killed, less than {LEAST:.0%}")
    return found


def write(folder: pathlib.Path, made: dict[str, Any]) -> None:
    """Writes it into a folder."""
    (folder / "summary.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    readme = folder / "README.md"
    text = readme.read_text().split(_BEGIN)[0] if readme.exists() else ""
    readme.write_text(f"{text}{_BEGIN}\n{table(made)}\n{_survivors(made)}")
