import os
import sys
from pathlib import Path

import numpy as np
import pytest

from indi.config import Config
from indi.errors import ConfigError
from indi.io import Image, write
from indi.training import train
from indi.training.settings import settings_of_model, settings_tree
from problems import tiny_model


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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("where", ["folder", "image", "run"])
def test_names_that_a_run_cannot_keep_are_refused_in_a_line(tmp_path: Path, where: str) -> None:
    name = os.fsdecode(b"caf\xe9")
    clean = tmp_path / (name if where == "folder" else "clean")
    clean.mkdir()
    for stem in ("a", "b", name if where == "image" else "c"):
        write(clean / f"{stem}.png", Image(np.zeros((64, 64), np.uint8)))
    with pytest.raises(ConfigError, match=r"caf\\udce9.*': the name is not UTF-8, .*; rename it") as caught:
        list(
            train(
                run=tmp_path / (name if where == "run" else "run"),
                clean=clean,
                task="denoise",
                size="tiny",
                iterations=1,
            )
        )
    assert str(caught.value).isprintable()


def test_what_a_model_says_of_its_method_is_left_out_for_another() -> None:
    card = tiny_model(1, name="distributional").card
    assert settings_of_model(card, {})["method"]["share_at_one"] == card.method.share_at_one
    other = settings_of_model(card, settings_tree(None, method="indi"))["method"]
    assert not {"noise", "share_at_one"} & other.keys()
