from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from indi.io import Image, Metadata, Resolution, write
from indi.io.pixel_size import pixel_size

DATA = np.zeros((2, 20, 30), np.uint16)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.2}}, 0.2),
        ({"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 65, "PhysicalSizeXUnit": "nm"}}, 0.065),
        ({"ome": True, "metadata": {"axes": "ZYX"}}, None),
        ({"imagej": True, "resolution": (8, 8), "metadata": {"unit": "um"}}, 0.125),
        ({"imagej": True, "resolution": (8, 8), "metadata": {"unit": "\\u00B5m"}}, 0.125),
        ({"imagej": True, "resolution": (8, 8), "metadata": {"unit": "inch"}}, None),
        ({"imagej": True}, None),
        ({"resolution": (300, 300)}, None),  # of a print
    ],
)
def test_a_pixel_is_as_large_as_the_file_says(tmp_path: Path, options: dict[str, Any], size: float | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DATA, **options)
    assert pixel_size(tmp_path / "a.tif") == (None if size is None else pytest.approx(size))


def test_a_volume_says_it_by_its_scale(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("0", data=DATA)
    transform = [{"type": "scale", "scale": [1.0, 0.3, 0.3]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": transform}]}
    ]
    assert pixel_size(tmp_path / "a.zarr") == pytest.approx(0.3)


def test_what_is_damaged_or_no_microscopes_says_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image(DATA[0], metadata=Metadata(resolution=Resolution(300, 300, "inch"))))
    (tmp_path / "b.tif").write_bytes(b"II*\0nothing")
    for name in ("a.png", "b.tif", "missing.tif"):
        assert pixel_size(tmp_path / name) is None
