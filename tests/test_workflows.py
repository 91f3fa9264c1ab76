"""What cannot run here is held to what it is about: workflows, hooks and templates name what there is."""

import re
import runpy
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = sorted([*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"])


def loaded(file: Path) -> dict[Any, Any]:
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(values, dict)
    return values


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_is_yaml_with_content(file: Path) -> None:
    assert loaded(file)


@pytest.mark.parametrize("file", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda file: file.name)
def test_a_workflow_says_when_and_what_and_may_no_more_than_it_needs(file: Path) -> None:
    workflow = loaded(file)
    assert True in workflow  # YAML takes the key "on" for a truth value
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[\w./-]+", step["uses"])
            for target in re.findall(r"\bmake ([\w-]+)", step.get("run", "")):
                assert target in targets


def test_tests_run_on_all_that_is_promised() -> None:
    matrix = loaded(ROOT / ".github/workflows/tests.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    project = PYPROJECT["project"]
    promised = {text.rsplit(" ")[-1] for text in project["classifiers"] if re.search(r"Python :: 3\.\d+$", text)}
    assert set(matrix["python"]) == promised
    assert min(promised) == project["requires-python"].removeprefix(">=")


def test_classifiers_are_ones_that_pypi_takes() -> None:
    known = pytest.importorskip("trove_classifiers").classifiers
    classifiers = PYPROJECT["project"]["classifiers"]
    assert set(classifiers) <= known
    assert classifiers == sorted(classifiers, key=lambda text: (text, len(text)))


def test_no_requirement_of_development_repeats_an_extra() -> None:
    groups, project = PYPROJECT["dependency-groups"], PYPROJECT["project"]
    dev = [part["include-group"] for part in groups["dev"]]
    assert {*dev, "dev"} == set(groups)
    named, *listed = [re.split(r"[>=\[]", text)[0] for group in dev for text in groups[group]]
    assert named == project["name"]  # with extras, which must be there: pip only warns of others
    used = set(re.findall(r"[\w-]+", groups["test"][0].partition("[")[2]))
    extras = project["optional-dependencies"]
    assert used < set(extras)
    given = {re.split(r"[>=]", text)[0] for extra in used for text in extras[extra]}
    assert len(listed) == len(set(listed) - given)


def test_the_group_is_installed_by_a_pip_that_knows_groups() -> None:
    for name in ("Makefile", ".github/workflows/tests.yml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.search(
            r"pip install .*--upgrade ['\"]pip>=25\.1['\"].*--group dev --editable \. ?", text, re.DOTALL
        ), name


def test_a_release_publishes_without_a_password() -> None:
    publish = loaded(ROOT / ".github/workflows/release.yml")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")


def test_hooks_are_those_of_make_check() -> None:
    (repository,) = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # nothing to download
    run = {" ".join(hook["entry"].split()[:2]).removeprefix(".venv/bin/") for hook in repository["hooks"]}
    assert run == {"ruff check", "ruff format", "mypy"}


def test_a_release_keeps_version_changelog_and_citation_in_step(tmp_path: Path) -> None:
    release = runpy.run_path(str(ROOT / ".github/release.py"))["release"]
    files = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("src/indi/version.py", "CITATION.cff")}
    for name, text in (files | {"CHANGELOG.md": "# Changelog\n\n## 1.2.3 (unreleased)\n\n- More.\n"}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for wrong, says in (("1.2", "X.Y.Z"), ("1.2.4", "no heading")):
        with pytest.raises(ValueError, match=says):
            release(wrong, tmp_path, date(2027, 1, 2))
    release("1.2.3", tmp_path, date(2027, 1, 2))
    assert runpy.run_path(str(tmp_path / "src/indi/version.py"))["__version__"] == "1.2.3"
    assert yaml.safe_load((tmp_path / "CITATION.cff").read_text(encoding="utf-8"))["version"] == "1.2.3"
    assert "## 1.2.3 (2027-01-02)\n" in (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
