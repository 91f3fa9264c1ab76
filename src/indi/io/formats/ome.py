"""The description of OME-TIFF: how many pictures it needs in a file, and what stays true of it in another.

Source: the OME data model and OME-TIFF, 2016-06, https://docs.openmicroscopy.org/ome-model.
"""

import math
import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from indi.errors import ImageError
from indi.io.image import MAX_PLANES

_AXES = "ZCT"
_COUNTS = (*(f"{what}{axis}" for what in ("Size", "First") for axis in _AXES), "IFD", "PlaneCount", "NumPlanes")
_TYPE = re.compile(rb'(<Pixels\b[^>]*\bType=")[^"]*"')
_PLACE = re.compile(rb'(?<=\sIFD=")[0-9]+(?=")')
_BITS = re.compile(rb'(?<=\s)SignificantBits="[0-9]*"')
_SPACE = re.compile(rb'xmlns="([^"]*)"')


def is_ome(text: bytes) -> bool:
    """Return whether a description is one of OME."""
    return text.rstrip(b"\0 \t\r\n").endswith(b"OME>")


def planes_needed(text: bytes, name: str, samples: int) -> int:
    """Return how many directories the description needs in this file; 0 where it is not understood.

    Args:
        text: The description.
        name: Of the file: planes that are said to lie in others are not counted.
        samples: Of a pixel, where the description does not say.

    Raises:
        ImageError: It claims more pictures than are read of any file.
    """
    try:
        root = _root(text)
        if any(number > MAX_PLANES for element in root.iter() for number in _claims(element)):
            raise ImageError(f"OME's description claims more than {MAX_PLANES:,} pictures; save the image again")
        blocks = [
            block
            for pixels in root.iterfind(".//{*}Pixels")
            for block in _needed(pixels, root.get("UUID"), name, samples)
        ]
    except (ElementTree.ParseError, ValueError):
        return 0
    return max(blocks, default=0)


def alone(text: bytes, name: str) -> bytes | None:
    """Return the description of a file of a set as one of this file alone; the same where it belongs to none.

    What is written of one file of a set is no part of the set: readers would take the other planes from the others.

    Returns:
        None where nothing in it tells which planes lie in this file: they are described in another.
    """
    try:
        root = _root(text)
        if root.find("{*}BinaryOnly") is not None:
            return None
        owners = root.findall(".//{*}TiffData/{*}UUID")
        if "UUID" not in root.attrib and len(named := {owner.text or "" for owner in owners}) == 1:
            root.set("UUID", *named)  # of a file that was renamed
        if all(_owns(owner, root, name) for owner in owners):
            return text
        for image in root.findall("{*}Image"):
            pixels = image.find("{*}Pixels")
            if pixels is None or not _reduce(pixels, root, name):
                root.remove(image)
        if root.find("{*}Image") is None:
            return None
        root.attrib.pop("UUID", None)
        if space := _SPACE.search(text):
            ElementTree.register_namespace("", space[1].decode("utf-8", "replace"))
        written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    except (ElementTree.ParseError, ValueError, KeyError, ArithmeticError, RecursionError):
        return None
    return written + b"\0"


def moved(text: bytes, places: Mapping[int, int]) -> bytes:
    """Return the description with other places of the pictures among the directories."""
    return _PLACE.sub(lambda place: b"%d" % places.get(int(place[0]), int(place[0])), text)


def of_type(text: bytes, dtype: str) -> bytes:
    """Return the description as it is of pixels of another type, by numpy's name."""
    name = b"float" if dtype == "float32" else dtype.encode()
    return _TYPE.sub(rb'\g<1>%b"' % name, _BITS.sub(b"", text))


def _root(text: bytes) -> Element:
    return ElementTree.fromstring(text.rstrip(b"\0 \t\r\n").decode("utf-8", "replace"))


def _claims(element: Element) -> Iterator[float]:
    """Yield the numbers of planes, and places among them, that an element tells."""
    for name in _COUNTS:
        if name in element.attrib:
            yield int(element.attrib[name])
    if "Along" in element.tag and "Start" in element.attrib:  # axes within another
        start, end, step = (float(element.get(name, 1)) for name in ("Start", "End", "Step"))
        yield abs((end - start) / step) if step else math.inf


