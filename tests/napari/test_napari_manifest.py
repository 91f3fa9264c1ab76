"""What napari reads of the plugin, without napari."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import indi
from indi.errors import MissingExtraError

PACKAGE = Path(indi.__file__).parent
MANIFEST: dict[str, Any] = yaml.safe_load((PACKAGE / "napari" / "napari.yaml").read_text(encoding="utf-8"))
COMMANDS = {each["id"]: each["python_name"] for each in MANIFEST["contributions"]["commands"]}


def command(name: str) -> Any:
    module, _, function = COMMANDS[name].partition(":")
    return getattr(import_module(module), function)


def test_the_entry_point_names_the_manifest() -> None:
    project = tomllib.loads((PACKAGE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, file = project["entry-points"]["napari.manifest"]["indi"].partition(":")
    assert (PACKAGE.parent / module.replace(".", "/") / file).is_file()
    assert MANIFEST["name"] == project["name"]  # without which napari takes it for another's
    assert any(text.startswith("napari") for text in project["optional-dependencies"]["napari"])


def test_every_command_that_it_names_is_a_function() -> None:
    assert {each["command"] for each in MANIFEST["contributions"]["widgets"]} == set(COMMANDS)
    for name in COMMANDS:
        assert callable(command(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_without_napari_it_is_said_how_to_come_by_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "indi.napari.widgets", raising=False)
    monkeypatch.delattr(import_module("indi.napari"), "widgets", raising=False)
    monkeypatch.setitem(sys.modules, "magicgui.widgets", None)
    monkeypatch.setitem(sys.modules, "magicgui", None)
    with pytest.raises(MissingExtraError, match=r"^the widgets need napari and Qt \(.+\); run pip install 'indi"):
        command(name)()
