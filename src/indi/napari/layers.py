"""Image layers restored, and trained on: data and metadata as napari passes them, without napari.

A layer is napari's LayerDataTuple: data, metadata by name, kind. Its last two axes are a plane (with ``rgb`` the last
one more is colour); all axes before, such as Z, T or channels, are gone through plane by plane.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from indi.errors import DeviceError, ImageError, ShapeError, TrainingError
from indi.io import Image, from_unit, span_of, to_unit, write
from indi.io.neighbours import Neighbours
from indi.process.sampling import Sampling
from indi.restoration.intensities import subject
from indi.restoration.restorer import Restorer
from indi.restoration.tiling import Progress, is_out_of_memory, part_of
from indi.restoration.uncertainty import Calibration, maps
from indi.training.run import train
from indi.version import __version__

Pixels = NDArray[Any]
Layer = tuple[Any, dict[str, Any], str]
Told = Callable[[float, str], None]  # hears the share that is done, and what it is at, in words

PAIRS = "pairs"  # folder of a run for the planes of its layers
_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_LOOK = ("colormap", "gamma", "interpolation2d", "interpolation3d", "rendering", "blending", "opacity")
_MAP = {"colormap": "inferno", "blending": "additive"}  # told apart by people who confuse red and green too


class StoppedError(Exception):
    """Raised by what hears of progress: the work is to stop."""


def restored_layers(
    restorer: Restorer,
    layer: Layer,
    sampling: Sampling,
    *,
    only: tuple[int, ...] | None = None,
    progress: Progress | None = None,
) -> list[Layer]:
    """Restore an image layer plane by plane, each read when its turn comes.

    A layer of colour is restored as such by a model of colour, else each of its channels apart; alpha stays.

    Args:
        restorer: The restorer.
        layer: NumPy or Dask, (..., H, W), or (..., H, W, 3 or 4) with ``rgb``; of several scales the first is taken.
        sampling: How.
        only: The place of one plane along the axes before it, to restore no other.
        progress: As ``Restorer.restore``; of all planes.

    Returns:
        The restored layer, of the shape and type of the data (float32 for any floats), where and as the source is
        shown. With ``samples`` it is their mean, and there are more: the ends of the interval, or the spread in counts
        where the model is not calibrated for such restorations, and the disagreement, 0 to 1.

    Raises:
        ConfigError, ImageError, ShapeError: As ``Restorer.restore``.
        DeviceError: The memory does not do for it.
    """
    data, before, name = _data(layer), _before(layer), layer[1]["name"]
    places = list(np.ndindex(*before)) if only is None else [only]
    sampling = restorer.resolve(sampling)
    calibration = restorer.calibration_for(sampling)
    found: dict[str, Pixels] = {}
    try:
        with subject(name):
            for number, place in enumerate(places):
                plane = int(np.ravel_multi_index(place, before)) if before else 0
                told = part_of(progress, number, len(places))
                planes = [data[each] for each in (place, *_around(restorer.card.around, layer, place))]
                for what, values in _restored(restorer, planes, sampling, plane, calibration, told).items():
                    if what not in found:
                        found[what] = np.empty((len(places), *values.shape), values.dtype)
                    found[what][number] = values
    except (ImageError, ShapeError) as error:
        raise ImageError(f"{name}: plane {plane + 1} of {math.prod(before)}: {error}") from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        advice = "restore the plane shown alone, or the file by indi restore"
        raise DeviceError(f"{name}: does not fit in memory; {advice}") from error
    axes, noted = before if only is None else (1,) * len(before), _noted(restorer, sampling)
    return [
        (values.reshape(*axes, *values.shape[1:]), {**_shown(restorer, layer, what, values, only), **noted}, "image")
        for what, values in found.items()
    ]


def _restored(
    restorer: Restorer,
    data: Sequence[Any],
    sampling: Sampling,
    plane: int,
    calibration: Calibration | None,
    progress: Progress | None,
) -> dict[str, Pixels]:
    """Return what becomes of the first of several planes, by name: images of its shape, and maps (H, W)."""
    planes = [_pixels(each) for each in data]
    if planes[0].ndim == 2:
        return _answers(restorer, planes, sampling, plane, calibration, progress)
    colour, alpha = [each[..., :3] for each in planes], planes[0][..., 3:]
    if restorer.card.channels == 1:
        apart = [
            _answers(
                restorer,
                [each[..., channel] for each in colour],
                sampling,
                plane,
                calibration,
                part_of(progress, channel, 3),
            )
            for channel in range(3)
        ]
        found = {name: np.stack([each[name] for each in apart], axis=-1) for name in apart[0]}
    else:
        found = _answers(restorer, colour, sampling, plane, calibration, progress)
    return {
        name: np.concatenate([values, alpha], axis=-1) if _is_image(name) else np.atleast_3d(values).max(axis=-1)
        for name, values in found.items()
    }


def _answers(
    restorer: Restorer,
    planes: Sequence[Pixels],
    sampling: Sampling,
    plane: int,
    calibration: Calibration | None,
    progress: Progress | None,
) -> dict[str, Pixels]:
    pixels, *around = planes
    restored = restorer.restore(pixels, sampling=sampling, around=around, plane=plane, progress=progress)
    if sampling.samples is None:
        return {"restored": restored}
    drawn = np.moveaxis(to_unit(restored).reshape(*restored.shape[:3], -1), -1, 1)
    found = maps(drawn, restorer.least_spread, calibration, pixels.dtype)

    def image(values: Pixels) -> Pixels:
        return from_unit(np.moveaxis(values, 0, -1).reshape(pixels.shape), pixels.dtype)

    answers = {"restored": image(found["mean"])}
    if calibration is None:
        answers["spread"] = found["spread"].max(axis=0)
    else:
        half = found["interval"] / np.float32(span_of(pixels.dtype))
        answers |= {"lower": image(found["mean"] - half), "upper": image(found["mean"] + half)}
    return {**answers, "disagreement": found["invented"][0]}


def _around(neighbours: Neighbours, layer: Layer, place: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the places of the planes that a model sees around one.

    Where the layer's axes have no labels, z is the last axis before those of a plane, and t the first.

    Raises:
        ImageError: They have, and none is this axis.
    """
    before = _before(layer)
    if not neighbours.count or not before:
        return []
    labels = [str(label).upper() for label in layer[1].get("axis_labels", ())][: len(before)]
    which = 0 if neighbours.axis == "T" else len(before) - 1
    if any(not label.startswith("-") for label in labels):  # napari's own are -3, -2, -1
        if neighbours.axis not in labels:
            found = f"its axes are labelled {', '.join(labels)}, and the model sees planes along {neighbours.axis}"
            raise ImageError(f"{found}; label the axes by layer.axis_labels")
        which = labels.index(neighbours.axis)
    return [(*place[:which], to, *place[which + 1 :]) for to in neighbours.places(place[which], before[which])]


