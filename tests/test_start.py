"""What answers at once: help, the version and errors of usage, without the seconds that torch takes to import."""

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

import indi
from indi import cli
from indi.cli import options
from indi.config import MethodSettings, NetworkSettings
from indi.degradations import DEGRADATIONS
from indi.export.targets import TARGETS
from indi.networks import NETWORKS
from indi.process.methods import METHODS
from indi.process.path import TIMES
from indi.process.samplers import SAMPLERS

COMMANDS = [name for name in cli.app if not name.startswith("-")]
SLOW = ("torch", "numpy", "PIL", "matplotlib", "tifffile", "safetensors")
WATCHED = f"""
import json, sys
from indi.cli import main
asked = json.loads(sys.argv[1])
for arguments in asked:
    code = main(arguments)
    slow = [name for name in {SLOW} if name in sys.modules]
    assert not slow, f"indi {{' '.join(arguments)}} imports {{slow}}"
    print("exit code", code)
"""


def answered(*commands: list[str]) -> list[int]:
    """Return the exit codes of commands, run one after another by one process that imports nothing slow for them."""
    code = [sys.executable, "-c", WATCHED, json.dumps(commands)]
    done = subprocess.run(code, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [int(line.rpartition(" ")[2]) for line in done.stdout.splitlines() if line.startswith("exit code")]


@pytest.mark.medium
def test_help_and_the_version_import_nothing_slow() -> None:
    asked = [["--version"], ["--help"], [], *([name, "--help"] for name in COMMANDS)]
    assert answered(*asked) == [0] * len(asked)


@pytest.mark.medium
def test_errors_of_usage_import_nothing_slow() -> None:
    wrong = [
        "restor",
        "restore",
        "degrade --task jpeg",
        "train",
        "train --run x --nope",
        "restore x.png --steps 1.5",
        "evaluate --tile",
        "info",
        "toy x",
    ]
    assert answered(*(words.split() for words in wrong)) == [2] * len(wrong)


@pytest.mark.medium
def test_the_package_imports_nothing_slow() -> None:
    code = f"import sys, indi\nassert not [name for name in {SLOW} if name in sys.modules]\nprint(indi.load.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "indi.restoration.restorer\n", done.stderr


def test_every_public_name_comes_from_where_type_checkers_are_told() -> None:
    tree = ast.parse(Path(indi.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == indi._HOMES
    assert all(getattr(indi, name) is getattr(import_module(str(home)), name) for name, home in told.items())
    assert set(indi.__all__) <= set(dir(indi))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        indi.nothing  # noqa: B018


def test_help_lists_the_names_in_the_tables() -> None:
    assert tuple(METHODS) == options.METHODS
    assert tuple(DEGRADATIONS) == options.TASKS
    assert tuple(TIMES) == options.TIMES
    assert tuple(SAMPLERS) == options.SAMPLERS
    assert tuple(TARGETS) == get_args(options.ExportTo)
    for description, table in (
        (MethodSettings.model_fields["name"].description, METHODS),
        (NetworkSettings.model_fields["size"].description, NETWORKS["unet"].sizes),
    ):
        *first, last = str(description).split(", ")
        assert [*first, *last.split(" or ")] == list(table)
