"""The rooms: who may import whom, as docs/architecture.md draws it."""

import ast
import functools
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = {
    "fedkeyboard": "fedkeyboard",
    "data": "fedkeyboard.data",
    "simulation": "fedkeyboard.simulation",
    "tflite_export": "fedkeyboard.tflite_export",
}
CLIENTS = ("android", "ios", "web")

# What stands in no room of `fedkeyboard/`, since all may see it; the model above the rest.
MODEL = {"batches", "model", "packed", "padded", "precision"}
BASE = {"arrays", "cuts", "errors", "files", "hashed", "splitmix", "streams", "terminal"}

LEARNING = {
    *("base", "text", "ngrams", "model", "aggregators", "algorithms", "evaluation", "updates"),
}
MAY_IMPORT = {
    "base": set(),
    "text": {"base"},
    "ngrams": {"base", "text"},
    "model": {"base", "text"},
    "aggregators": {"base", "model"},
    "algorithms": {"base", "text", "model", "aggregators"},
    "runtime": {"base"},
    "evaluation": {"base", "text", "ngrams", "model", "algorithms"},
    "updates": {"base", "text", "model", "aggregators", "algorithms"},
    "data": {"base", "text", "evaluation"},
    "simulation": LEARNING | {"runtime", "data"},
    "tflite_export": LEARNING,
    "cli": LEARNING | {"data", "simulation", "tflite_export"},
}


@functools.cache
def modules():
    """The file of each module of the wheel, by its name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if parts[0] in CLIENTS:
                continue
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            found[name] = path
    return found


def imports(path, *, at_load=False):
    """The names that a file imports; `at_load`, without those inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if at_load and id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def ours(path, **options):
    """The modules of the wheel that a file imports."""
    for name in imports(path, **options):
        for each in (name, name.rpartition(".")[0]):
            if each in modules():
                yield each
                break


def room(module):
    parts = module.split(".")[1:]
    if not parts or parts[0].startswith("_"):  # The package itself, and where the program starts.
        return "base" if not parts else "cli"
    if parts[0] in MODEL:
        return "model"
    return "base" if parts[0] in BASE else parts[0]


def test_imports_go_one_way():
    wrong = [
        f"{module} ({room(module)}) imports {other} ({room(other)})"
        for module, path in modules().items()
        for other in ours(path)
        if room(other) != room(module) and room(other) not in MAY_IMPORT[room(module)]
    ]
    assert not wrong
    assert {room(module) for module in modules()} == set(MAY_IMPORT)


def test_the_rooms_have_an_order():
    """Or imports between them could go round."""
    left = dict(MAY_IMPORT)
    while left:
        free = [name for name, below in left.items() if not below & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


def test_no_module_imports_itself_by_way_of_others():
    below = {module: set(ours(path)) - {module} for module, path in modules().items()}
    done = set()

    def visit(module, way):
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for other in sorted(below[module]):
                visit(other, [*way, module])
            done.add(module)

    for module in below:
        visit(module, [])


def test_of_the_runtime_others_import_the_session_only():
    others = {
        other
        for module, path in modules().items()
        if room(module) != "runtime"
        for other in ours(path)
        if room(other) == "runtime"
    }
    assert others == {"fedkeyboard.runtime.session"}


def reached(module, seen=None):
    """All that is loaded with a module, but for what other projects' modules load."""
    seen = set() if seen is None else seen
    for name in imports(modules()[module], at_load=True):
        found = next((n for n in (name, name.rpartition(".")[0]) if n in modules()), None)
        if found is None:
            seen.add(name.partition(".")[0])
        elif found not in seen:
            seen.add(found)
            reached(found, seen)
    return seen


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("fedkeyboard.cli.app", {"tensorflow", "tensorflow_federated", "scipy", "pandas"}),
        ("fedkeyboard.simulation.progress", {"tensorflow", "tensorflow_federated", "scipy"}),
        ("fedkeyboard.simulation.config_files", {"tensorflow", "tensorflow_federated", "scipy"}),
        ("fedkeyboard.simulation.assessment", {"tensorflow_federated"}),
        ("fedkeyboard.tflite_export.package", {"tensorflow_federated"}),
        ("fedkeyboard.tflite_export.phone.litert", {"tensorflow", "tensorflow_federated"}),
    ],
)
def test_what_must_answer_at_once_loads_nothing_heavy(module, heavy):
    assert not reached(module) & heavy


def test_files_are_short():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    code = [
        ROOT / name
        for name in listed
        if name.endswith((".py", ".c", ".kt", ".kts", ".swift", ".js", ".html"))
    ]
    assert len(code) > 200
    long = {
        str(path.relative_to(ROOT)): lines
        for path in code
        if path.exists() and (lines := len(path.read_text(encoding="utf-8").splitlines())) >= 400
    }
    assert not long
