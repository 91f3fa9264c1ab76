"""Cut and flipped files of every format: an image of the claimed shape, or one line; never anything else."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from image_makers import camera_exif, random_pixels, smooth_colour, srgb_profile
from indi.errors import ImageError
from indi.io import Image, Metadata, read, read_header, write

METADATA = Metadata(icc=srgb_profile(), exif=camera_exif().tobytes()[6:], xmp=b"<x/>")
NAMES = (
    "8.png",
    "16.png",
    "palette.png",
    "a.jpg",
    "progressive.jpg",
    "a.tif",
    "f.tif",
    "tiles.tif",
    "jpeg.tif",
    "big.tif",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    colour = random_pixels("u2", 20, 24, 3)
    write(folder / "8.png", Image(smooth_colour(), None, METADATA))
    write(folder / "16.png", Image(colour, colour[..., 0], METADATA))
    Pillow.fromarray(smooth_colour()).quantize(16).save(folder / "palette.png", transparency=3)
    write(folder / "a.jpg", Image(smooth_colour(), None, METADATA))
    Pillow.fromarray(smooth_colour()).save(folder / "progressive.jpg", progressive=True)
    write(folder / "a.tif", Image(colour, colour[..., 0], METADATA))
    write(folder / "f.tif", Image(random_pixels("f4", 20, 24)))
    tifffile.imwrite(folder / "tiles.tif", colour, photometric="rgb", tile=(16, 16), compression="lzw")
    tifffile.imwrite(folder / "jpeg.tif", smooth_colour(), photometric="ycbcr", compression="jpeg")
    tifffile.imwrite(folder / "big.tif", colour, photometric="rgb", bigtiff=True, byteorder=">")
    return {name: (folder / name).read_bytes() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_whole_files_are_read(files: dict[str, bytes], name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(files[name])
    assert read(tmp_path / name).pixels.size > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_is_refused_wherever_it_was_cut(
    files: dict[str, bytes], name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, path = files[name], tmp_path / name
    spread = np.linspace(0, len(whole) - 1, 40).astype(int).tolist()
    for length in {*spread, *range(30), *range(len(whole) - 20, len(whole))}:
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.medium
@pytest.mark.parametrize("name", NAMES)
def test_flipped_bytes_give_an_image_or_one_line(
    files: dict[str, bytes], name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, path = files[name], tmp_path / name
    generator = np.random.default_rng(0)
    refusals: list[str] = []
    for _ in range(200):
        data = bytearray(whole)
        early = generator.random() < 0.5  # where the structure is
        data[generator.integers(min(len(data), 400) if early else len(data))] = generator.integers(256)
        path.write_bytes(data)
        try:
            image, header = read(path, max_pixels=2**24), read_header(path)
        except ImageError as error:
            refusals.append(str(error))
            continue
        assert image.pixels.shape[:2] == (header.height, header.width)
        assert (image.channels, image.pixels.dtype) == (header.channels, header.dtype)
    assert capfd.readouterr() == ("", "")
    assert all("\n" not in refusal for refusal in refusals)
