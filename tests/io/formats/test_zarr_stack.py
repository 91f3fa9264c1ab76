"""Zarr volumes: planes are read region by region and written again as the volume they came from."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from indi.errors import ImageError
from indi.info import info
from indi.io import is_volume
from indi.io.folders import fingerprint
from indi.io.formats.zarr_stack import ZarrStack
from indi.io.image import MapScale
from indi.io.region import Region
from indi.io.stacks import is_stack, open_stack
from indi.restoration.batch import plan, restore_files
from indi.restoration.restorer import Restorer
from problems import asking, tiny_model

zarr = pytest.importorskip("zarr")
Array = npt.NDArray[Any]
SHAPE = (2, 3, 40, 50)
AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "c", "type": "channel"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]


def volume(path: Path, version: str = "0.5", dtype: str = "uint16", shards: Any = None) -> Array:
    """Write an OME-Zarr image of two levels; return its pixels."""
    data = (np.random.default_rng(0).random(SHAPE) * 60000).astype(dtype)
    form = 3 if version == "0.5" else 2
    group = zarr.open_group(str(path), mode="w", zarr_format=form)
    names: dict[str, Any] = {"dimension_names": ["t", "c", "y", "x"]} if form == 3 else {}
    if form == 2:
        names = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    group.create_array("0", shape=SHAPE, chunks=(1, 1, 16, 32), shards=shards, dtype=dtype, **names)[:] = data
    group.create_array("1", shape=(2, 3, 20, 25), chunks=(1, 1, 16, 25), dtype=dtype, **names)[:] = data[..., ::2, ::2]
    levels = [
        {"path": name, "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 0.2 * step, 0.2 * step]}]}
        for name, step in (("0", 1), ("1", 2))
    ]
    images = {"multiscales": [{"axes": AXES, "datasets": levels, "name": "cells", "version": "0.4"}]}
    omero = {"omero": {"channels": [{"label": name, "color": "FFFFFF"} for name in ("DAPI", "GFP", "RFP")]}}
    group.attrs.update({"ome": {"version": "0.5", **images, **omero}} if form == 3 else {**images, **omero})
    return data


def rows_of(planes: Array) -> Callable[[int], Callable[[int, int], Array]]:
    return lambda number: lambda start, stop: planes[number, start:stop]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_planes_are_those_of_the_array(tmp_path: Path, version: str, dtype: str) -> None:
    data = volume(tmp_path / "a.zarr", version, dtype)
    assert is_volume(tmp_path / "a.zarr")
    assert is_stack(tmp_path / "a.zarr", 10**9)
    with open_stack(tmp_path / "a.zarr") as stack:
        assert [(h.height, h.width, h.channels, h.dtype) for h in stack.headers] == [(40, 50, 1, np.dtype(dtype))] * 6
        for number, plane in enumerate(data.reshape(-1, 40, 50)):
            for region in (Region(0, 0, 40, 50), Region(7, 30, 33, 49)):
                found = stack.pixels(number, region)
                assert found.dtype == plane.dtype
                np.testing.assert_array_equal(found, plane[region.top : region.bottom, region.left : region.right])


@pytest.mark.parametrize(("version", "shards"), [("0.4", None), ("0.5", None), ("0.5", (1, 1, 48, 64))])
def test_it_is_written_again_with_all_that_it_said(tmp_path: Path, version: str, shards: Any) -> None:
    data = volume(tmp_path / "a.zarr", version, shards=shards)
    planes = data.reshape(-1, 40, 50)[::-1].copy()
    ZarrStack(tmp_path / "a.zarr").write_like(tmp_path / "b.zarr", rows_of(planes))
    old, new = (zarr.open_group(str(tmp_path / name), mode="r") for name in ("a.zarr", "b.zarr"))
    np.testing.assert_array_equal(new["0"][:].reshape(planes.shape), planes)
    for what in ("chunks", "shards", "dtype", "compressors", "metadata"):
        assert getattr(new["0"], what) == getattr(old["0"], what), what
    before, after = (dict(group.attrs).get("ome", dict(group.attrs)) for group in (old, new))
    assert after["omero"] == before["omero"]
    assert after["multiscales"][0]["axes"] == before["multiscales"][0]["axes"]
    assert after["multiscales"][0]["datasets"] == before["multiscales"][0]["datasets"]
    assert sorted(new.array_keys()) == ["0", "1"]
    for what in ("shape", "chunks", "shards", "dtype", "compressors", "metadata"):
        assert getattr(new["1"], what) == getattr(old["1"], what), what
    blocks = new["0"][:].reshape(2, 3, 20, 2, 25, 2)
    np.testing.assert_array_equal(new["1"][:], np.rint(blocks.mean(axis=(3, 5))))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


def test_levels_that_are_none_are_left_out_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One is damaged, one missing, one flat, one no mean over blocks; the damage of one does not make the image so."""
    data = volume(tmp_path / "a.zarr")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="a")
    for name, shape in (("broken", (2, 3, 20, 25)), ("flat", (20, 25)), ("other", (2, 3, 27, 33))):
        group.create_array(name, shape=shape, dtype="uint16")
    (tmp_path / "a.zarr" / "broken" / "zarr.json").write_text("{")
    ome = dict(group.attrs)["ome"]
    (image,) = ome["multiscales"]
    full, half = image["datasets"]
    image["datasets"] = [full, *({"path": name} for name in ("broken", "lost", "flat", "other")), half]
    image |= {"type": "gaussian", "metadata": {"method": "skimage.transform.pyramid_gaussian"}}
    ome["multiscales"].append({**image, "datasets": [{"path": "flat"}]})
    group.attrs["ome"] = ome
    with caplog.at_level("WARNING", logger="indi"):
        ZarrStack(tmp_path / "a.zarr").write_like(tmp_path / "b.zarr", rows_of(data.reshape(-1, 40, 50)))
    new = zarr.open_group(str(tmp_path / "b.zarr"), mode="r")
    (image,) = dict(new.attrs)["ome"]["multiscales"]
    assert [level["path"] for level in image["datasets"]] == sorted(new.array_keys()) == ["0", "1"]
    assert image["type"] == "mean"
    assert "metadata" not in image
    left = [line for line in caplog.messages if "is left out: it is damaged, or no level" in line]
    assert [line.split("level ")[1].split()[0] for line in left] == ["broken", "lost", "flat", "other"]
    assert any("only the first of 2 images" in line for line in caplog.messages)


