"""What microscopes note beside the pixels: how large one is, and what the channels are called."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from indi.io.formats.zarr_stack import is_zarr


def pixel_sizes(path: Path) -> dict[str, Any]:
    """Return the pixel size by axis with its unit, and the names of the channels, of a TIFF file or a Zarr volume.

    Only what the file says: by ImageJ, OME or OME-Zarr. What cannot be understood is left out.
    """
    with suppress(Exception):  # notes of other programs, which hold anything; the pixels do not hang on them
        return _of_zarr(path) if is_zarr(path) else _of_tiff(path)
    return {}


def _of_tiff(path: Path) -> dict[str, Any]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        if file.ome_metadata:
            return _of_ome(tifffile.xml2dict(file.ome_metadata))
        notes = file.imagej_metadata
        if not notes:
            return {}
        tags = file.pages.first.tags
        sizes: dict[str, Any] = {}
        for axis, name in (("y", "YResolution"), ("x", "XResolution")):
            pixels, length = tags[name].value
            sizes[axis] = length / pixels
        if "spacing" in notes:
            sizes["z"] = float(notes["spacing"])
        found = {"pixel_size": {**sizes, "unit": str(notes.get("unit", "pixel"))}} if "unit" in notes else {}
        return found | _named(notes.get("Labels") if notes.get("channels", 1) > 1 else None)


def _of_ome(tree: dict[str, Any]) -> dict[str, Any]:
    image = tree["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    sizes = {
        axis: float(pixels[f"PhysicalSize{axis.upper()}"]) for axis in "zyx" if f"PhysicalSize{axis.upper()}" in pixels
    }
    channels = pixels.get("Channel", [])
    names = [channel.get("Name") for channel in (channels if isinstance(channels, list) else [channels])]
    unit = str(pixels.get("PhysicalSizeXUnit", "µm"))
    return ({"pixel_size": {**sizes, "unit": unit}} if sizes else {}) | _named(names)


def _of_zarr(path: Path) -> dict[str, Any]:
    import zarr

    attributes = dict(zarr.open(path, mode="r").attrs)
    notes = attributes.get("ome", attributes)
    first = notes["multiscales"][0]
    (scale,) = [each["scale"] for each in first["datasets"][0]["coordinateTransformations"] if each["type"] == "scale"]
    spatial = [
        (axis["name"], float(size), axis.get("unit"))
        for axis, size in zip(first["axes"], scale, strict=True)
        if axis.get("type") == "space"
    ]
    sizes = {name: size for name, size, _ in spatial}
    names = [channel.get("label") for channel in notes.get("omero", {}).get("channels", [])]
    return {"pixel_size": {**sizes, "unit": str(spatial[-1][2] or "pixel")}} | _named(names)


def _named(names: list[Any] | None) -> dict[str, Any]:
    return {"channel_names": [str(name) for name in names]} if names and all(names) else {}
