"""What decides a restoration, by which a later command knows whether what is there is its own."""

import json
import shutil
from pathlib import Path
from typing import Any

from indi.models.checkpoint import write_text
from indi.process.sampling import Sampling
from indi.restoration.restorer import Restorer
from indi.restoration.uncertainty import Calibration
from indi.version import __version__

MANIFEST = "manifest.json"


def deciding(restorer: Restorer, sampling: Sampling, calibration: Calibration | None) -> dict[str, Any]:
    """Return all that decides how any file is restored, for a manifest."""
    sampling = restorer.resolve(sampling)
    return {
        "indi": __version__,
        "model": restorer.fingerprint,
        "precision": str(restorer.precision),
        "walk": sampling.settings(),  # the name that manifests have had from the start
        "samples": sampling.samples,
        "seed": sampling.seed,
        "calibration": None if calibration is None else calibration.mark,
    }


def begin_work(work: Path, wanted: dict[str, Any]) -> None:
    """Keep what an interrupted restoration of the same kind has done; clear away that of another."""
    manifest = work / MANIFEST
    try:
        same = json.loads(manifest.read_text(encoding="utf-8")) == wanted
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(work, ignore_errors=True)
        write_text(manifest, json.dumps(wanted, indent=1) + "\n")
    for left in work.glob("*.part"):
        left.unlink()
