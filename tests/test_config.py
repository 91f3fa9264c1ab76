import json
import math
from pathlib import Path

import pytest

from indi.config import RECIPES, Config, find_config, merged
from indi.errors import ConfigError


def test_defaults_build() -> None:
    method = Config().method.build()
    assert not method.one_step
    assert 0 < method.share_at_one < 1


def test_regression_is_one_step_at_one_without_noise() -> None:
    method = Config.parse(
        {"method": {"name": "regression", "epsilon": 0.1, "conditioned": True}}, source="x"
    ).method.build()
    assert method.one_step
    assert method.share_at_one == 1.0
    assert method.path.c(1.0) == 0.0
    assert not method.conditioned


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"trainig": {}}, ["trainig", "did you mean training?"]),
        ({"training": {"learning_rat": 1}}, ["training.learning_rat", "did you mean learning_rate?"]),
        ({"method": {"name": "indy"}}, ["indy", "did you mean indi?"]),
        ({"network": {"size": "smal"}}, ["smal", "did you mean small?"]),
        ({"method": {"epsilon": -1}}, ["method.epsilon", "-1"]),
        ({"data": {"batch": "many"}}, ["data.batch", "many"]),
        ({"training": {"norm": 3}}, ["training.norm", "3"]),
        ({"training": {"minutes": 1, "iterations": 5}}, ["one budget"]),
    ],
)
def test_a_wrong_setting_is_named(tree: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.parse(tree, source="my.toml")
    message = str(caught.value)
    assert message.startswith("my.toml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_what_is_dumped_is_read_again(tmp_path: Path) -> None:
    config = Config.parse({"method": {"epsilon": 0.03}, "training": {"iterations": 7}}, source="x")
    (tmp_path / "config.json").write_text(config.dump())
    assert Config.parse(Config.read(tmp_path / "config.json"), source="x") == config


def test_toml_and_json_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[training]\nminutes = 2.5\n")
    (tmp_path / "a.json").write_text(json.dumps({"training": {"minutes": 2.5}}))
    assert Config.read(tmp_path / "a.toml") == Config.read(tmp_path / "a.json")


@pytest.mark.parametrize(("name", "text"), [("a.toml", "[training\n"), ("a.json", "{"), ("b.toml", None)])
def test_unreadable_files_are_named(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=name):
        Config.read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"), [("a.toml", "[training]\nminutes = 2.5\n"), ("a.JSON", '{"training": {"minutes": 2.5}}')]
)
def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert Config.read(tmp_path / name) == {"training": {"minutes": 2.5}}
    (tmp_path / name).write_text(text, encoding="utf-16")
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        Config.read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
def test_a_deep_tree_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(("a = " if name == "a.toml" else "") + "[" * 100_000)
    with pytest.raises(ConfigError, match=f"{name}: (nested too deeply|not valid)"):
        Config.read(tmp_path / name)


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("name", ["minutes", "learning_rate", "clip", "average", "warmup"])
def test_what_is_not_finite_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"training\.{name}: .*(finite|less|greater)"):
        Config.parse({"training": {name: value}}, source="x")


def test_merging_goes_over_and_into() -> None:
    under = {"a": {"x": 1, "y": 2}, "b": 3}
    assert merged(under, {"a": {"y": 5}, "c": 4}) == {"a": {"x": 1, "y": 5}, "b": 3, "c": 4}
    assert under == {"a": {"x": 1, "y": 2}, "b": 3}


def test_a_name_is_a_recipe_where_no_file_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w2s").mkdir()  # a folder of data is no file of settings
    assert find_config("w2s") == RECIPES / "w2s.toml"
    assert find_config("w2s.toml") == Path("w2s.toml")
    assert find_config("mine/w2s") == Path("mine/w2s")
    with pytest.raises(
        ConfigError, match=r"w2z: no such file or recipe; recipes: deblur-.*, w2s \(did you mean w2s\?\)"
    ):
        find_config("w2z")
    (tmp_path / "w2s").rmdir()
    (tmp_path / "w2s").write_text("[training]\n")
    assert find_config("w2s") == Path("w2s")
