"""One table of formats: each row is known by its content alone, and nothing else in the library knows a format."""

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import indi
from indi.errors import ImageError
from indi.io import (
    IMAGE_SUFFIXES,
    READABLE_SUFFIXES,
    VOLUME_SUFFIXES,
    WRITABLE_NAMES,
    WRITABLE_SUFFIXES,
    Image,
    is_volume,
    name_of_result,
    notes,
    read,
    write,
)
from indi.io.formats.registry import FORMATS, START, format_for, format_of
from indi.io.stacks import is_stack, open_stack

PACKAGE = Path(indi.__file__).parent
ROWS = pytest.mark.parametrize("row", FORMATS, ids=[row.name for row in FORMATS])
COLOUR = np.add.outer(np.arange(20), np.arange(24))[..., None].repeat(3, axis=2).astype(np.uint8)
CHOSEN = {"restoration/outputs.py": {".tif"}}  # maps of floats are TIFF by the names that are promised


def test_no_other_file_knows_a_suffix_or_how_a_format_begins() -> None:
    suffixes = {suffix for row in FORMATS for suffix in row.suffixes}
    signatures = {signature for row in FORMATS for signature in row.signatures}
    found = {}
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE).as_posix()
        if not name.startswith("io/formats/"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            texts = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
            names = {id(part) for text in texts for part in text.values}  # of files that are written: a choice
            constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in names)
            found[name] = {node.value for node in constants} & (suffixes | signatures)
    assert {name: values for name, values in found.items() if values} == CHOSEN


@ROWS
def test_a_row_says_all_that_is_asked(row: object) -> None:
    (row,) = (each for each in FORMATS if each is row)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in row.suffixes)
    assert bool(row.signatures) != bool(row.marks)
    assert (row.headers is None) == (row.decode is None)
    assert row.decode is not None or row.open_stack is not None
    is_written = row.encode is not None or bool(row.marks)
    assert bool(row.becomes) != is_written
    if row.becomes:  # something that can be written, and holds what this format holds
        becomes = format_for(f"a{row.becomes}")
        assert becomes is not None
        assert becomes.encode is not None
        assert becomes.alpha


def test_no_two_rows_have_a_name_or_a_suffix_in_common() -> None:
    names = [row.name for row in FORMATS]
    suffixes = [suffix for row in FORMATS for suffix in row.suffixes]
    assert len(set(names)) == len(names)
    assert len(set(suffixes)) == len(suffixes)
    assert WRITABLE_SUFFIXES < READABLE_SUFFIXES < IMAGE_SUFFIXES
    assert {".zarr"} == VOLUME_SUFFIXES
    assert WRITABLE_NAMES == ("PNG", "JPEG", "TIFF", "WebP", "AVIF")


@pytest.mark.parametrize("suffix", sorted(WRITABLE_SUFFIXES | {".gif", ".bmp"}))
def test_a_file_is_of_one_format_by_its_first_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in WRITABLE_SUFFIXES:
        write(path, Image(COLOUR))
    else:
        Pillow.fromarray(COLOUR).save(path)
    start = path.read_bytes()[:START]
    (row,) = (row for row in FORMATS if row.is_of(start))
    assert row is format_for(path.name)
    renamed = path.rename(tmp_path / "a.bin")
    assert format_of(renamed) is row
    assert read(renamed).pixels.shape[:2] == COLOUR.shape[:2]


def test_a_signature_is_not_met_by_chance() -> None:
    for start in (
        b"p\0\0\0 is no image of a microscope".ljust(START),
        b"BM is no bitmap".ljust(START),
        b"RIFF....WAVEfmt ",
    ):
        assert not any(row.is_of(start) for row in FORMATS)


def test_results_are_named_by_what_can_be_written(tmp_path: Path) -> None:
    for name, wanted in (("a.png", "a.png"), ("a.gif", "a.png"), ("a.HEIC", "a.png"), ("a.b.czi", "a.b.ome.tif")):
        assert name_of_result(tmp_path / name) == wanted
    for name in ("a.zarr", "bare"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".zgroup").write_text("{}")
        assert is_volume(tmp_path / name)
        assert name_of_result(tmp_path / name) == f"{name.removesuffix('.zarr')}.zarr"


def test_a_format_of_single_pictures_has_no_stacks_and_no_notes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write(path, Image(COLOUR))
    assert not is_stack(path, 1)
    assert notes(path) == {}
    with pytest.raises(ImageError, match=r"a\.png: PNG files hold no stacks; save it as TIFF"):
        open_stack(path)
