"""Peak memory of restoring one large picture, which must not grow with it, and the time it takes.

    python benchmarks/memory.py [--megapixels 100,400] [--steps 5] [--threads 1] [--json FILE]

Each size is restored by indi restore in a process of its own, with an untrained network of size small: 16-bit TIFF,
tiles of 512 px, deflate. Resident memory is what the system reports as the process's peak.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch

from indi.config import MethodSettings, NetworkSettings
from indi.models.checkpoint import Card, Model, save_model
from indi.version import __version__

TILE = 512
LIMIT_GIB = 2.0


def write_picture(path: Path, megapixels: int) -> tuple[int, int]:
    """Write a 16-bit picture of smooth random tiles; return its height and width."""
    across = max(round((megapixels * 1e6) ** 0.5 / TILE), 1)
    down = max(round(megapixels * 1e6 / (across * TILE * TILE)), 1)
    random = np.random.default_rng(0)

    def tiles() -> Iterator[np.ndarray[Any, Any]]:
        for _ in range(across * down):
            yield np.kron(random.integers(0, 60000, (16, 16)), np.ones((TILE // 16, TILE // 16))).astype(np.uint16)

    shape = (down * TILE, across * TILE)
    options: Any = {"tile": (TILE, TILE), "compression": "zlib", "bigtiff": True}
    tifffile.imwrite(path, tiles(), shape=shape, dtype="uint16", photometric="minisblack", **options)
    return shape


def write_model(folder: Path, size: str) -> None:
    """Write an untrained gray model."""
    card = Card(
        version=__version__, name="memory", method=MethodSettings(), network=NetworkSettings(size=size), channels=1
    )
    save_model(Model.new(card), folder)


def restored(folder: Path, megapixels: int, steps: int, threads: int) -> dict[str, Any]:
    """Restore a picture in a process of its own; return what it took."""
    height, width = write_picture(folder / "in.tif", megapixels)
    code = "import resource, sys; from indi.cli import main; status = main(sys.argv[1:]); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
    command = ["restore", str(folder / "in.tif"), "--model", str(folder / "model"), "--steps", str(steps)]
    command += ["--threads", str(threads)]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--out", str(folder / "out.tif")],
        capture_output=True,
        text=True,
        check=True,
    )
    unit = 1024 if sys.platform != "darwin" else 1
    return {
        "megapixels": height * width / 1e6,
        "steps": steps,
        "peak_gib": int(done.stdout.split()[-1]) * unit / 2**30,
        "seconds": time.perf_counter() - began,
    }


def main() -> int:
    """Measure all sizes and print a table; return 1 where a size passes the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", default="100,400", help="sizes, with commas")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--size", default="small")
    parser.add_argument("--threads", type=int, default=1, help="of the one process (default: 1)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        write_model(Path(folder) / "model", options.size)
        for megapixels in map(int, options.megapixels.split(",")):
            rows.append(restored(Path(folder), megapixels, options.steps, options.threads))
            row = rows[-1]
            shown = f"{row['megapixels']:.0f} MP, {row['steps']} steps: peak {row['peak_gib']:.2f} GiB"
            print(f"{shown}, {row['seconds']:.0f} s", flush=True)
    if options.json:
        found = {"size": options.size, "threads": options.threads, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(row["peak_gib"] > LIMIT_GIB for row in rows))


if __name__ == "__main__":
    sys.exit(main())
