"""The words of the field: one name for one thing, in names and in what a user reads."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import indi
from documents import ROOT

PACKAGE = Path(indi.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# What is said instead, in the names of the code.
NAMES = {
    "walk": "trajectory, or sample",
    "walks": "trajectories",
    "sweep": "sample, over a store of tiles",
    "moments": "times",
    "shipped": "pretrained",
    "befell": "error",
}
# What is said instead, in documents, help and messages.
TEXT = {
    r"\bwalks?\b": "trajectory, or sampling",
    r"\bwalked\b": "sampled",
    r"\bshipped\b": "pretrained",
    r"\bbefell\b": "happened to",
    r"\bmend\b": "fix",
    r"\banew\b": "again",
    r"\bare not ones there are\b": "are unknown",
    r"\bnot (have )?in common\b": "disagreement",
    r"`invented`": "the disagreement, or the disagreement map",
}


def words(name: str) -> set[str]:
    return {word.lower() for word in re.split(r"_|(?<=[a-z])(?=[A-Z])", name)}


def names_in(tree: ast.AST) -> set[str]:
    """Return the names that code gives: of functions, classes, arguments, variables and attributes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
    return found


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(PACKAGE)) for file in FILES])
def test_names_are_words_of_the_field(file: Path) -> None:
    found = names_in(ast.parse(file.read_text(encoding="utf-8")))
    bad = {name: NAMES[word] for name in found for word in words(name) & NAMES.keys()}
    assert not bad, f"say instead: {bad}"


def test_a_method_with_one_seed_is_a_comparison_run() -> None:
    files = (PACKAGE / "evaluation").glob("*.py")
    names = {name for file in files for name in names_in(ast.parse(file.read_text(encoding="utf-8")))}
    assert "ComparisonRun" in names
    assert not [name for name in names if words(name) & {"cell", "cells"}]


def test_a_name_of_another_dialect_is_found() -> None:
    assert names_in(ast.parse("class WalkAlong:\n    def go(self, moments):\n        self.x_walk = 1")) == {
        "WalkAlong",
        "go",
        "self",
        "moments",
        "x_walk",
    }
    assert words("WalkAlong") & NAMES.keys() == {"walk"}


@cache
def texts() -> list[tuple[str, str]]:
    """Return what a user reads: documents, docstrings and messages, by where they stand."""
    found = [
        (str(file.relative_to(ROOT)), file.read_text(encoding="utf-8"))
        for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    ]
    for file in FILES:
        strings = [
            node.value
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
        ]
        found.append((str(file.relative_to(PACKAGE)), "\n".join(strings)))
    return found


@pytest.mark.parametrize("word", TEXT)
def test_texts_are_in_plain_words(word: str) -> None:
    bad = [
        f"{where}: {text[max(0, found.start() - 40) : found.end() + 40]!r}"
        for where, text in texts()
        for found in re.finditer(word, text, re.IGNORECASE)
    ]
    assert not bad, f"say {TEXT[word]}:\n" + "\n".join(bad)
