"""Rows of one's own, from files that INDI_PLUGINS names and from packages: in commands, and without one."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indi import plugins
from indi.cli import main
from indi.errors import ConfigError
from indi.io import read
from indi.models.checkpoint import save_model
from indi.plugins import VARIABLE, load_plugins
from problems import tiny_model, write_pairs

pytestmark = pytest.mark.medium

DOCUMENT = (Path(__file__).parent.parent / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = {
    name: f"{code}\n"
    for name, code in re.findall(r"^```python\n# (\w+\.py)\n(.*?)\n# Its use\n", DOCUMENT, re.DOTALL | re.MULTILINE)
}
COMMANDS = re.findall(rf"^{VARIABLE}=(\w+\.py) indi (.*)$", DOCUMENT, re.MULTILINE)


def run(arguments: str, folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a user does, with files as plugins."""
    environment = {**os.environ, VARIABLE: os.pathsep.join(names)}
    command = [sys.executable, *shlex.split(arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the commands of the document speak of, and its examples saved as files."""
    folder = tmp_path_factory.mktemp("place")
    write_pairs(folder / "data", channels=3)
    pairs = write_pairs(folder / "test", count=1, channels=3)
    (folder / "photo.png").write_bytes((pairs["clean"] / "0.png").read_bytes())
    save_model(tiny_model(3), folder / "runs" / "mine")
    for name, code in FILES.items():
        (folder / name).write_text(code, encoding="utf-8")
    (folder / "plain.toml").write_text('[network]\nname = "plain"\nsize = "tiny"\n', encoding="utf-8")
    begin = "--config plain.toml --clean data/clean --task fade --run runs/plain --iterations 2"
    done = run(f"-m indi train {begin}", folder, "fade.py", "plain.py")
    assert done.returncode == 0, done.stderr
    return folder


def test_each_example_is_a_file_with_a_command() -> None:
    assert list(FILES) == ["fade.py", "plain.py", "cautious.py", "noiseless.py", "brightness.py"]
    assert [name for name, _ in COMMANDS] == list(FILES)


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=list(FILES))
def test_the_commands_of_the_document_run(place: Path, name: str, command: str) -> None:
    shorter = command.replace("--minutes 10", "--iterations 2 --size tiny")
    out = "" if command.startswith("train") else f" --out {place / 'out' / name}"
    done = run(f"-m indi {shorter}{out}", place, name)
    assert done.returncode == 0, done.stderr
    made = place / "out" / name
    if name == "fade.py":
        clean = read(place / "photo.png").pixels.astype(float)
        assert np.abs(read(made / "photo.png").pixels - (clean + 127.5) / 2).max() < 1
    elif name == "noiseless.py":
        card = json.loads((place / "runs" / "noiseless" / "model.json").read_text())
        assert card["method"]["name"] == "noiseless"
    elif name == "brightness.py":
        assert json.loads((made / "metrics.json").read_text())["rows"][0]["brightness"] > 0
    else:
        assert read(made / "photo.png").pixels.shape == (40, 48, 3)


def test_without_the_file_a_run_does_not_open(place: Path) -> None:
    done = run("-m indi restore photo.png --model runs/plain --out nothing", place)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_process_without_the_command_line_opens_a_run_too(place: Path) -> None:
    code = "import indi; print(indi.load('runs/plain').card.network.name)"
    done = run(f"-c {shlex.quote(code)}", place, str(place / "plain.py"))
    assert done.stdout.strip() == "plain", done.stderr


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_workers_of_dask_know_the_rows(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    names = [str(place / name) for name in ("plain.py", "cautious.py")]
    monkeypatch.setenv(VARIABLE, os.pathsep.join(names))
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=":0") as local:
        ask = f"--model {place}/runs/plain --sampler cautious --steps 2 --scheduler {local.scheduler_address}"
        done = run(f"-m indi restore {place}/photo.png {ask} --out {place}/far", place, *names)
    assert done.returncode == 0, done.stderr
    assert read(place / "far" / "photo.png").pixels.shape == (40, 48, 3)


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that writes files and names them, for this process."""
    begun, modules = set(plugins._begun), set(sys.modules)

    def name(**files: str) -> None:
        for stem, code in files.items():
            (tmp_path / f"{stem}.py").write_text(code, encoding="utf-8")
        monkeypatch.setenv(VARIABLE, os.pathsep.join(str(tmp_path / f"{stem}.py") for stem in files))

    yield name
    plugins._installed.cache_clear()
    plugins._begun.clear()
    plugins._begun.update(begun)
    for module in set(sys.modules) - modules:
        del sys.modules[module]


def test_each_file_is_imported_once(named: Any, tmp_path: Path) -> None:
    count = (
        f"from pathlib import Path\nwith Path({str(tmp_path / 'count')!r}).open('a') as file:\n    file.write('.')\n"
    )
    again = "from indi.plugins import load_plugins\nload_plugins()\n"  # as one that loads a model does
    data = "from dataclasses import dataclass\n@dataclass\nclass Row:\n    value: 'int'\n"
    named(one=count + again, two=count + data)
    load_plugins()
    load_plugins()
    assert (tmp_path / "count").read_text() == ".."


@pytest.mark.parametrize("variable", ["", os.pathsep])
def test_no_name_is_no_file(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(VARIABLE, variable)
    load_plugins()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n\nraise ValueError('two\\nlines')\n", r"wrong\.py, line 3: ValueError: two lines; fix the file"),
        ("import no_such_module_at_all\n", r"wrong\.py, line 1: ModuleNotFoundError: No module named"),
        ("def f(:\n", r"wrong\.py: SyntaxError: .*line 1"),
        ("import sys\nsys.exit('bye')\n", r"wrong\.py, line 2: SystemExit: bye"),
    ],
)
def test_a_file_that_fails_is_one_line(named: Any, capsys: pytest.CaptureFixture[str], code: str, said: str) -> None:
    named(wrong=code)
    for _ in range(2):  # the second time too
        assert main(["models"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(rf"INDI_PLUGINS: .*{said}", line), line


def test_a_file_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no Python")
    for name in ("none.py", "notes.txt", "."):
        monkeypatch.setenv(VARIABLE, str(tmp_path / name))
        with pytest.raises(ConfigError, match=r"INDI_PLUGINS: .*: there is no such Python file; fix the path"):
            load_plugins()


def install(folder: Path, code: str) -> None:
    """Make a package that offers a plugin, as pip would lay it out, in a folder to be put on the path."""
    about = folder / "indi_plain-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: indi-plain\nVersion: 1.2\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[indi.plugins]\nplain = indi_plain\n", encoding="utf-8")
    (folder / "indi_plain.py").write_text(code, encoding="utf-8")


def test_rows_of_an_installed_package_are_known_and_in_the_card(place: Path, tmp_path: Path) -> None:
    install(tmp_path, FILES["plain.py"])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    begin = "--config plain.toml --clean data/clean --task denoise --run runs/packaged --iterations 2"
    for arguments in (f"train {begin}", "restore photo.png --model runs/packaged --out packaged"):
        command = [sys.executable, "-m", "indi", *shlex.split(arguments)]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert json.loads((place / "runs/packaged/model.json").read_text())["plugins"] == ["indi-plain 1.2: plain"]
    done = run("-m indi restore photo.png --model runs/packaged --out nothing", place)
    assert done.returncode == 2
    assert done.stderr.endswith("it was trained with plugins that are not loaded: indi-plain 1.2: plain\n")


def test_files_are_in_the_card_by_name(place: Path) -> None:
    card = json.loads((place / "runs" / "plain" / "model.json").read_text())
    assert card["plugins"] == ["fade.py", "plain.py"]


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("code", ["raise ValueError('two\\nlines')\n", "import sys\nsys.exit('two lines')\n"])
def test_a_package_that_fails_is_one_line_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    install(tmp_path, code)
    monkeypatch.syspath_prepend(tmp_path)
    plugins._installed.cache_clear()
    for _ in range(2):  # the second time too
        assert main(["models"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(
            r"plugin indi-plain 1\.2: plain \(indi_plain\): \w+: two lines; update that package, or", line
        ), line
    assert main(["--help"]) == 0  # for which no plugin is needed
