"""The rules of the layout that no other tool enforces."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import indi

PACKAGE = Path(indi.__file__).parent

ROWS = """
    errors version interrupts
    devices plugins networks degradations metrics io process
    config
    data
    models
    restoration export
    report
    training
    evaluation toy
    info
    app
    __init__
    cli
    __main__
"""
RANK = {part: row for row, parts in enumerate(ROWS.strip().splitlines()) for part in parts.split()}
HEAVY = """
    matplotlib cyclopts rich gradio onnx onnxruntime openvino dask distributed torchvision torchmetrics zarr skimage
    scipy piq huggingface_hub diffusers bioimageio
"""

FILES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(file.relative_to(PACKAGE)) for file in FILES]


def part_of(file: Path) -> str:
    """Return the module, or the folder of modules, that a file belongs to."""
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Return the parts of the package that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole module"
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in dotted:
            package, _, rest = name.partition(".")
            if package == "indi":
                part = rest.partition(".")[0]
                is_module = (PACKAGE / f"{part}.py").exists() or (PACKAGE / part).is_dir()
                found.add(part if part and is_module else "__init__")
    return found


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_imports_are_found() -> None:
    text = "import indi.cli\nfrom indi.io.image import Image\ndef f():\n    from indi import data, load\nimport indian"
    assert imported(ast.parse(text)) == {"cli", "io", "data", "__init__"}


def test_every_part_has_its_row() -> None:
    assert {part_of(file) for file in FILES} == set(RANK)


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_imports_run_downwards(file: Path) -> None:
    part = part_of(file)
    upwards = {other for other in imported(parsed(file)) if other != part and RANK[other] >= RANK[part]}
    assert not upwards, f"{part} imports {upwards}"


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_only_the_command_line_prints(file: Path) -> None:
    calls = [node for node in ast.walk(parsed(file)) if isinstance(node, ast.Call)]
    prints = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not prints or part_of(file) == "cli", f"{file.name}: print in lines {prints}"


def test_no_file_is_a_drawer_for_everything() -> None:
    names = {part for file in FILES for part in (file.stem, *file.relative_to(PACKAGE).parts[:-1])}
    assert not names & {"utils", "util", "misc", "common", "helpers", "helper", "tools", "core"}


MOST_PARAMETERS = 8
# Commands, whose parameters are their options, are left out. So are two that hold as many settings as a run has.
MANY = {"evaluation/compare.py of", "data/dataset.py __init__"}


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the names of what is passed to a function; what is passed by any name counts as one."""
    every = function.args
    named = [*every.posonlyargs, *every.args, *every.kwonlyargs, *filter(None, (every.vararg, every.kwarg))]
    return [each.arg for each in named if each.arg not in ("self", "cls")]


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_no_function_takes_more_than_can_be_told_apart(file: Path) -> None:
    place = file.relative_to(PACKAGE).as_posix()
    functions = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    many = {f"{place} {each.name}": parameters(each) for each in functions if len(parameters(each)) > MOST_PARAMETERS}
    if not place.startswith("cli/"):
        assert many.keys() == {name for name in MANY if name.startswith(f"{place} ")}, many


def test_parameters_of_all_kinds_are_counted() -> None:
    (function,) = ast.parse("def f(self, a, /, b, *c, d=1, **e): ...").body
    assert isinstance(function, ast.FunctionDef)
    assert parameters(function) == ["a", "b", "d", "c", "e"]


@pytest.mark.medium
def test_importing_all_of_the_package_stays_light() -> None:
    code = "import sys\nfrom indi import *\nprint(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert {"indi", "torch", "numpy"} <= loaded
    assert not loaded & set(HEAVY.split())
    assert done.stderr == ""


CONTRIBUTING = (PACKAGE.parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_map_names_what_there_is() -> None:
    """The tables of CONTRIBUTING: no path that is not there, and no part of the package that is not named."""
    named = {path for path in re.findall(r"`([\w/]+(?:/|\.py))`", CONTRIBUTING) if not path.startswith("tests/")}
    inside = {path for path in named if path != "path.py"}
    rooms = {name for name in inside if "/" in name or name in {f"{part}.py" for part in RANK}}
    for path in rooms - {"examples/theory.py"}:
        assert (PACKAGE / path).exists(), path
    parts = {file.relative_to(PACKAGE).parts[0] for file in FILES} - {"__init__.py", "__main__.py"}
    missing = {part for part in parts if not any(path.rstrip("/") == part for path in inside)}
    assert not missing