@pytest.mark.parametrize("shards", [None, (2, 3, 32, 64)])
def test_each_file_of_chunks_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: tuple[int, ...] | None
) -> None:
    """Also where several planes share a file, and where gathered values are few."""
    monkeypatch.setattr("indi.io.formats.zarr_stack._BLOCK", 1)
    data = np.random.default_rng(0).integers(0, 60000, SHAPE).astype(np.uint16)
    array = zarr.create_array(
        store=str(tmp_path / "a.zarr"), shape=SHAPE, chunks=(2, 3, 16, 32), shards=shards, dtype="uint16"
    )
    array[:] = data
    written: list[str] = []
    setitem = zarr.Array.__setitem__

    def noted(self: Any, part: Any, values: Any) -> None:
        sides = self.shards or self.chunks
        written.append(str([each.start // side for each, side in zip(part, sides, strict=True)]))
        setitem(self, part, values)

    monkeypatch.setattr(zarr.Array, "__setitem__", noted)
    ZarrStack(tmp_path / "a.zarr").write_like(tmp_path / "b.zarr", rows_of(data.reshape(-1, 40, 50)))
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "b.zarr"), mode="r")[:], data)
    assert len(written) == len(set(written)) == (6 if shards is None else 2)


@pytest.mark.medium
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_independent_reader_finds_the_image(tmp_path: Path, version: str) -> None:
    reader = pytest.importorskip("ome_zarr.reader")
    location = pytest.importorskip("ome_zarr.io")
    data = volume(tmp_path / "a.zarr", version)
    planes = 60000 - data.reshape(-1, 40, 50)
    ZarrStack(tmp_path / "a.zarr").write_like(tmp_path / "b.zarr", rows_of(planes))
    (node,) = list(reader.Reader(location.parse_url(tmp_path / "b.zarr"))())
    np.testing.assert_array_equal(np.asarray(node.data[0]).reshape(planes.shape), planes)
    assert [level.shape for level in node.data] == [SHAPE, (2, 3, 20, 25)]
    assert [axis["name"] for axis in node.metadata["axes"]] == ["t", "c", "y", "x"]
    assert node.metadata["channel_names"] == ["DAPI", "GFP", "RFP"]


