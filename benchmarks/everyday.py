"""What the restorer of photographs makes of everyday files: noise under JPEG of any quality, and good pictures.

    python benchmarks/everyday.py --clean DIR [--model photo] [--images 8] --out FILE

Each photograph of DIR gets noise of 20 of 255 and is saved as JPEG of several qualities: PSNR before and after, at the
least error. Then it is restored as it is, and from JPEG of quality 95 without noise: how near it stays to what went in.
FILE is a JSON table; ``tables.py`` writes it into the documents.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import indi
from indi.degradations import add_gaussian_noise, compress_jpeg, seed_for
from indi.devices import set_threads
from indi.io import find_images, from_unit, read, to_unit
from indi.metrics import psnr
from indi.models.checkpoint import write_text

QUALITIES = (45, 60, 75, 85, 95)
NOISE = 20 / 255
EQUAL = 100.0  # dB, in place of no end where two images are equal


def closeness(image: Tensor, other: Tensor) -> float:
    """Return the PSNR of two images in dB, as files of 8 bit hold them."""
    one, two = (torch.from_numpy(to_unit(from_unit(each.numpy(), np.uint8)))[None] for each in (image, other))
    return min(psnr(one, two).item(), EQUAL)


def main() -> int:
    """Measure, and write the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, required=True)
    parser.add_argument("--model", default="photo")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(options.threads)
    restorer = indi.load(options.model)
    least = {"realism": 0.0} if restorer.method.draws else {"steps": 1}

    def restored(image: Tensor) -> Tensor:
        pixels = restorer.restore(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), **least)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    files = find_images(options.clean)
    files = files[:: max(len(files) // options.images, 1)][: options.images]
    found: dict[str, list[tuple[float, float]]] = {}
    for file in files:
        clean = torch.from_numpy(np.moveaxis(to_unit(read(file).pixels), -1, 0)).contiguous()
        noisy = add_gaussian_noise(clean, torch.Generator().manual_seed(seed_for(file.stem, 0)), sigma=NOISE)
        for quality in QUALITIES:
            degraded = compress_jpeg(noisy, quality=quality, subsampling="4:2:0")
            found.setdefault(f"noise 20, JPEG {quality}", []).append(
                (closeness(degraded, clean), closeness(restored(degraded), clean))
            )
        good = compress_jpeg(clean, quality=95, subsampling="4:4:4")
        for name, image in (("JPEG 95, to itself", good), ("as it is, to itself", clean)):
            found.setdefault(name, []).append((closeness(image, clean), closeness(restored(image), image)))
    rows = [
        {
            "damage": name,
            "before": float(np.mean([before for before, _ in values])),
            "after": float(np.mean([after for _, after in values])),
            "least": min(after for _, after in values),
        }
        for name, values in found.items()
    ]
    write_text(options.out, json.dumps({"images": len(files), "rows": rows}, indent=1) + "\n")
    for row in rows:
        print(f"{row['damage']:<22} {row['before']:6.2f} -> {row['after']:6.2f} dB, at the least {row['least']:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
