"""What a run, a model, an image or a folder of images is."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from indi.errors import ImageError, IndiError, ModelError
from indi.io import IMAGE_SUFFIXES, Resolution, find_images, is_volume, notes, read, read_headers
from indi.io.region import Region
from indi.io.stacks import open_stack
from indi.models.checkpoint import MODEL_FILE, load_model
from indi.models.pretrained import find_model
from indi.models.runs import LOG_FILE
from indi.restoration.inputs import passed_over
from indi.training.records import last_record

_MOST = 2**26  # values of an image up to which all are looked at for their range


def info(path: str | Path) -> dict[str, Any]:
    """Return what a path holds, or what the pretrained model of that name is.

    "kind" is run, model, image or images, a folder of them.

    Raises:
        ImageError, ModelError: It is damaged, missing, or none of these.
    """
    path = find_model(path)
    is_image = path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
    if is_image or is_volume(path):
        return _of_image(path)
    if not path.exists():
        raise ModelError(f"{path}: no such file or folder; give a run, a model or an image")
    if path.is_dir() and not (path / MODEL_FILE).exists() and (files := _images_in(path)):
        return _of_images(path, files)
    model = load_model(path)
    facts = model.card.model_dump(mode="json")
    facts |= {
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
        "halo": model.network.halo,
        "stride": model.network.stride,
        "realism": [0, 1] if model.card.method.build().draws else None,  # the range of its dial, if it has one
    }
    if not path.is_dir():
        return {"kind": "model", "path": str(path), **facts}
    return {
        "kind": "run",
        "path": str(path),
        "model": str(path / MODEL_FILE),
        **facts,
        **({} if (last := last_record(path / LOG_FILE)) is None else {"last": last}),
    }


def _of_image(path: Path) -> dict[str, Any]:
    """Return what an image or a stack is; what its file does not say is left out."""
    header, *others = read_headers(path)
    facts = {
        "kind": "image",
        "path": str(path),
        "height": header.height,
        "width": header.width,
        "channels": header.channels,
        "type": str(header.dtype),
        **({"pictures": 1 + len(others)} if others else {}),
    }
    values = sum(each.height * each.width * each.channels for each in (header, *others))
    if others or is_volume(path):
        with open_stack(path) as stack:
            facts["axes"] = dict(zip(stack.axes, stack.places, strict=True))
            if values <= _MOST:
                whole = [Region(0, 0, each.height, each.width) for each in stack.headers]
                facts |= _range(stack.pixels(number, region) for number, region in enumerate(whole))
        return facts | notes(path)
    if values <= _MOST:
        try:
            image = read(path)
        except ImageError as error:
            return facts | {"damage": str(error)}
        facts |= _range([image.pixels]) | _resolution(image.metadata.resolution)
    return facts | notes(path)


def _images_in(folder: Path) -> list[Path]:
    try:
        return find_images(folder, volumes=True)
    except ImageError:  # there are none
        return []


def _of_images(folder: Path, paths: list[Path]) -> dict[str, Any]:
    """Return what the images of a folder are, by their headers, and how many there are of each size, type and so on."""
    files = [_listed(path) for path in paths]
    whole = [file for file in files if "damage" not in file]
    return {
        "kind": "images",
        "path": str(folder),
        "images": len(files),
        "damaged": len(files) - len(whole),
        "sizes": _counted(f"{file['height']}x{file['width']}" for file in whole),
        "channels": _counted(str(file["channels"]) for file in whole),
        "types": _counted(file["type"] for file in whole),
        "passed_over": passed_over(folder),
        "files": files,
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _listed(path: Path) -> dict[str, Any]:
    """Return what a file among others is, by its header."""
    try:
        header, *others = read_headers(path)
        facts = {"name": path.name, "height": header.height, "width": header.width}
        facts |= {"channels": header.channels, "type": str(header.dtype)}
        if others or is_volume(path):
            with open_stack(path) as stack:
                facts["axes"] = dict(zip(stack.axes, stack.places, strict=True))
    except IndiError as error:
        return {"name": path.name, "damage": str(error)}
    return facts | notes(path)


def _range(pictures: Iterable[Any]) -> dict[str, Any]:
    """Return the least and the largest value, of those that are numbers; or what is wrong with the pixels."""
    try:
        numbers = (picture[np.isfinite(picture)] for picture in pictures)
        ends = [(some.min().item(), some.max().item()) for some in numbers if some.size]
    except ImageError as error:
        return {"damage": str(error)}
    return {"range": [min(low for low, _ in ends), max(high for _, high in ends)] if ends else None}


def _resolution(size: Resolution | None) -> dict[str, Any]:
    """Return the pixel size that a file notes for printers, which cameras set to anything."""
    metre = None if size is None else size.per("metre")
    if metre is None or min(metre) <= 0:
        return {}
    return {"pixel_size": {"y": 1e6 / metre[1], "x": 1e6 / metre[0], "unit": "micrometer"}}
