"""Turns the short ways of naming a colour space into an ICC profile.

PNG names one by gamma and chromaticities, or by the numbers of ITU-T H.273; HEIC and AVIF by those
numbers too.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from math import exp

from orchestrator.intake.formats.icc_profile import (
    D50,
    MAX_PROFILE_BYTES,
    Profile,
    ProfileError,
    parametric_curve,
    read_plain_profile,
    sampled_curve,
    write_rgb_profile,
)

_D65, _DCI = (0.3127, 0.329), (0.314, 0.351)
_BT709 = (_D65, (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
_SMPTE_170M = (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07))
_PRIMARIES: dict[int, Sequence[tuple[float, float]]] = {
    1: _BT709,
    5: (_D65, (0.64, 0.33), (0.29, 0.6), (0.15, 0.06)),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    9: (_D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: (_DCI, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
"""By H.273's number: white, red, green and blue, x and y of each."""

_UNSPECIFIED = 2
_SRGB_CURVE = parametric_curve(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_CURVE_POINTS = 1024
_SRGB_LIKE = frozenset({1, 6, 13, 14, 15})
"""The curves of video are those of cameras; screens show them about as they show sRGB."""


def choose_png_profile(chunks: Mapping[bytes, bytes], *, is_grey: bool) -> Profile | None:
    """Return the profile of a PNG's colours, or None for sRGB.

    As the standard asks: cICP, else iCCP, else sRGB, else gAMA and cHRM.

    Args:
        chunks: Bodies by kind.
        is_grey: Whether the picture is grey, for which a profile of RGB does not count.

    Raises:
        ProfileError: What comes first can't be used.
    """
    primaries, transfer, matrix, is_full = chunks.get(b"cICP", b"").ljust(4, b"\0")[:4]
    if b"cICP" in chunks and (matrix, is_full) == (0, 1):
        return choose_numbered_profile(primaries, transfer)
    if b"iCCP" in chunks:
        profile = read_plain_profile(_unpack_profile(chunks[b"iCCP"]))
        if (profile.space == b"GRAY") != is_grey:
            raise ProfileError("it is for another kind of picture")
        return profile
    if b"sRGB" in chunks:
        return None
    return _profile_from_gamma(chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b""))


def choose_numbered_profile(primaries: int, transfer: int) -> Profile | None:
    """Return the profile for two numbers of ITU-T H.273, or None for sRGB.

    Raises:
        ProfileError: They name something that is not known here.
    """
    if primaries in (1, _UNSPECIFIED) and transfer in (*_SRGB_LIKE, _UNSPECIFIED):
        return None
    places = _PRIMARIES.get(1 if primaries == _UNSPECIFIED else primaries)
    if places is None:
        raise ProfileError(f"its primaries have the number {primaries}")
    return write_rgb_profile(_colorants(places), _numbered_curve(transfer))


def _numbered_curve(transfer: int) -> bytes:
    steps = [point / (_CURVE_POINTS - 1) for point in range(_CURVE_POINTS)]
    match transfer:
        case 4:
            return parametric_curve(0, 2.2)
        case 5:
            return parametric_curve(0, 2.8)
        case 8:
            return parametric_curve(0, 1.0)
        case 16:
            return sampled_curve([_light_of_pq(step) for step in steps])
        case 18:
            return sampled_curve([_light_of_hlg(step) for step in steps])
        case _ if transfer in _SRGB_LIKE or transfer == _UNSPECIFIED:
            return _SRGB_CURVE
    raise ProfileError(f"its transfer curve has the number {transfer}")


def _light_of_pq(signal: float) -> float:
    """Return the light of SMPTE ST 2084, where white paper (203 cd/m2) is 1."""
    root = signal ** (1 / 78.84375)
    linear = max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return float(linear ** (1 / 0.1593017578125)) * 10_000 / 203


def _light_of_hlg(signal: float) -> float:
    """Return the light of ARIB STD-B67 on a usual screen, where white paper (75 %) is 1."""
    return float((_scene_light_of_hlg(signal) / _scene_light_of_hlg(0.75)) ** 1.2)


def _scene_light_of_hlg(signal: float) -> float:
    if signal <= 0.5:
        return signal * signal / 3
    return (exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12


def _profile_from_gamma(gamma: bytes, chromaticities: bytes) -> Profile | None:
    if len(gamma) < 4 and len(chromaticities) < 32:
        return None
    curve, places = _SRGB_CURVE, _BT709
    if len(gamma) >= 4:
        encoded = int.from_bytes(gamma[:4])
        if not 10_000 <= encoded <= 1_000_000:
            raise ProfileError("its gamma is beyond what screens have")
        curve = parametric_curve(0, 100_000 / encoded)
    if len(chromaticities) >= 32:
        values = [value / 100_000 for value in struct.unpack_from(">8I", chromaticities)]
        white, red, green, blue = zip(values[::2], values[1::2], strict=True)
        places = (white, red, green, blue)
    return write_rgb_profile(_colorants(places), curve)


def _unpack_profile(chunk: bytes) -> bytes:
    _name, _, packed = chunk.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], MAX_PROFILE_BYTES + 1)
    except zlib.error as error:
        raise ProfileError("it is damaged") from error


_Matrix = Sequence[Sequence[float]]
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def _colorants(places: Sequence[tuple[float, float]]) -> _Matrix:
    """Return XYZ of red, green and blue as an eye used to D50 sees them."""
    if any(not 0 < y <= 1 or not 0 <= x <= 1 for x, y in places):
        raise ProfileError("its chromaticities are not those of colours")
    white, *primaries = ([x / y, 1.0, (1 - x - y) / y] for x, y in places)
    amounts = _times(_inverse(_transposed(primaries)), white)
    cones, wanted = _times(_BRADFORD, white), _times(_BRADFORD, D50)
    if min(cones) <= 0:
        raise ProfileError("its chromaticities are not those of colours")
    back = _inverse(_BRADFORD)
    seen = []
    for amount, primary in zip(amounts, primaries, strict=True):
        response = _times(_BRADFORD, [amount * value for value in primary])
        triples = zip(response, wanted, cones, strict=True)
        seen.append(_times(back, [value * to / by for value, to, by in triples]))
    if max(abs(value) for colorant in seen for value in colorant) > 10:
        raise ProfileError("its chromaticities are not those of colours")
    return seen


def _times(matrix: _Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _transposed(matrix: _Matrix) -> _Matrix:
    return list(zip(*matrix, strict=True))


def _inverse(matrix: _Matrix) -> _Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    cofactors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    if abs(determinant) < 1e-6:
        raise ProfileError("its chromaticities are not those of colours")
    return [[value / determinant for value in row] for row in cofactors]
