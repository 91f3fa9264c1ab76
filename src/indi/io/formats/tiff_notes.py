"""What microscopes note in a TIFF file beside the pixels: how large one is, and what the channels are called."""

from typing import Any

from indi.io.formats.format import noted


def notes(file: Any) -> dict[str, Any]:
    """Return what OME or ImageJ notes of the pixel size and of the channels, of tifffile's open file."""
    from tifffile import xml2dict

    if file.ome_metadata:
        return _of_ome(xml2dict(file.ome_metadata))
    found = file.imagej_metadata
    if not found:
        return {}
    sizes: dict[str, Any] = {}
    for axis, name in (("y", "YResolution"), ("x", "XResolution")):
        pixels, length = file.pages.first.tags[name].value
        sizes[axis] = length / pixels
    if "spacing" in found:
        sizes["z"] = float(found["spacing"])
    labels = found.get("Labels") if found.get("channels", 1) > 1 else None
    return noted(sizes if "unit" in found else {}, str(found.get("unit")), labels)


def _of_ome(tree: dict[str, Any]) -> dict[str, Any]:
    image = tree["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    sizes = {
        axis: float(pixels[f"PhysicalSize{axis.upper()}"]) for axis in "zyx" if f"PhysicalSize{axis.upper()}" in pixels
    }
    channels = pixels.get("Channel", [])
    names = [channel.get("Name") for channel in (channels if isinstance(channels, list) else [channels])]
    return noted(sizes, str(pixels.get("PhysicalSizeXUnit", "µm")), names)
