"""How large a pixel is in the sample, where a microscope's file says so."""

import re
from pathlib import Path

from indi.errors import IndiError
from indi.io.formats.registry import notes

_MICROMETRES = {
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
}
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")  # as ImageJ writes the letter


def pixel_size(path: Path) -> float | None:
    """Return the width of a pixel in micrometres, as a microscope noted it; None where none did.

    The dots per inch of other files are those of a print.
    """
    try:
        noted = notes(path).get("pixel_size", {})
        size = _in(float(noted["x"]), str(noted["unit"]))
    except (IndiError, OSError, KeyError, ValueError):  # others say what is wrong with a damaged file
        return None
    return size if size is not None and 0 < size < 1e6 else None


def _in(size: float, unit: str) -> float | None:
    unit = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), unit)
    factor = _MICROMETRES.get(unit.strip().lower())
    return None if factor is None else size * factor