def _is_image(name: str) -> bool:
    return name in ("restored", "lower", "upper")


def _pixels(data: Any) -> Pixels:
    """Return a plane in the types that are restored, where no value changes but floats by their precision."""
    pixels = np.asarray(data)
    return pixels.astype(np.float32 if pixels.dtype.kind == "f" else pixels.dtype.newbyteorder("="), copy=False)


def _shown(restorer: Restorer, layer: Layer, name: str, values: Pixels, only: tuple[int, ...] | None) -> dict[str, Any]:
    """Return where a result lies, which is where its source does, and how it is shown."""
    source = layer[1]
    shown: dict[str, Any] = {key: source[key] for key in _PLACE if key in source}
    shown["name"] = f"{source['name']} {name}"
    if only is not None and "scale" in source:
        shift = np.asarray(source["scale"]) * [*only, 0, 0]
        shown["translate"] = (np.asarray(source.get("translate", 0)) + shift).tolist()
    if not _is_image(name):
        highest = 1.0 if name == "disagreement" else float(values.max()) or 1.0
        return shown | _MAP | {"contrast_limits": [0.0, highest], "visible": name == "disagreement"}
    shown |= {key: source[key] for key in _LOOK if key in source}
    shown |= {"rgb": bool(source.get("rgb")), "visible": name == "restored"}
    if "contrast_limits" in source and not shown["rgb"]:
        low, high = _limits(restorer, source["contrast_limits"], values.dtype)
        shown |= {"contrast_limits": [low, high]} if low < high else {}
    return shown