def test_a_plain_array_is_a_volume_too(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
    array = zarr.create_array(store=str(tmp_path / "a.zarr"), shape=data.shape, chunks=(1, 20, 30), dtype="float32")
    array[:] = data
    array.attrs["unit"] = "counts"
    ZarrStack(tmp_path / "a.zarr").write_like(tmp_path / "b.zarr", rows_of(data * 2))
    again = zarr.open_array(str(tmp_path / "b.zarr"), mode="r")
    np.testing.assert_array_equal(again[:], data * 2)
    assert again.attrs["unit"] == "counts"


@pytest.mark.medium
def test_a_volume_is_restored_plane_by_plane_into_one_of_its_kind(tmp_path: Path) -> None:
    data = volume(tmp_path / "a.zarr")
    restorer = Restorer(tiny_model(1, epsilon=0.05), precision="float32")
    (outcome,) = restore_files(restorer, plan([tmp_path / "a.zarr"], tmp_path / "out"), asking(steps=2, samples=2))
    assert outcome.error is None
    assert [path.name for path in outcome.written] == [
        f"a_{what}.zarr" for what in ("s01", "s02", "mean", "spread", "invented")
    ] + ["a_overlay.png"]
    for number, plane in enumerate(data.reshape(-1, 40, 50)):
        wanted = restorer.restore(plane, steps=2, samples=2, plane=number)
        for path, one in zip(outcome.written[:2], wanted, strict=True):
            np.testing.assert_array_equal(zarr.open_group(str(path))["0"][:].reshape(-1, 40, 50)[number], one)
    spread = zarr.open_group(str(outcome.written[3]))["0"]
    assert spread.dtype == np.float32
    assert spread[:].max() > 0
    (outcome,) = restore_files(restorer, plan([tmp_path / "a.zarr"], tmp_path / "named.zarr"), asking(steps=1))
    assert outcome.written == (tmp_path / "named.zarr",)


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    """A folder may hold what is nowhere else: the volume itself, labels, notes."""
    restorer = Restorer(tiny_model(1, epsilon=0.05), precision="float32")
    volume(tmp_path / "a.zarr")
    (tmp_path / "out" / "a.zarr").mkdir(parents=True)
    (tmp_path / "out" / "a.zarr" / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for source, out, says in (
        ("a.zarr", "out", "is there already"),
        ("a.zarr", "a.zarr", "is an input"),
        ("a.zarr/0", "a.zarr", "is an input"),
        ("a.zarr", "a.zarr/more", "is an input"),
    ):
        (outcome,) = restore_files(restorer, plan([tmp_path / source], tmp_path / out), asking(steps=1))
        assert says in str(outcome.error), (source, out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    with pytest.raises(ImageError, match="is there already"):
        ZarrStack(tmp_path / "a.zarr").write_like(tmp_path / "out" / "a.zarr", rows_of(np.zeros((6, 40, 50))))


def test_volumes_in_a_folder_and_within_others_are_found_and_named(tmp_path: Path) -> None:
    volume(tmp_path / "in" / "b.zarr")
    (job,) = plan([tmp_path / "in"], tmp_path / "out")
    assert (job.source, job.target) == (tmp_path / "in" / "b.zarr", tmp_path / "out" / "b.zarr")
    (job,) = plan([tmp_path / "in" / "b.zarr" / "0"], tmp_path / "out")
    assert job.target == tmp_path / "out" / "0.zarr"
    facts = info(tmp_path / "in" / "b.zarr")
    assert (facts["kind"], facts["height"], facts["width"], facts["pictures"]) == ("image", 40, 50, 6)


@pytest.mark.medium
def test_a_map_does_not_inherit_the_range_to_show(tmp_path: Path) -> None:
    volume(tmp_path / "a.zarr")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="a")
    ome = dict(group.attrs["ome"])
    ome["omero"]["channels"][0]["window"] = {"start": 0, "end": 1500, "min": 0, "max": 65535}
    group.attrs["ome"] = ome
    stack, planes = ZarrStack(tmp_path / "a.zarr"), np.zeros((6, 40, 50), np.float32)
    stack.write_like(tmp_path / "same.zarr", rows_of(planes.astype(np.uint16)))
    stack.write_like(tmp_path / "map.zarr", rows_of(planes), MapScale(2.5, "counts"))
    same, other = (dict(zarr.open_group(str(tmp_path / f"{name}.zarr")).attrs)["ome"] for name in ("same", "map"))
    assert same["omero"] == ome["omero"]
    assert other["omero"]["channels"][0]["window"] == {"start": 0, "end": 2.5, "min": 0, "max": 2.5}
    assert other["omero"]["channels"][0]["label"] == "DAPI"


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        ("chunk", "damaged Zarr"),
        ("metadata", "damaged Zarr"),
        ("group", "without an OME image"),
        ("axes", "y and x must come last"),
        ("type", "uint8, uint16 or float32"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, breaks: str, says: str) -> None:
    path = tmp_path / "a.zarr"
    volume(path, dtype="int32" if breaks == "type" else "uint16")
    if breaks == "chunk":
        chunk = next(file for file in (path / "0" / "c").rglob("*") if file.is_file())
        chunk.write_bytes(chunk.read_bytes()[:20])
    elif breaks == "metadata":
        (path / "0" / "zarr.json").write_text("{")
    else:
        group = zarr.open_group(str(path), mode="a")
        ome = dict(group.attrs["ome"])
        if breaks == "group":
            del ome["multiscales"]
        elif breaks == "axes":
            ome["multiscales"][0]["axes"] = ome["multiscales"][0]["axes"][::-1]
        group.attrs["ome"] = ome
    with pytest.raises(ImageError, match=rf"a\.zarr: .*{says}"):
        read_all(path)


def read_all(path: Path) -> None:
    stack = ZarrStack(path)
    for number in range(6):
        stack.pixels(number, Region(0, 0, 40, 50))


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["v2", "v3", "index first", "index last"])
def test_a_chunk_that_is_cut_short_is_named(tmp_path: Path, kind: str, share: float) -> None:
    """Blosc reads on behind the end of a cut chunk, and finds other pixels."""
    path, data = tmp_path / "a.zarr", (np.random.default_rng(0).random((6, 40, 50)) * 60000).astype(np.uint16)
    how: dict[str, Any] = {"zarr_format": 3, "compressors": zarr.codecs.BloscCodec(cname="lz4")}
    if kind == "v2":
        numcodecs = pytest.importorskip("numcodecs")
        how = {"zarr_format": 2, "compressors": numcodecs.Blosc(cname="lz4")}
    elif kind != "v3":
        how["shards"] = {"shape": (2, 32, 32), "index_location": "start" if kind == "index first" else "end"}
    zarr.create_array(store=str(path), shape=data.shape, chunks=(1, 16, 32), dtype="uint16", **how)[:] = data
    read_all(path)
    chunk = path / ("1.1.1" if kind == "v2" else "c/1/1/1")
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: int(share * len(whole))])
    says = (
        "damaged Zarr: .*"
        if kind == "index last"
        else rf"chunk (1\.1\.1|c/1/1/1) is cut short: {chunk.stat().st_size} of "
    )
    with pytest.raises(ImageError, match=rf"a\.zarr: {says}"):
        read_all(path)
    np.testing.assert_array_equal(ZarrStack(path).pixels(0, Region(0, 0, 16, 32)), data[0, :16, :32])


