from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from indi.io.channel_names import channel_names

NAMES = ["DAPI", "GFP", "RFP"]


@pytest.mark.parametrize(
    ("axes", "options", "found"),
    [
        ("ZCYX", {}, [["DAPI"], ["GFP"], ["RFP"], ["DAPI"], ["GFP"], ["RFP"]]),
        ("CZYX", {}, [["DAPI"], ["DAPI"], ["GFP"], ["GFP"], ["RFP"], ["RFP"]]),
        ("ZCYX", {"channels": 3}, [NAMES, NAMES]),  # a picture of three channels
        ("ZCYX", {"axes": "ZYX"}, [[]] * 6),  # somebody says that the file is wrong
    ],
)
def test_a_picture_is_of_the_channel_that_its_place_says(
    tmp_path: Path, axes: str, options: dict[str, Any], found: list[list[str]]
) -> None:
    shape = [{"Z": 2, "C": 3, "Y": 8, "X": 9}[axis] for axis in axes]
    metadata = {"axes": axes, "Channel": {"Name": NAMES}}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros(shape, np.uint16), metadata=metadata)
    path = tmp_path / "a.ome.tif"
    assert [channel_names(path, number, **options) for number in range(len(found))] == found


def test_nothing_is_said_of_files_that_say_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 8, 9), np.uint16), imagej=True)
    (tmp_path / "b.tif").write_bytes(b"no")
    assert [channel_names(tmp_path / name) for name in ("a.tif", "b.tif", "none.tif")] == [[], [], []]
