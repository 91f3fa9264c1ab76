"""What a run, a model or an image is."""

from pathlib import Path
from typing import Any

from indi.checkpoint import MODEL_FILE, load_model
from indi.errors import ModelError
from indi.images import READABLE_SUFFIXES, read_headers
from indi.images.stack import open_stack
from indi.images.zarr_stack import is_zarr
from indi.records import last_record
from indi.runs import LOG_FILE
from indi.shipped import find_model


def info(path: str | Path) -> dict[str, Any]:
    """Return what a path holds, or what the shipped model of that name is; "kind" is run, model or image.

    Raises:
        ImageError, ModelError: It is damaged, missing, or none of these.
    """
    path = find_model(path)
    is_image = path.suffix.lower() in READABLE_SUFFIXES and not path.is_dir()
    if is_image or is_zarr(path):
        header, *others = read_headers(path) if is_image else open_stack(path).headers
        return {
            "kind": "image",
            "path": str(path),
            "height": header.height,
            "width": header.width,
            "channels": header.channels,
            "type": str(header.dtype),
            **({"pictures": 1 + len(others)} if others else {}),
        }
    if not path.exists():
        raise ModelError(f"{path}: no such file or folder; give a run, a model or an image")
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
