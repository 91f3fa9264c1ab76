import pytest

from indi.config import Config
from indi.errors import ConfigError
from indi.training.settings import settings_tree


def test_every_setting_can_be_given_by_a_name_of_its_own() -> None:
    fields = [(part, field) for part, settings in Config() for field in type(settings).model_fields]
    for part, field in fields:
        name = part if field == "name" else field
        assert settings_tree(None, **{name: 3}) == {part: {field: 3}}


def test_settings_by_name_go_over_those_of_the_tree() -> None:
    tree = {"data": {"crop": 96, "batch": 4}, "training": {"minutes": 3}}
    asked = settings_tree(tree, crop=128, iterations=7, method="flow", epsilon=None)
    assert asked == {
        "data": {"crop": 128, "batch": 4},
        "training": {"iterations": 7},
        "method": {"name": "flow"},
    }


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'minuts'; known are .*did you mean minutes"):
        settings_tree(None, minuts=3)