def _limits(restorer: Restorer, limits: Any, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return contrast limits of the source as those of what is restored, whose scale may differ by a normalisation."""
    ends = np.asarray([limits], np.float64)
    if restorer.card.normalisation is not None:
        ends = ends if dtype.kind == "f" else np.rint(ends).clip(0, span_of(dtype))
        unit = torch.from_numpy(to_unit(ends.astype(dtype)).astype(np.float32))[None, None]
        unit = unit.expand(1, restorer.card.channels, -1, -1)
        ends = restorer.pixels(restorer.card.normalisation.degraded.apply(unit), like=ends.astype(dtype))
    return float(ends[0, 0]), float(ends[0, 1])


def _noted(restorer: Restorer, sampling: Sampling) -> dict[str, Any]:
    """Return the metadata of a layer that a methods section needs."""
    model = {"version": __version__, "model": restorer.card.name, "fingerprint": restorer.fingerprint}
    drawn = {"samples": sampling.samples, "seed": sampling.seed}
    return {"metadata": {"indi": {**model, **sampling.settings(), **drawn}}}


def train_on_layers(
    clean: Layer, degraded: Layer, run: Path, *, minutes: float, size: str, method: str, progress: Told
) -> Path:
    """Train on the planes of two layers; stopped early, it keeps what it has, as an interrupt of ``indi train`` does.

    The planes lie in the run folder afterwards, so that the command can go on with the run. A layer is one scene: no
    plane is kept for validation, as neighbours in a stack are too alike to measure on.

    Args:
        clean: As of ``restored_layers``.
        degraded: Of the same shape.
        run: The run folder: new, or empty.
        minutes: Budget.
        size: Of the network.
        method: By which to train.
        progress: Hears how far it is, and raises StoppedError to stop.

    Returns:
        The run folder.

    Raises:
        StoppedError: It was stopped before the first iteration.
        ConfigError, DataError, ImageError, ShapeError, TrainingError: The layers or the options do not fit.
    """
    layers = {"clean": clean, "degraded": degraded}
    shapes = [_data(layer).shape for layer in layers.values()]
    if shapes[0] != shapes[1]:
        raise ShapeError(f"clean has shape {shapes[0]}, degraded {shapes[1]}; choose two layers of one shape")
    try:
        is_usable = not run.exists() or all(path.name.startswith(".") for path in run.iterdir())
    except OSError as error:
        raise TrainingError(f"{run}: cannot be used as a folder ({error.strerror}); choose another") from error
    if not is_usable:
        raise TrainingError(f"{run}: is not empty; choose a new or empty folder for the run")
    has_begun = False
    try:
        dtypes = [_write_planes(layer, run / PAIRS / side, progress) for side, layer in layers.items()]
        progress(0.0, "reading every plane")
        records = train(
            run=run,
            clean=run / PAIRS / "clean",
            degraded=run / PAIRS / "degraded",
            group="^plane",
            normalise="none" if all(dtype == np.uint8 for dtype in dtypes) else "deviation",
            minutes=minutes,
            size=size,
            method=method,
        )
        with closing(records):  # which saves, where it is left early
            for record in records:
                has_begun = True
                left = minutes * (1 - record.progress)
                progress(
                    record.progress, f"iteration {record.iteration:,}, loss {record.loss:.3g}, {left:.1f} min left"
                )
    except StoppedError:
        if not has_begun:
            raise
    finally:
        if not has_begun:  # nothing of a run that is none
            shutil.rmtree(run / PAIRS, ignore_errors=True)
    return run


def _write_planes(layer: Layer, folder: Path, progress: Told) -> np.dtype[Any]:
    """Write each plane of a layer as a file; return the type of its pixels."""
    for number, place in enumerate(np.ndindex(*_before(layer))):
        progress(0.0, f"writing plane {number + 1} of {folder.name}")
        pixels = _pixels(_data(layer)[place])
        write(folder / f"plane{number:06d}.tif", Image(pixels[..., :3] if layer[1].get("rgb") else pixels))
    return pixels.dtype


def _data(layer: Layer) -> Any:
    """Return the data of a layer; of several scales the finest."""
    data, metadata, _ = layer
    return data[0] if metadata.get("multiscale") else data


def _before(layer: Layer) -> tuple[int, ...]:
    """Return the lengths of the axes before those of a plane."""
    shape: tuple[int, ...] = _data(layer).shape
    return shape[: len(shape) - (3 if layer[1].get("rgb") else 2)]
