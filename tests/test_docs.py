"""What the documents say is true: links lead somewhere, Python runs, figures are made. Commands: test_docs_shell.py."""

import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import indi
import reference
import tables
from documents import DOCUMENTS, NAMES, RECIPES, ROOT, blocks, run, shell_lines
from indi.cli import app
from indi.config import Config
from indi.degradations import DEGRADATIONS
from indi.errors import IndiError
from indi.io import read
from indi.metrics import METRICS
from indi.models.checkpoint import save_model
from indi.networks import NETWORKS
from indi.process import objectives
from indi.process import path as process
from indi.process.methods import METHODS
from indi.process.samplers import SAMPLERS
from problems import tiny_model, write_pairs

TABLES: tuple[dict[str, Any], ...] = (DEGRADATIONS, NETWORKS, SAMPLERS, METHODS, METRICS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The folders that the documents speak of, here; and the names that their code begins with."""
    write_pairs(tmp_path / "data", channels=3)
    write_pairs(tmp_path / "test", count=1, channels=3)
    monkeypatch.chdir(tmp_path)
    return {"image": np.zeros((20, 30, 3), dtype=np.uint8)}


def shortened(code: str) -> str:
    """Return code that does as little as it can: a minute is an iteration."""
    return re.sub(r"minutes=\d+", "iterations=1", code)


@pytest.mark.medium
def test_python_of_the_readme_runs(prepared: dict[str, Any]) -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    assert "minutes=10" in code
    exec(shortened(code).replace('out="comparison"', 'out="comparison", steps=[1]'), prepared)
    assert prepared["restored"].shape == (20, 30, 3)
    assert prepared["samples"].shape == (8, 20, 30, 3)
    assert [row["steps"] for row in prepared["table"]["rows"]] == [1, 5, 20]
    assert list(prepared["methods"]["methods"]) == list(METHODS)


@pytest.mark.medium
def test_python_of_the_dial_runs(prepared: dict[str, Any]) -> None:
    (code,) = blocks(ROOT / "docs" / "realism.md", "python")
    save_model(tiny_model(3, name="distributional"), Path("runs/draws"))
    exec(code, prepared)
    assert prepared["restored"].shape == (20, 30, 3)
    assert prepared["draws"].shape == (8, 20, 30, 3)
    assert [row["realism"] for row in prepared["table"]["rows"]] == [0, 0.5, 1]


@pytest.fixture
def tables_as_they_were() -> Iterator[None]:
    before = [dict(table) for table in TABLES]
    yield
    for table, was in zip(TABLES, before, strict=True):
        table.clear()
        table.update(was)


@pytest.mark.medium
@pytest.mark.usefixtures("tables_as_they_were")
def test_python_of_extending_runs(prepared: dict[str, Any]) -> None:
    for _ in indi.train(clean="data/clean", degraded="data/degraded", run="runs/mine", size="tiny", iterations=1):
        pass
    code = blocks(ROOT / "docs" / "extending.md", "python")
    assert len(code) == 5  # one for each kind of row
    exec(code[0], prepared)
    assert [row["steps"] for row in prepared["table"]["rows"]] == [1, 2]
    exec(code[1], prepared)
    assert prepared["restored"].shape == (20, 30, 3)
    exec(code[2], prepared)
    assert prepared["restored"].shape == (20, 30, 3)
    exec(code[3], prepared)
    assert list(prepared["methods"]["methods"]) == ["indi", "noiseless"]
    exec(code[4], prepared)
    assert prepared["table"]["rows"][0]["brightness"] > 0


def test_references_are_those_of_the_code() -> None:
    for name, text in (("commands.md", reference.commands()), ("api.md", reference.api())):
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, "run python docs/reference.py"
    assert {name for name in app if not name.startswith("-")} == set(reference.COMMANDS)


@pytest.mark.medium
def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    build = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", str(ROOT / "docs"), str(tmp_path / "site")]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (tmp_path / "site").glob("*.html")}
    assert set(pages) >= {document.stem for document in (ROOT / "docs").glob("*.md")}
    for name, page in pages.items():
        assert not re.search(r'<(script|img|link)\b[^>]*(src|href)="(https?:)?//', page), f"{name} needs the network"
    assert pages["theory"].count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">') == 7
    assert "pairs_to_report.ipynb" in pages["notebook"]
    assert "What it is not sure of" in pages["notebook"]


def test_equations_are_numbered_as_they_are_read_and_as_in_the_code() -> None:
    page = ROOT / "docs" / "theory.md"
    numbers = re.findall(r"\\tag\{(.+)\}", "".join(blocks(page, "math")))
    assert numbers == ["1", "2", "3", "4", "1'", "4'", "5"]
    code = f"{process.__doc__}{objectives.__doc__}"
    assert all(re.search(rf"^    \({number}\) ", code, re.MULTILINE) for number in numbers)
    within_lines = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for formula in re.findall(r"\$([^$]+)\$", within_lines):
        assert not re.search(r"\\[^A-Za-z]", formula), f"{formula}: some forges take this backslash away"


@pytest.mark.medium
def test_figures_of_the_method_are_those_of_their_script(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "examples" / "theory.py"))
    assert script["main"](["--out", str(tmp_path)]) == 0
    names = {path.name for path in (ROOT / "docs" / "images").glob("theory-*.png")}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        assert f"](images/{name})" in (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
        drawn, shown = (read(folder / name).pixels.astype(float) for folder in (tmp_path, ROOT / "docs" / "images"))
        assert drawn.shape == shown.shape
        assert np.abs(drawn - shown).mean() < 5  # fonts and lines may differ by version
    made_of = script["weights"](5)
    np.testing.assert_allclose(made_of[:, 0], process.uniform_times(5), atol=1e-12)  # the degraded image's share is t
    np.testing.assert_allclose(made_of.sum(axis=1), 1)
    np.testing.assert_array_equal(made_of[-1], [0, 0, 0, 0, 0, 1])  # the restored image is the last estimate


@pytest.mark.medium
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    cells = json.loads((ROOT / "examples" / "pairs_to_report.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert "minutes = 3" in code[1]
    assert not any(cell.get("outputs") for cell in cells)  # what it shows is what it makes
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, Any] = {}
    for cell in code:
        exec(cell.replace("minutes = 3", "minutes = 0.02").replace(":512", ":230"), names)
    assert (tmp_path / "notebook-report" / "report.html").exists()
    assert names["samples"].shape[0] == 8
    names["plt"].close("all")


@pytest.mark.medium
def test_the_microscopists_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = ROOT / "docs" / "microscopy.md"
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for number in range(4):
        clean = np.kron(random.integers(200, 900, (2, 5, 6)), np.ones((8, 8))).astype(np.uint16)
        for side, gain, noise in (("clean", 4, 0), ("degraded", 1, 40)):
            (tmp_path / "data" / side).mkdir(parents=True, exist_ok=True)
            counts = (gain * clean + noise * random.random(clean.shape)).astype(np.uint16)
            tifffile.imwrite(tmp_path / "data" / side / f"field{number}.tif", counts, imagej=True)
    (tmp_path / "experiment").mkdir()
    tifffile.imwrite(
        tmp_path / "experiment" / "stack.tif", counts, imagej=True, metadata={"axes": "ZYX", "spacing": 0.3}
    )
    (settings,) = blocks(document, "toml")
    (tmp_path / "microscope.toml").write_text(settings, encoding="utf-8")
    steps = shell_lines(document)
    assert [line.split()[1] for line in steps] == ["train", "evaluate", "calibrate", "restore"]
    for line in steps:
        run(line)
    names = re.findall(r"^\| `(stack_\w+\.(?:tif|png))`", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert {path.name for path in (tmp_path / "restored").glob("[!.]*")} == {
        *names,
        *(f"stack_s{n:02d}.tif" for n in range(1, 9)),
    }
    with tifffile.TiffFile(tmp_path / "restored" / "stack_interval.tif") as file:
        assert file.series[0].shape == (2, 40, 48)
        assert (file.imagej_metadata or {})["spacing"] == 0.3


def test_no_code_of_a_document_is_left_untried() -> None:
    tried = {"README.md", "docs/extending.md", "docs/realism.md", "docs/export.md"}  # the last: test_export.py
    assert {name for name, file in zip(NAMES, DOCUMENTS, strict=True) if blocks(file, "python")} == tried


def test_tables_are_those_of_the_measured_figures() -> None:
    for name in tables.DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert tables.filled(text, ROOT / "docs" / "results") == text, f"{name}: run python benchmarks/tables.py"


def test_measured_figures_name_no_place_on_a_machine() -> None:
    for file in (ROOT / "docs" / "results").glob("*.json"):
        assert not re.search(r'": "(/|[A-Z]:)', file.read_text(encoding="utf-8")), file.name
    assert tables.kept({"settings": {"clean": "/a/b/c"}, "rows": [{"psnr": 1.5}], "per_image": []}) == {
        "settings": {"clean": "b/c"},
        "rows": [{"psnr": 1.5}],
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_recipes_are_settings(recipe: Path) -> None:
    config = Config.parse(tomllib.loads(recipe.read_text(encoding="utf-8")), source=recipe.name)
    if config.data.group:
        re.compile(config.data.group)


def test_every_error_of_the_tree_is_drawn() -> None:
    from indi import errors

    drawn = errors.__doc__ or ""
    classes = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, IndiError)]
    assert all(name in drawn for name in classes)


def test_version_is_the_changelogs_and_the_citations() -> None:
    from indi import __version__

    changes = re.search(r"^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert changes is not None
    assert changes[1] == __version__
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.slow
def test_demo_runs(tmp_path: Path) -> None:
    demo = [str(ROOT / "examples" / "demo.py"), "--minutes", "0.1", "--out", str(tmp_path / "demo")]
    done = subprocess.run([sys.executable, *demo], capture_output=True, text=True, check=True)
    assert (tmp_path / "demo" / "shipped.png").exists()
    assert (tmp_path / "demo" / "chelsea.png").exists()
    assert (tmp_path / "demo" / "report" / "report.html").exists()
    assert str(tmp_path / "demo" / "report" / "report.html") in "".join(done.stdout.split())