@pytest.mark.parametrize(
    ("version", "shards", "says"),
    [("0.4", None, "2 of 36 chunks"), ("0.5", None, "2 of 36 chunks"), ("0.5", (1, 1, 48, 32), "2 of 12 shards")],
)
def test_missing_chunks_are_counted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str, shards: Any, says: str
) -> None:
    volume(tmp_path / "a.zarr", version, shards=shards)
    read_all(tmp_path / "a.zarr")
    assert not caplog.messages
    chunks = sorted(path for path in (tmp_path / "a.zarr" / "0").rglob("0") if path.is_file())
    for chunk in chunks[:2]:
        chunk.unlink()
    (tmp_path / "a.zarr" / "0" / "notes 1 1 0 0.txt").write_text("no chunk")
    for _ in range(2):
        read_all(tmp_path / "a.zarr")
    (line,) = caplog.messages
    assert f"a.zarr: {says} are missing and read as 0; " in line


def test_a_fingerprint_tells_every_change(tmp_path: Path) -> None:
    volume(tmp_path / "a.zarr")
    first = fingerprint(tmp_path / "a.zarr")
    assert first == fingerprint(tmp_path / "a.zarr")
    found = {first}
    chunk = tmp_path / "a.zarr" / "0" / "c" / "1" / "2" / "2" / "1"
    status, data = chunk.stat(), chunk.read_bytes()
    os.utime(chunk, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    found.add(fingerprint(tmp_path / "a.zarr"))
    chunk.write_bytes(data + b"0")
    os.utime(chunk, ns=(status.st_atime_ns, status.st_mtime_ns))
    found.add(fingerprint(tmp_path / "a.zarr"))
    chunk.write_bytes(data)
    os.utime(chunk, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(tmp_path / "a.zarr") == first
    chunk.rename(chunk.with_name("3"))
    found.add(fingerprint(tmp_path / "a.zarr"))
    chunk.with_name("3").unlink()
    found.add(fingerprint(tmp_path / "a.zarr"))
    assert len(found) == 5
    with pytest.raises(ImageError, match=r"b\.zarr: "):
        fingerprint(tmp_path / "b.zarr")


@pytest.mark.medium
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_lies_beside_the_image_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str) -> None:
    volume(tmp_path / "a.zarr", version)
    planes = np.zeros((6, 40, 50), np.uint16)
    ZarrStack(tmp_path / "a.zarr").write_like(tmp_path / "b.zarr", rows_of(planes))
    assert not caplog.messages
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="a")
    group.create_group("labels").create_array("nuclei", shape=(40, 50), dtype="uint8")
    group.create_group("tables")
    stack = ZarrStack(tmp_path / "a.zarr")
    for name in ("c", "d"):
        stack.write_like(tmp_path / f"{name}.zarr", rows_of(planes))
    (line,) = caplog.messages
    assert line.endswith("a.zarr: only the image is written, without what lies beside it: labels, tables")


