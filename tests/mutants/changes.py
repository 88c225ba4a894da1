"""The mutants of a module: its source with one operator of cosmic-ray's applied once.

Of what cosmic-ray would do, left out is what says the same a second time or nothing of the code:

* a binary operator becomes two others and not all eleven, a comparison its boundary and its
  contrary (`_REPLACED`);
* what is within a `raise` statement, whose text is a message;
* the `|` of type annotations, and `frozen` of dataclasses, which only forbid;
* what does not compile, or compiles to the same.
"""

import ast
import hashlib
import random
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import cosmic_ray.plugins
from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import MutationVisitor

_REPLACED = {
    "ReplaceBinaryOperator": {
        **{"Add": "Sub Mul", "Sub": "Add Div", "Mul": "Div Add", "Div": "Mul FloorDiv"},
        **{"FloorDiv": "Div Mul", "Mod": "FloorDiv Mul", "Pow": "Mul Add"},
        **{"BitOr": "BitAnd BitXor", "BitAnd": "BitOr BitXor", "BitXor": "BitOr BitAnd"},
        **{"LShift": "RShift Mul", "RShift": "LShift FloorDiv"},
    },
    "ReplaceComparisonOperator": {
        **{"Eq": "NotEq", "NotEq": "Eq", "Is": "IsNot", "IsNot": "Is"},
        **{"Lt": "LtE GtE", "LtE": "Lt Gt", "Gt": "GtE LtE", "GtE": "Gt Lt"},
    },
}
# These need names of variables, which a run gives them.
_WITH_ARGUMENTS = ("VariableReplacer", "VariableInserter")


class Mutant(NamedTuple):
    """One change.

    Attributes:
      operator: Of cosmic-ray's.
      occurrence: The how-manieth place that it could be applied at.
      line: Where.
      before: What stands in that line.
      after: What stands there instead; several lines are joined.
    """

    operator: str
    occurrence: int
    line: int
    before: str
    after: str


def mutants(source: str) -> list[Mutant]:
    """Returns the mutants of a module's source, by line."""
    found, seen = [], set()
    lines, same = source.splitlines(), _compiled(source)
    for name in _operators():
        listing = _Listing(cosmic_ray.plugins.get_operator(name)())
        listing.walk(get_ast(source))
        for occurrence, line in listing.places:
            try:
                changed = changed_source(source, name, occurrence)
            except AttributeError:  # cosmic-ray knows no `except (*these, those)`.
                continue
            compiled = _compiled(changed)
            if compiled in (None, same) or compiled in seen:
                continue
            seen.add(compiled)
            before, after = _difference(lines, changed.splitlines())
            found.append(Mutant(name, occurrence, line, before, after))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.operator, mutant.occurrence))


def changed_source(source: str, operator: str, occurrence: int) -> str:
    """Returns the source of a mutant."""
    made = cosmic_ray.plugins.get_operator(operator)()
    return MutationVisitor.mutate_code(source, made, occurrence)


def sample(of: list[Mutant], count: int | None, seed: str) -> list[Mutant]:
    """Returns some of the mutants, by line; of a larger sample with the same seed, a part."""
    if count is None or count >= len(of):
        return of
    order = random.Random(seed).sample(range(len(of)), len(of))
    return [of[i] for i in sorted(order[:count])]


def _operators() -> Iterator[str]:
    for name in cosmic_ray.plugins.operator_names():
        kind, *of = name.removeprefix("core/").split("_")
        if kind in _WITH_ARGUMENTS:
            continue
        if kind not in _REPLACED or of[1] in _REPLACED[kind][of[0]].split():
            yield name


class _Listing(Visitor):
    """Where an operator can be applied, by occurrence, in `MutationVisitor`'s order."""

    def __init__(self, operator):
        self.places: list[tuple[int, int]] = []
        self._operator = operator
        self._count = 0

    def visit(self, node):
        for (line, _), _ in self._operator.mutation_positions(node):
            if not _left_out(node):
                self.places.append((self._count, line))
            self._count += 1
        return node


def _left_out(node) -> bool:
    if node.search_ancestor("raise_stmt"):
        return True
    argument = node.search_ancestor("argument")
    if argument is not None and argument.children[0].get_code().strip() == "frozen":
        return True
    if getattr(node, "value", None) != "|":
        return False
    # Not all of an annotation: it has numbers that count, those of Field(ge=0).
    annotation = node.search_ancestor("tfpdef", "annassign")
    function = node.search_ancestor("funcdef")
    returned = function is not None and node.end_pos <= function.children[-2].start_pos
    return returned or annotation is not None


def _compiled(source: str) -> bytes | None:
    """Returns what tells apart two sources that do not do the same; None if it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "", "exec")
            return hashlib.sha256(ast.dump(ast.parse(source)).encode()).digest()
    except (SyntaxError, ValueError):
        return None


def _difference(before: list[str], after: list[str]) -> tuple[str, str]:
    first = next(i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    last = 0
    while before[len(before) - 1 - last] == after[len(after) - 1 - last]:
        last += 1
    return tuple(
        " ".join(line.strip() for line in lines[first : max(first + 1, len(lines) - last)])
        for lines in (before, after)
    )
