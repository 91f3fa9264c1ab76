"""The package as others install it: a wheel, in an environment without the source tree."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from indi.version import __version__

pytestmark = pytest.mark.medium

ROOT = Path(__file__).parent.parent


def succeed(*command: object, **environment: str) -> str:
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=240,
        env={**variables, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (file,) = folder.iterdir()
    return file


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"indi-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = ROOT / "src"
    wanted = {
        file.relative_to(source).as_posix()
        for file in (source / "indi").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert "indi/py.typed" in names
    assert {name for name in names if not name.startswith("indi-")} == wanted
    about = {name.partition("/")[2] for name in names if name.startswith("indi-")}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE", "licenses/src/indi/models/weights/LICENSE.md"} <= about


def test_it_runs_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "environment"
    venv.create(home)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    offline = ("--no-deps", "--no-index", "--disable-pip-version-check")
    succeed(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *offline, wheel)

    # The dependencies are those of this environment. A path that a .pth file adds is not searched for further .pth
    # files, so the editable install here stays out of sight.
    packages = Path(succeed(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "dependencies.pth").write_text("\n".join(paths), encoding="utf-8")

    where = succeed(python, "-c", "import indi; print(indi.__file__)").strip()
    assert Path(where).is_relative_to(packages)
    code = "from indi.config import find_config; print(find_config('denoise').resolve(strict=True))"
    assert Path(succeed(python, "-c", code).strip()).is_relative_to(packages)
    shown = succeed(scripts / "indi", "--help")
    assert "Restore images" in shown
    assert succeed(scripts / "indi", "--version").strip() == __version__


def test_the_source_archive_holds_all_that_its_tests_read(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    succeed(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, ROOT)
    (file,) = tmp_path.iterdir()
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "Makefile",
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CITATION.cff",
        "LICENSE",
    } <= names
    for folder, pattern in (
        ("tests", "*.py"),
        ("src", "*.py"),
        ("benchmarks", "*.py"),
        ("docs", "*.md"),
        (".github", "*"),
    ):
        wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern) if path.is_file()}
        assert {name for name in wanted if "__pycache__" not in name} <= names
    assert not {name for name in names if name.startswith((".venv", "runs", "demo"))}
