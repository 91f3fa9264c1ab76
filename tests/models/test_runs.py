import json
import subprocess
import sys
from pathlib import Path

import pytest

from indi.errors import ModelError, TrainingError
from indi.models.runs import Split, held, settings_of_data


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        with pytest.raises(TrainingError, match="run: another training writes there"), held(tmp_path / "run"):
            pass
        (tmp_path / "run" / "kept").touch()
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["kept"]
    with held(tmp_path / "run"):
        pass


def test_what_stays_empty_goes_again(tmp_path: Path) -> None:
    with held(tmp_path / "some" / "where" / "run"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.medium
def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    code = (
        f"import time; from pathlib import Path; from indi.models.runs import held\nwith held(Path({str(tmp_path)!r})):"
    )
    code += " print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(TrainingError, match="another training"), held(tmp_path):
            pass
        process.kill()
    assert process.returncode
    with held(tmp_path):
        pass


def test_a_split_comes_back_and_older_ones_have_no_digests(tmp_path: Path) -> None:
    assert Split.read(tmp_path) is None
    split = Split(training=("a",), validation=("b",), digests={"a": ("12",), "b": ("34",)})
    split.write(tmp_path)
    assert Split.read(tmp_path) == split
    (tmp_path / "split.json").write_text(json.dumps({"training": ["a"], "validation": []}))
    assert Split.read(tmp_path) == Split(training=("a",), validation=())


@pytest.mark.parametrize(
    "text", ["{", '{"training": [', "[]", "{}", '{"training": 5, "validation": []}', "[" * 100_000]
)
def test_a_damaged_split_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(ModelError, match=r"split\.json: damaged"):
        Split.read(tmp_path)
    assert settings_of_data(tmp_path) is None
