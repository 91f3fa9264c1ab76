"""Photographs with free terms, made ready for training: decoded, chosen by licence, and shrunk.

    python benchmarks/photographs.py PHOTOS OUT [--shrink 1.5 2] [--share-alike] [--notice FILE]

reads the folder PHOTOS, whose photos.tsv names each file of images/ with its licence, and writes PNG files into OUT,
one for each factor. Shrinking by averaging takes away what compression and the camera's noise left in the originals.
Without --share-alike photographs under CC BY-SA stay out. FILE becomes the notice that travels with weights trained on
them: source, author and licence of each photograph, as src/indi/models/weights/NOTICE.md has it.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

NOTICE = """# Photographs behind the weights

The weights whose card says "free photographs" were trained on parts of the photographs below, shrunk by averaging,
cropped and degraded. Their terms allow weights to be used and passed on for any purpose. CC BY asks for what stands
here: the author, the licence, and what was changed. No photograph under CC BY-SA is among them.

| source | file | author | licence | stated in |
|---|---|---|---|---|
"""


def notice(rows: Sequence[dict[str, str]]) -> str:
    """Return the notice of photographs, a row each, however many parts were cut from it."""
    columns = ("source", "path in the source", "author, if stated", "licence", "where the licence is stated")
    photographs = sorted({tuple(row[column].replace("|", "/") or "-" for column in columns) for row in rows})
    return NOTICE + "".join(f"| {' | '.join(each)} |\n" for each in photographs)


def main() -> int:
    """Prepare the photographs; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder with photos.tsv and images/")
    parser.add_argument("out", type=Path, help="folder for the PNG files")
    parser.add_argument("--shrink", type=float, nargs="+", default=[2], help="how many times smaller (default: 2)")
    parser.add_argument("--share-alike", action="store_true", help="take those under CC BY-SA too")
    parser.add_argument("--notice", type=Path, help="file for the sources, authors and licences")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.photos / "photos.tsv").open(encoding="utf-8", newline="") as table:
        rows = [
            row for row in csv.DictReader(table, delimiter="\t") if options.share_alike or "SA" not in row["licence"]
        ]
    if options.notice is not None:
        options.notice.write_text(notice(rows), encoding="utf-8")
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
