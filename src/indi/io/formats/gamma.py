"""A colour profile of what a PNG says by numbers: an exponent, and where its primaries and its white lie.

Other formats have no place for these numbers; without them linear values would be shown as if they were sRGB.

Source: PNG, third edition, 11.3.2; ICC.1:2001-04 (version 2), 6.1, 6.3 and 6.5; its annex E on adaptation.
"""

import struct

import numpy as np
from numpy.typing import NDArray

_GAMMA_SCALE = 100_000  # of PNG's numbers
_AS_SRGB = range(45_000, 46_001)  # about 1/2.2, which is shown as sRGB is
_SRGB = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)  # white, red, green, blue: x and y of each
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def profile_of(gamma: bytes | None, primaries: bytes | None, *, gray: bool) -> bytes | None:
    """Return the colour profile that the chunks gAMA and cHRM say; None where it is about sRGB, or impossible."""
    exponent = struct.unpack(">I", gamma)[0] if gamma and len(gamma) == 4 else 45_455
    places = struct.unpack(">8I", primaries) if primaries and len(primaries) == 32 else _SRGB
    if gray:
        places = _SRGB
    is_srgb = max(abs(a - b) for a, b in zip(places, _SRGB, strict=True)) < 500
    if (exponent in _AS_SRGB and is_srgb) or not 0 < exponent < 2**31:
        return None
    curve = struct.pack(">4sIIHH", b"curv", 0, 1, min(round(_GAMMA_SCALE / exponent * 256), 2**16 - 1), 0)
    tags = {b"desc": _text("by gAMA"), b"cprt": b"text\0\0\0\0no copyright\0", b"wtpt": _xyz(_D50)}
    if gray:
        tags[b"kTRC"] = curve
    else:
        try:
            columns = _colorants(np.array(places, float).reshape(4, 2) / _GAMMA_SCALE)
        except (np.linalg.LinAlgError, FloatingPointError):
            return None
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    return _packed(tags, b"GRAY" if gray else b"RGB ")


def _colorants(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the X, Y, Z of red, green and blue, as columns, seen in the white D50."""
    with np.errstate(all="raise"):
        x, y = places.T
        white, *_ = points = np.stack([x / y, np.ones(4), (1 - x - y) / y], axis=1)
        colours = np.array(points[1:]).T
        scaled = colours * np.linalg.solve(colours, white)
        cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
        adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ scaled
    if np.abs(adapted).max() > 10:
        raise FloatingPointError("impossible primaries")
    return adapted


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 2**16) for value in values))


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(data)) + data + bytes(78)


def _packed(tags: dict[bytes, bytes], space: bytes) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(data), b"", 0x02200000, b"mntr", space, b"XYZ ")
    head += struct.pack(">12s4s24sI3i", b"", b"acsp", b"", 0, *_WHITE)
    return head.ljust(128, b"\0") + table + data


_WHITE = [round(float(value) * 2**16) for value in _D50]
