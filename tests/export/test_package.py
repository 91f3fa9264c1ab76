"""A package appears whole or not at all, in place of nothing but one of its kind."""

import zipfile
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from indi.errors import ConfigError, IndiError
from indi.export.package import package

MARKS, FILES = {"a", "b"}, {"a", "b", "c"}


def making(path: Path) -> AbstractContextManager[Path]:
    return package(path, ".kit", marks=MARKS, files=FILES, inside="in")


def fill(folder: Path, text: str = "") -> None:
    for name in MARKS:
        (folder / name).write_text(text + name)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_folder_appears_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with making(Path("new/one")) as folder:
        assert folder.is_absolute()
        fill(folder)
        assert not Path("new/one").exists()
    assert names(Path("new/one")) == ["a", "b"]
    assert names(Path("new")) == ["one"]


def test_an_archive_holds_one_folder(tmp_path: Path) -> None:
    with making(tmp_path / "one.kit") as folder:
        fill(folder)
    with zipfile.ZipFile(tmp_path / "one.kit") as archive:
        assert archive.namelist() == ["in/a", "in/b"]
    assert names(tmp_path) == ["one.kit"]


@pytest.mark.parametrize("name", ["one", "one.kit"])
def test_one_of_ours_is_replaced_whole_or_not_at_all(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with making(path) as folder:
        fill(folder, "first ")

    def content() -> str:
        if path.is_dir():
            return (path / "a").read_text()
        with zipfile.ZipFile(path) as archive:
            return archive.read("in/a").decode()

    def fail() -> None:
        with making(path) as folder:
            fill(folder, "second ")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert content() == "first a"
    with making(path) as folder:
        fill(folder, "second ")
    assert content() == "second a"
    assert names(tmp_path) == [name]


def test_what_came_before_is_back_where_the_end_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = tmp_path / "one", Path.rename
    with making(path) as folder:
        fill(folder, "first ")

    def failing(self: Path, target: Path) -> Path:
        if Path(target) == path and (self / "a").read_text().startswith("second"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    def replace() -> None:
        with making(path) as folder:
            fill(folder, "second ")

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(IndiError, match="one: cannot write: Permission denied"):
        replace()
    assert (path / "a").read_text() == "first a"
    assert names(tmp_path) == ["one"]


@pytest.mark.parametrize("found", [{"a"}, {"a", "b", "notes"}, {"c"}])
def test_what_is_not_ours_is_left(tmp_path: Path, found: set[str]) -> None:
    folder, archive = tmp_path / "one", tmp_path / "one.kit"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        for name in found:
            (folder / name).touch()
            packed.writestr(f"in/{name}", "")
    for path in (folder, archive):
        with pytest.raises(ConfigError, match="not a package that indi exported"), making(path):
            pytest.fail("the package was begun")
    assert set(names(folder)) == found


def test_an_empty_folder_is_a_place_for_one(tmp_path: Path) -> None:
    with making(tmp_path) as folder:
        fill(folder)
    assert names(tmp_path) == ["a", "b"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IndiError, match=r"one: cannot write: "), making(tmp_path / "file" / "one"):
        pytest.fail("the package was begun")
