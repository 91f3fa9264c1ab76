"""How large a pixel is in the sample, where a microscope's file says so."""

import json
import re
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from indi.io.formats.zarr_stack import is_zarr

_MICROMETRES = {
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
}
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")  # as ImageJ writes the letter


def pixel_size(path: Path) -> float | None:
    """Return the width of a pixel in micrometres, by OME-TIFF, ImageJ or OME-Zarr; None where none of them says it.

    The dots per inch of other files are those of a print.
    """
    size = None
    with suppress(Exception):  # whatever damaged files raise: others say what is wrong with them
        size = _of_zarr(path) if is_zarr(path) else _of_tiff(path) if path.suffix.lower() in (".tif", ".tiff") else None
    return size if size is not None and 0 < size < 1e6 else None


def _of_tiff(path: Path) -> float | None:
    from tifffile import TiffFile

    with TiffFile(path) as file:
        if file.is_ome:
            pixels = ElementTree.fromstring(file.ome_metadata or "").find(".//{*}Pixels")
            if pixels is None or "PhysicalSizeX" not in pixels.attrib:
                return None
            return _in(float(pixels.attrib["PhysicalSizeX"]), pixels.get("PhysicalSizeXUnit", "µm"))
        unit = (file.imagej_metadata or {}).get("unit")
        tag = file.pages[0].tags.get("XResolution")
        if unit is None or tag is None:
            return None
        per, pixels_of = tag.value[1], tag.value[0]
        return _in(per / pixels_of, str(unit))


def _of_zarr(path: Path) -> float | None:
    for name in ("zarr.json", ".zattrs"):
        if (path / name).is_file():
            found = json.loads((path / name).read_text(encoding="utf-8"))
            attributes = found.get("attributes", found)
            (image, *_) = attributes.get("ome", attributes)["multiscales"]
            (scale,) = [one["scale"] for one in image["datasets"][0]["coordinateTransformations"] if "scale" in one]
            return _in(float(scale[-1]), image["axes"][-1].get("unit", ""))
    return None


def _in(size: float, unit: str) -> float | None:
    unit = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), unit)
    factor = _MICROMETRES.get(unit.strip().lower())
    return None if factor is None else size * factor
