"""What a user of the library meets: names, documentation, options by keyword."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import indi
from indi.config import Config

MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(indi.__path__, "indi.")
    if not found.name.endswith(("__main__", "napari.widgets"))  # the last needs napari: make test-napari
]


def test_all_is_sorted_and_complete() -> None:
    assert indi.__all__ == sorted(indi.__all__)
    tree = ast.parse(Path(indi.__file__).read_text(encoding="utf-8"))
    made = {
        alias.asname or alias.name
        for node in ast.walk(tree)  # some are imported for type checkers, and by others when first asked for
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(indi.__all__) == made - {"import_module", "TYPE_CHECKING", "Any"}
    assert all(hasattr(indi, name) for name in indi.__all__)


def test_the_names_that_other_programs_rely_on() -> None:
    sampling = {field.name for field in fields(indi.Sampling)}
    settings = {name for _, part in Config() for name in type(part).model_fields} | {"method"}
    promised: dict[Callable[..., Any], tuple[str, set[str]]] = {
        indi.load: ("model", set()),
        indi.Restorer.restore: ("image steps samples seed", sampling),
        indi.train: ("clean degraded run minutes task method size iterations seed", settings),
        indi.evaluate: ("model clean degraded steps seed", sampling),
    }
    for function, (names, by_name) in promised.items():
        parameters = inspect.signature(function).parameters
        open_to_more = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        assert set(names.split()) <= set(parameters) | (by_name if open_to_more else set()), function


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the public functions, classes and methods that a module defines."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if isinstance(thing, FunctionType | type):
            yield f"{module.__name__}.{name}", thing
        if isinstance(thing, type):
            for method, member in vars(thing).items():
                inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if isinstance(inner, FunctionType) and not method.startswith("_"):
                    yield f"{module.__name__}.{name}.{method}", inner


PUBLIC = dict(item for module in MODULES for item in public(module))
OPEN = {name: thing for name, thing in PUBLIC.items() if not name.startswith("indi.cli.")}


def test_there_is_something_to_check() -> None:
    for name in ("indi.restoration.restorer.Restorer.restore", "indi.metrics.distortion.psnr", "indi.io.files.read"):
        assert name in PUBLIC


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_module_says_what_it_is(module: ModuleType) -> None:
    assert module.__doc__
    assert module.__doc__.strip()


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_documented(name: str) -> None:
    written = PUBLIC[name].__dict__.get("__doc__") if isinstance(PUBLIC[name], type) else PUBLIC[name].__doc__
    overrides = name.rpartition(".")[2] in ("forward", "emit")  # a base class says what these do
    assert overrides or (written or "").strip()


def by_place(function: Callable[..., Any]) -> list[str]:
    """Return the parameters that have a default and can be given without their name."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is not p.empty and p.kind is not p.KEYWORD_ONLY]


@pytest.mark.parametrize("name", [name for name, thing in OPEN.items() if isinstance(thing, FunctionType)])
def test_options_are_given_by_keyword(name: str) -> None:
    """Of several values by place, nobody could read which means what."""
    *_, function = name.split(".")
    assert len(by_place(OPEN[name])) <= (0 if function in (*indi.__all__, "restore") else 1)
