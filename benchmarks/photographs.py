"""Photographs with free terms, made ready for training: decoded, chosen by licence, and shrunk.

    python benchmarks/photographs.py PHOTOS OUT [--shrink 1.5 2] [--share-alike]

reads the folder PHOTOS, whose photos.tsv names each file of images/ with its licence, and writes PNG files into OUT,
one for each factor. Shrinking by averaging takes away what compression and the camera's noise left in the originals.
Without --share-alike photographs under CC BY-SA stay out.
"""

import argparse
import csv
from pathlib import Path

from PIL import Image


def main() -> int:
    """Prepare the photographs; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder with photos.tsv and images/")
    parser.add_argument("out", type=Path, help="folder for the PNG files")
    parser.add_argument("--shrink", type=float, nargs="+", default=[2], help="how many times smaller (default: 2)")
    parser.add_argument("--share-alike", action="store_true", help="take those under CC BY-SA too")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.photos / "photos.tsv").open(encoding="utf-8", newline="") as table:
        rows = [
            row for row in csv.DictReader(table, delimiter="\t") if options.share_alike or "SA" not in row["licence"]
        ]
    pixels = 0
    for row in rows:
        image = Image.open(options.photos / "images" / row["file"]).convert("RGB")
        for factor in options.shrink:
            size = (int(image.width / factor), int(image.height / factor))
            box = (0, 0, size[0] * factor, size[1] * factor)
            small = image.resize(size, Image.Resampling.BOX, box=box)
            small.save(options.out / f"{Path(row['file']).stem}_{factor:g}.png")
            pixels += size[0] * size[1]
    print(f"{len(rows)} photographs, {pixels / 1e6:.1f} megapixels: {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
