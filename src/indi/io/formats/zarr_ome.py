"""What a Zarr volume says of itself: OME-Zarr 0.4 and 0.5, and the names of plain arrays' axes.

Source: the OME-NGFF specifications 0.4 and 0.5, https://ngff.openmicroscopy.org.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from indi.errors import ImageError
from indi.io.formats.format import noted
from indi.io.formats.pyramid import are_blocks
from indi.io.image import MapScale

log = logging.getLogger("indi")

MARKS = ("zarr.json", ".zgroup", ".zarray")
SHOWN = 8  # names in a line


def image_of(group: Any) -> Any:
    """Return the group of an OME image: this one, or the only one in it where bioformats2raw laid it out."""
    attributes = dict(group.attrs)
    if multiscales(attributes):
        return group
    if "plate" in attributes.get("ome", attributes):
        raise ImageError(_plate(group))
    images = []
    if "bioformats2raw.layout" in attributes.get("ome", attributes):
        names = sorted(group.group_keys(), key=lambda name: (len(name), name))
        images = [name for name in names if multiscales(dict(group[name].attrs))]
    if not images:
        raise ImageError("is a Zarr group without an OME image; give the folder of an image or of an array")
    if len(images) > 1:
        names = [*images[:SHOWN], "…"] if len(images) > SHOWN else images
        raise ImageError(f"holds {len(images)} images; give the folder of one: {', '.join(names)}")
    return group[images[0]]


def _plate(group: Any) -> str:
    """Return what to do with a plate of wells, each of which holds fields of view."""
    attributes = dict(group.attrs)
    wells = [str(well["path"]) for well in attributes.get("ome", attributes)["plate"].get("wells", []) if well]
    fields = f": give the folders of its images, such as {wells[0]}/0" if wells else ", and it names no well"
    return f"is a plate of {len(wells)} wells{fields}"


def full_resolution(group: Any) -> tuple[str, Any, list[str]]:
    """Return path and array of the full resolution of an image, and its axes but Y and X."""
    image = multiscales(dict(group.attrs))[0]
    axes = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes", ["y", "x"])]
    level = str(image["datasets"][0]["path"])
    return level, group[level], leading_axes(axes)


def scale_of(dataset: dict[str, Any]) -> list[float]:
    """Return how large pixels are along each axis, by OME's attributes of a level; nothing where they do not say."""
    for transformation in dataset.get("coordinateTransformations", []):
        if transformation.get("type") == "scale":
            return list(transformation.get("scale", []))
    return []


def factors_of(coarse: Sequence[int], fine: Sequence[int], scale: list[float], above: list[float]) -> list[int] | None:
    """Return how many pixels of a finer level become one, by their scales or else shapes; None where that is not so."""
    if len(coarse) != len(fine):
        return None
    larger = [s / a for s, a in zip(scale, above, strict=True)] if len(scale) == len(above) == len(fine) else []
    factors = [round(factor) for factor in larger or (n / c for n, c in zip(fine, coarse, strict=True))]
    return factors if are_blocks(coarse, fine, factors) else None


def axis_names(array: Any) -> list[str]:
    """Return the names of a plain array's axes: version 2 has none, but xarray notes them; y and x where none has."""
    names = getattr(array.metadata, "dimension_names", None) or dict(array.attrs).get("_ARRAY_DIMENSIONS") or []
    return [name or "?" for name in names] if any(names) else ["y", "x"]


def leading_axes(axes: list[str]) -> list[str]:
    """Return the axes but Y and X, which must come last."""
    if [name.lower() for name in axes[-2:]] != ["y", "x"]:
        raise ImageError(f"has axes {', '.join(axes)}; y and x must come last")
    return [name.upper() for name in axes[:-2]]


def beside(path: Path, group: Any) -> list[str]:
    """Return what lies in the folder of a volume, or in that of its image, and is no part of the image: labels, say."""
    image = path / group.path
    levels = [image / str(level["path"]) for level in multiscales(dict(group.attrs))[0]["datasets"]]
    return sorted(
        below.relative_to(path).as_posix()
        for folder in {path, image}
        for below in folder.iterdir()
        if not below.name.startswith(".")
        and below.name not in MARKS
        and not any(level.is_relative_to(below) for level in levels)
    )


def multiscales(attributes: dict[str, Any]) -> list[Any]:
    """Return OME's list of images: under "ome" from version 0.5 on."""
    found = attributes.get("ome", attributes).get("multiscales", [])
    return found if isinstance(found, list) else []


def of_levels(attributes: dict[str, Any], levels: list[str]) -> dict[str, Any]:
    """Return OME's attributes with these levels of the image and no others, and without how the old ones were made."""
    image, *others = multiscales(attributes)
    if others:
        log.warning("only the first of %d images of one group is written", len(others) + 1)
    image["datasets"] = [level for level in image["datasets"] if str(level["path"]) in levels]
    image.pop("metadata", None)
    if "type" in image:
        image["type"] = "mean"
    attributes.get("ome", attributes)["multiscales"] = [image]
    return attributes


def with_windows(attributes: dict[str, Any], scale: MapScale) -> dict[str, Any]:
    """Return OME's attributes with the range that a viewer shows of a map."""
    for channel in attributes.get("ome", attributes).get("omero", {}).get("channels", []):
        channel["window"] = {"min": 0.0, "max": scale.high, "start": 0.0, "end": scale.high}
    return attributes


def notes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what OME's attributes of a group note of the pixel size and of the channels."""
    found = attributes.get("ome", attributes)
    first = found["multiscales"][0]
    (scale,) = [each["scale"] for each in first["datasets"][0]["coordinateTransformations"] if each["type"] == "scale"]
    spatial = [
        (axis["name"], float(size), axis.get("unit"))
        for axis, size in zip(first["axes"], scale, strict=True)
        if axis.get("type") == "space"
    ]
    sizes = {name: size for name, size, _ in spatial}
    names = [channel.get("label") for channel in found.get("omero", {}).get("channels", [])]
    return noted(sizes, str(spatial[-1][2] or "pixel"), names)