def _owns(owner: Element, root: Element, name: str) -> bool:
    """Return whether the file that a block names is this one."""
    return owner.text == (root.get("UUID") or "") or owner.get("FileName", "").casefold() == name.casefold()


def _samples(pixels: Element, default: int) -> int:
    channel = pixels.find("{*}Channel")
    return default if channel is None else max(int(channel.get("SamplesPerPixel", default)), 1)


def _needed(pixels: Element, uuid: str | None, name: str, samples: int) -> Iterator[int]:
    """Yield how many directories this file must have for each block of planes that lies in it."""
    root = Element("OME", {"UUID": uuid} if uuid else {})
    sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in _AXES}
    planes = sizes["Z"] * sizes["T"] * max(sizes["C"] // _samples(pixels, max(samples, 1)), 1)
    blocks = pixels.findall("{*}TiffData")
    for block in blocks:
        owner = block.find("{*}UUID")
        if owner is not None and not _owns(owner, root, name):
            continue
        if any(int(block.get(f"First{axis}", 0)) >= size for axis, size in sizes.items()):
            continue  # a block past the sizes is left from before the image was cropped
        yield int(block.get("IFD", 0)) + min(planes, _count(block, planes if len(blocks) == 1 else 1))


def _count(block: Element, otherwise: int) -> int:
    """Return how many planes a block has; ``otherwise`` where neither they nor its first directory are told."""
    count = block.get("PlaneCount", block.get("NumPlanes"))
    return int(count) if count else 1 if "IFD" in block.attrib else otherwise


def _reduce(pixels: Element, root: Element, name: str) -> bool:
    """Leave of an image what lies in this file; return whether that is a block of planes, all of which are there."""
    order = pixels.attrib["DimensionOrder"][2:]
    samples = _samples(pixels, 1)
    sizes = {axis: int(pixels.attrib[f"Size{axis}"]) // (samples if axis == "C" else 1) for axis in _AXES}
    total, listed = math.prod(sizes.values()), 0
    places: dict[tuple[int, ...], int] = {}  # in the order of _AXES, to their directories
    for block in pixels.findall("{*}TiffData"):
        pixels.remove(block)
        owner = block.find("{*}UUID")
        if owner is not None and not _owns(owner, root, name):
            continue
        first = 0
        for axis in reversed(order):
            first = first * sizes[axis] + int(block.get(f"First{axis}", 0))
        count = min(_count(block, 1), total - first)
        listed += count
        if listed > MAX_PLANES:
            return False
        for number in range(count):
            rest, along = first + number, dict[str, int]()
            for axis in order:
                rest, along[axis] = divmod(rest, sizes[axis])
            places[along["Z"], along["C"], along["T"]] = int(block.get("IFD", 0)) + number
    kept = [sorted({place[index] for place in places}) for index in range(len(_AXES))]
    if not places or math.prod(map(len, kept)) != len(places):
        return False
    for axis, values in zip(_AXES, kept, strict=True):
        pixels.set(f"Size{axis}", str(len(values) * (samples if axis == "C" else 1)))
    space = pixels.tag.removesuffix("Pixels")
    for number, channel in enumerate(pixels.findall("{*}Channel")):
        if number not in kept[1]:
            pixels.remove(channel)
    for plane in pixels.findall("{*}Plane"):
        place = tuple(int(plane.get(f"The{axis}", 0)) for axis in _AXES)
        if place not in places:
            pixels.remove(plane)
        for axis, value, values in zip(_AXES, place, kept, strict=True):
            plane.set(f"The{axis}", str(values.index(value)) if value in values else "0")
    after = [child for child in pixels if child.tag.rpartition("}")[2] in ("MetadataOnly", "Plane")]
    where = list(pixels).index(after[0]) if after else len(pixels)
    for place, directory in sorted(places.items(), key=lambda item: -item[1]):
        attributes = {f"First{a}": str(v.index(p)) for a, p, v in zip(_AXES, place, kept, strict=True)}
        pixels.insert(where, Element(f"{space}TiffData", attributes | {"IFD": str(directory), "PlaneCount": "1"}))
    return True