@pytest.mark.parametrize("form", [2, 3])
def test_a_plain_array_whose_names_do_not_end_in_y_and_x_is_refused(tmp_path: Path, form: int) -> None:
    def made(name: str, axes: list[str | None]) -> Path:
        how: dict[str, Any] = {"dimension_names": axes} if form == 3 else {"attributes": {"_ARRAY_DIMENSIONS": axes}}
        shape = (40, 50, 3)
        zarr.create_array(store=str(tmp_path / name), shape=shape, dtype="uint8", zarr_format=form, **how)[:] = 1
        return tmp_path / name

    with pytest.raises(ImageError, match=r"a\.zarr: has axes y, x, c; y and x must come last"):
        ZarrStack(made("a.zarr", ["y", "x", "c"]))
    rows: list[tuple[str, list[str | None], str]]
    rows = [("z", ["z", "y", "x"], "Z"), ("t", ["time", "Y", "X"], "I"), ("n", [None, None, None], "I")]
    for name, axes, letters in rows:
        with open_stack(made(f"{name}.zarr", axes)) as stack:
            assert (stack.axes, stack.places) == (letters, (40,))


@pytest.mark.medium
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_layout_of_bioformats2raw(tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str) -> None:
    form = 3 if version == "0.5" else 2
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=form)
    layout = {"bioformats2raw.layout": 3}
    group.attrs.update({"ome": {"version": "0.5", **layout}} if form == 3 else layout)
    group.create_group("OME")
    with pytest.raises(ImageError, match="without an OME image"):
        ZarrStack(tmp_path / "a.zarr")
    planes = volume(tmp_path / "a.zarr" / "0", version).reshape(-1, 40, 50)
    stack = ZarrStack(tmp_path / "a.zarr")
    for number, plane in enumerate(planes):
        np.testing.assert_array_equal(stack.pixels(number, Region(0, 0, 40, 50)), plane)
    stack.write_like(tmp_path / "b.zarr", rows_of(planes[::-1]))
    np.testing.assert_array_equal(ZarrStack(tmp_path / "b.zarr").pixels(0, Region(0, 0, 40, 50)), planes[-1])
    assert [line for line in caplog.messages if line.endswith("beside it: OME")]
    for number in (10, 2):
        volume(tmp_path / "a.zarr" / str(number), version)
    with pytest.raises(ImageError, match="holds 3 images; give the folder of one: 0, 2, 10"):
        ZarrStack(tmp_path / "a.zarr")


@pytest.mark.parametrize("dtype", [">u2", ">f4"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_big_endian_pixels_are_read_and_written_as_such(tmp_path: Path, version: str, dtype: str) -> None:
    planes = volume(tmp_path / "a.zarr", version, dtype).reshape(-1, 40, 50)
    stack = ZarrStack(tmp_path / "a.zarr")
    native = np.dtype(dtype).newbyteorder("=")
    assert stack.headers[0].dtype == native
    found = stack.pixels(1, Region(0, 0, 40, 50))
    assert found.dtype == native
    np.testing.assert_array_equal(found, planes[1])
    stack.write_like(tmp_path / "b.zarr", rows_of(planes[::-1].astype(native)))
    old, new = (zarr.open_group(str(tmp_path / name), mode="r")["0"] for name in ("a.zarr", "b.zarr"))
    assert new.metadata == old.metadata
    np.testing.assert_array_equal(new[:].reshape(planes.shape), planes[::-1])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_says_which_folders_to_give(tmp_path: Path, version: str) -> None:
    form = 3 if version == "0.5" else 2
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=form)
    plate = {"plate": {"wells": [{"path": "B/2", "rowIndex": 1, "columnIndex": 1}, {"path": "B/3"}]}}
    group.attrs.update({"ome": {"version": "0.5", **plate}} if form == 3 else plate)
    with pytest.raises(ImageError, match=r"a\.zarr: is a plate of 2 wells: give the folders of its images, .* B/2/0"):
        open_stack(tmp_path / "a.zarr")
