"""A colour profile of what a PNG says by numbers: an exponent, and where its primaries and its white lie.

Other formats have no place for these numbers; without them linear values would be shown as if they were sRGB.

Source: PNG, third edition, 11.3.2.
"""

import struct

_SCALE = 100_000  # of PNG's numbers
_AS_SRGB = range(45_000, 46_001)  # about 1/2.2, which is shown as sRGB is
_SRGB = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)  # white, red, green, blue: x and y of each
_DATE = slice(24, 36)  # of a profile: when it was made, which would make equal files differ


def profile_of(gamma: bytes | None, primaries: bytes | None, *, gray: bool) -> bytes | None:
    """Return the colour profile that the chunks gAMA and cHRM say; None where it is about sRGB, or impossible."""
    from imagecodecs import CmsError, cms_profile

    exponent = struct.unpack(">I", gamma)[0] if gamma and len(gamma) == 4 else 45_455
    places = struct.unpack(">8I", primaries) if primaries and len(primaries) == 32 else _SRGB
    if gray:
        places = _SRGB
    is_srgb = max(abs(a - b) for a, b in zip(places, _SRGB, strict=True)) < 500
    if (exponent in _AS_SRGB and is_srgb) or not 0 < exponent < 2**31:
        return None
    white, colours = ([place / _SCALE for place in part] for part in (places[:2], places[2:]))
    try:
        made = cms_profile(
            "gray" if gray else "rgb",
            whitepoint=white,
            primaries=None if gray else colours,
            gamma=_SCALE / exponent,
        )
    except (CmsError, ValueError):
        return None
    profile = bytearray(made)
    profile[_DATE] = bytes(_DATE.stop - _DATE.start)
    return bytes(profile)
