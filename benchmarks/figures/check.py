"""What differs between the pages and the result files, and which numbers have no source."""

import contextlib
import pathlib
from collections.abc import Iterator

from benchmarks.figures import claims, pages, pictures, sources, tables


def problems(root: pathlib.Path) -> list[str]:
    """Returns a line for each thing that is not as it should be: page, line, what, and instead."""
    return list(_problems(root))


def _problems(root: pathlib.Path) -> Iterator[str]:
    directory = root / claims.DIRECTORY.relative_to(pages.ROOT)
    values, files = sources.read(root), sources.files(root)
    by_page = claims.load("claims", directory)
    exceptions = claims.Exceptions(directory)
    read = pages.read(root)
    for page in read:
        tied = []
        for block in page.blocks:
            tied.append((block.start, block.end))
            yield from _of_block(page, block, values, files)
        for template in by_page.pop(page.name, {}).get("claims", []):
            try:
                told = list(claims.find(template, page, values))
            except (LookupError, ValueError) as error:
                yield f"claims.toml, {page.name}: {template!r}: {error}"
                continue
            if not told:
                yield f"{page.name}: claims.toml has {template!r}, and no sentence has its words"
            for number in told:
                tied.append((number.start, number.end))
                says = page.text[number.start : number.end]
                if says != number.wanted:
                    file = files[number.field.partition("[")[0]].relative_to(root)
                    yield (
                        f"{page.name}:{page.line(number.start)}: says {says}, {file} says "
                        f"{number.wanted} ({number.field})"
                    )
        untied, stale = exceptions.without(page, claims.outside(list(page.numbers()), tied))
        yield from stale
        for start, end in untied:
            yield (
                f"{page.name}:{page.line(start)}: {page.text[start:end]} is tied to no result "
                f"file: {_around(page, start, end)}"
            )
    known = {page.name for page in read}
    yield from (f"claims.toml: no page {name}" for name in by_page)
    yield from (f"exceptions.toml: no page {name}" for name in exceptions.pages.keys() - known)
    yield from exceptions.unused()
    shown = {block.name for page in read for block in page.blocks}
    for name in tables.TABLES.keys() - shown:
        yield f"no page has the table {name}, between <!-- figures: {name} --> and <!-- end -->"
    yield from pictures.problems(root)


def _of_block(
    page: pages.Page, block: pages.Block, values: tables.Values, files: dict[str, pathlib.Path]
) -> Iterator[str]:
    if block.name not in tables.TABLES:
        yield f"{page.name}:{page.line(block.start)}: no table is called {block.name}"
        return
    file = files[tables.SOURCES[block.name]].name
    says = page.text[block.start : block.end].splitlines()
    wanted = tables.lines(block.name, values)
    for i in range(max(len(says), len(wanted))):
        is_there = says[i] if i < len(says) else "nothing"
        should_be = wanted[i] if i < len(wanted) else "nothing"
        if is_there != should_be:
            yield (
                f"{page.name}:{page.line(block.start) + i}: says {is_there}\n"
                f"    benchmarks/results/{file} says {should_be}"
            )


def _around(page: pages.Page, start: int, end: int) -> str:
    return "…" + " ".join(page.text[max(0, start - 30) : end + 30].split()) + "…"


def write(root: pathlib.Path) -> list[str]:
    """Has tables, sentences and the picture say what the files say; returns what has changed."""
    values = sources.read(root)
    by_page = claims.load("claims", root / claims.DIRECTORY.relative_to(pages.ROOT))
    changed = pictures.write(root)
    for page in pages.read(root):
        edits = {
            (block.start, block.end): "".join(f"{line}\n" for line in lines)
            for block in page.blocks
            if block.name in tables.TABLES
            for lines in [tables.lines(block.name, values)]
        }
        for template in by_page.get(page.name, {}).get("claims", []):
            # Of a claim of no value, `problems` tells.
            with contextlib.suppress(LookupError, ValueError):
                for number in claims.find(template, page, values):
                    edits[number.start, number.end] = number.wanted
        text = page.text
        for (start, end), new in sorted(edits.items(), reverse=True):
            text = text[:start] + new + text[end:]
        if text != page.text:
            (root / page.name).write_text(text, encoding="utf-8")
            changed.append(page.name)
    return changed
