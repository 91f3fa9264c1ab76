"""A folder that was interrupted goes on: what is restored in just this way is kept, all else is made again."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indi.io import Image, write
from indi.io.manifest import MANIFEST, Manifest
from indi.restoration.batch import Outcome, plan, restore_files
from indi.restoration.restorer import Restorer
from problems import asking, tiny_model

NAMES = ("a.png", "b.tif", "c.png")


@pytest.fixture(scope="module")
def gray() -> Restorer:
    return Restorer(tiny_model(1, epsilon=0.05), precision="float32")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write(tmp_path / "in" / name, Image(np.random.default_rng(number).integers(0, 256, (20, 27), np.uint8)))
    return tmp_path / "in"


def kept(restorer: Restorer, photographs: Path, out: Path, **options: Any) -> list[bool]:
    outcomes = list(restore_files(restorer, plan([photographs], out), asking(**{"steps": 1, **options})))
    assert [outcome.error for outcome in outcomes] == [None] * len(NAMES)
    assert all(path.exists() for outcome in outcomes for path in outcome.written)
    return [outcome.kept for outcome in outcomes]


def test_what_is_done_is_not_done_again(tmp_path: Path, photographs: Path, gray: Restorer) -> None:
    out = tmp_path / "out"
    assert not next(restore_files(gray, plan([photographs], out), asking(steps=1))).kept  # and here it is interrupted
    before = (out / "a.png").stat().st_mtime_ns
    assert kept(gray, photographs, out) == [True, False, False]
    assert (out / "a.png").stat().st_mtime_ns == before
    assert kept(gray, photographs, out) == [True, True, True]
    about, *lines = (out / MANIFEST).read_text().splitlines()
    assert "indi restored images into this folder" in json.loads(about)["about"]
    assert {json.loads(line)["name"] for line in lines} == set(NAMES)


@pytest.mark.parametrize("options", [{"steps": 2}, {"seed": 1}, {"samples": 2}, {"times": "geometric"}])
def test_what_is_asked_otherwise_is_made_again(
    tmp_path: Path, photographs: Path, gray: Restorer, options: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    kept(gray, photographs, out)
    assert kept(gray, photographs, out, **options) == [False, False, False]
    assert kept(gray, photographs, out, **options) == [True, True, True]


def test_another_model_makes_all_again(tmp_path: Path, photographs: Path, gray: Restorer) -> None:
    kept(gray, photographs, tmp_path / "out")
    other = tiny_model(1, epsilon=0.05)
    with_other_weights = next(iter(other.network.parameters()))
    with_other_weights.data += 1
    assert kept(Restorer(other, precision="float32"), photographs, tmp_path / "out") == [False, False, False]


def test_a_changed_source_or_result_is_made_again(tmp_path: Path, photographs: Path, gray: Restorer) -> None:
    out = tmp_path / "out"
    kept(gray, photographs, out)
    write(photographs / "a.png", Image(np.full((20, 27), 7, np.uint8)))
    (out / "c.png").unlink()
    assert kept(gray, photographs, out) == [False, True, False]
    os.utime(out / "b.tif", ns=(1, 1))  # somebody has worked on it, or restored it from a backup
    assert kept(gray, photographs, out) == [True, False, True]


def test_a_line_cut_off_costs_one_file(tmp_path: Path, photographs: Path, gray: Restorer) -> None:
    out = tmp_path / "out"
    kept(gray, photographs, out)
    manifest = out / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-9])
    assert kept(gray, photographs, out) == [True, True, False]
    assert kept(gray, photographs, out) == [True, True, True]


def test_a_failed_file_is_tried_again(tmp_path: Path, photographs: Path, gray: Restorer) -> None:
    out, broken = tmp_path / "out", photographs / "b.tif"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    outcomes: list[Outcome] = list(restore_files(gray, plan([photographs], out), asking(steps=1)))
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    broken.write_bytes(whole)
    assert kept(gray, photographs, out) == [True, False, True]


def test_a_manifest_that_cannot_be_written_stops_no_other_file(
    tmp_path: Path, photographs: Path, gray: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if self.name == MANIFEST and mode == "a":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    outcomes = list(restore_files(gray, plan([photographs], tmp_path / "out"), asking(steps=1)))
    assert [outcome.error is None for outcome in outcomes] == [True, False, False]
    assert "b.tif is restored: No space left on device" in str(outcomes[1].error)


def test_a_single_file_is_noted_and_always_restored(tmp_path: Path, photographs: Path, gray: Restorer) -> None:
    for _ in range(2):
        (outcome,) = restore_files(gray, plan([photographs / "a.png"], tmp_path / "one"), asking(steps=1))
        assert not outcome.kept
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == [MANIFEST, "a.png"]


def test_all_of_a_files_results_must_be_there(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "sab"]
    for path in paths:
        path.write_text(path.name)
    source, *targets = paths
    Manifest({"steps": 1}).add(source, targets)
    again = Manifest({"steps": 1})
    assert again.has(source, targets)
    assert not again.has(source, targets[:1])
    assert not Manifest({"steps": 2}).has(source, targets)
    targets[1].unlink()
    assert not again.has(source, targets)


def test_a_chunk_of_a_volume_that_changed_is_seen(tmp_path: Path) -> None:
    for chunk in ("source.zarr/0/0", "out.zarr/0/0"):
        (tmp_path / chunk).parent.mkdir(parents=True)
        (tmp_path / chunk).write_text("old")
    manifest = Manifest({})
    source, target = tmp_path / "source.zarr", tmp_path / "out.zarr"
    manifest.add(source, [target])
    assert manifest.has(source, [target])
    (target / "0" / "0").unlink()
    assert not manifest.has(source, [target])
    manifest.add(source, [target])
    (source / "0" / "0").write_text("newer")
    assert not manifest.has(source, [target])
