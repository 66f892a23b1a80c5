"""Reads and writes ICC colour profiles, as far as bringing pixels to sRGB needs them.

A profile is a program that the colour library runs for a stranger. Only a matrix with curves, or
one table with its curves, is let through: neither can repeat anything. Other tags are left out.
"""

import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

MAX_PROFILE_BYTES = 1_000_000
"""Printers' profiles, the largest there are, take about 500 kB."""

MAX_TAGS = 100
"""What the colour library reads itself."""

MAX_CURVE_POINTS = 4_096
"""What the largest tables of real profiles have."""

_HEADER_BYTES = 128
_ENTRY_BYTES = 12
_CHANNELS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}
_CLASSES = frozenset({b"scnr", b"mntr", b"prtr", b"spac"})
_RGB_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
_PARAMETERS = (1, 3, 4, 5, 7)
"""Of a parametric curve, by its type."""


class ProfileError(ValueError):
    """The profile can't be used; the text completes "because"."""


class Profile(NamedTuple):
    """A profile that is cheap to use.

    Attributes:
        space: Of the pixels: ``GRAY``, ``RGB `` or ``CMYK``.
        data: The file.
    """

    space: bytes
    data: bytes


def read_plain_profile(profile: bytes) -> Profile:
    """Return a copy that holds a table or a matrix with curves, whichever the profile has.

    Raises:
        ProfileError: It has neither, is damaged, or is too large.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        raise ProfileError(f"it is larger than {MAX_PROFILE_BYTES / 1e6:g} MB")
    space, header = profile[16:20], profile[:_HEADER_BYTES]
    if len(profile) < _HEADER_BYTES + 4 or header[36:40] != b"acsp":
        raise ProfileError("it is damaged")
    if space not in _CHANNELS or header[12:16] not in _CLASSES:
        raise ProfileError("it is not for pictures of RGB, grey or CMYK")
    tags = _read_tags(profile)
    kept: dict[bytes, bytes] = {kind: tags[kind] for kind in (b"wtpt", b"chad") if kind in tags}
    if _is_plain_table(tags.get(b"A2B0", b""), _CHANNELS[space]):
        kept[b"A2B0"] = tags[b"A2B0"]
    curves = {b"GRAY": (b"kTRC",), b"RGB ": _RGB_TAGS}.get(space, ())
    if curves and all(_is_curve_or_colorant(tags.get(kind, b"")) for kind in curves):
        kept |= {kind: tags[kind] for kind in curves}
    elif b"A2B0" not in kept:
        raise ProfileError("it has neither a plain table nor a matrix with curves")
    return Profile(space, write_profile(header, kept))


def write_profile(header: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Return a profile with these tags, each padded to four bytes as the standard asks."""
    offset = _HEADER_BYTES + 4 + _ENTRY_BYTES * len(tags)
    table, bodies = [struct.pack(">I", len(tags))], []
    for kind, body in tags.items():
        table.append(kind + struct.pack(">II", offset, len(body)))
        bodies.append(body + bytes(-len(body) % 4))
        offset += len(bodies[-1])
    return b"".join([struct.pack(">I", offset), header[4:], *table, *bodies])


def _read_tags(profile: bytes) -> dict[bytes, bytes]:
    count = int.from_bytes(profile[_HEADER_BYTES : _HEADER_BYTES + 4])
    if count > MAX_TAGS:
        raise ProfileError(f"it has more than {MAX_TAGS} parts")
    tags: dict[bytes, bytes] = {}
    for number in range(count):
        at = _HEADER_BYTES + 4 + number * _ENTRY_BYTES
        kind = profile[at : at + 4]
        offset, size = (int.from_bytes(profile[at + n : at + n + 4]) for n in (4, 8))
        # The same bytes may serve many tags; only those that are kept are copied out.
        if offset + size <= len(profile) and kind in (
            *_RGB_TAGS,
            b"kTRC",
            b"A2B0",
            b"wtpt",
            b"chad",
        ):
            tags.setdefault(kind, profile[offset : offset + size])
    return tags


def _is_curve_or_colorant(tag: bytes) -> bool:
    return (tag[:4] == b"XYZ " and len(tag) >= 20) or _curve_bytes(tag, 0) > 0


def _curve_bytes(tag: bytes, at: int) -> int:
    """Return how many bytes the curve at this offset takes, or 0 if there is no plain one."""
    kind = tag[at : at + 4]
    if kind == b"curv":
        points = int.from_bytes(tag[at + 8 : at + 12])
        size = 12 + 2 * points if points <= MAX_CURVE_POINTS else 0
    elif kind == b"para" and int.from_bytes(tag[at + 8 : at + 10]) < len(_PARAMETERS):
        size = 12 + 4 * _PARAMETERS[int.from_bytes(tag[at + 8 : at + 10])]
    else:
        size = 0
    return size if at + size <= len(tag) else 0


def _is_plain_table(tag: bytes, channels: int) -> bool:
    if len(tag) < 32 or tag[8] != channels or tag[9] != 3:
        return False
    grid_points = int(tag[10] ** channels)
    if tag.startswith(b"mft1"):
        return len(tag) >= 48 + 256 * (channels + 3) + 3 * grid_points
    if tag.startswith(b"mft2"):
        points = [int.from_bytes(tag[at : at + 2]) for at in (48, 50)]
        entries = channels * points[0] + 3 * grid_points + 3 * points[1]
        return max(points) <= MAX_CURVE_POINTS and len(tag) >= 52 + 2 * entries
    return tag.startswith(b"mAB ") and _are_plain_stages(tag, channels)


def _are_plain_stages(tag: bytes, channels: int) -> bool:
    """Check the five stages of a newer table: curves, grid, curves, matrix, curves."""
    last, matrix, middle, grid, first = (
        int.from_bytes(tag[at : at + 4]) for at in range(12, 32, 4)
    )
    is_plain = matrix == 0 or matrix + 48 <= len(tag)
    if grid:
        sides, width = tag[grid : grid + channels], tag[grid + 16 : grid + 17]
        size = 3 * prod(sides) * (width[0] if width else 0)
        is_plain = is_plain and size > 0 and grid + 20 + size <= len(tag)
    for at, count in ((last, 3), (middle, 3), (first, channels)):
        for _ in range(count if at else 0):
            size = _curve_bytes(tag, at)
            is_plain = is_plain and size > 0
            at += size + -size % 4
    return is_plain


def _pack_s15(values: Sequence[float]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def write_rgb_profile(colorants: Sequence[Sequence[float]], curve: bytes) -> Profile:
    """Return a profile of a matrix and one curve for the three channels.

    Args:
        colorants: XYZ of red, green and blue, relative to the white of D50.
        curve: The body of a curve tag.
    """
    header = bytearray(_HEADER_BYTES)
    header[8:12] = b"\x04\x30\0\0"
    header[12:24] = b"mntrRGB XYZ "
    header[36:40] = b"acsp"
    header[68:80] = _pack_s15(D50)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _pack_s15(D50)}
    for name, colorant in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + _pack_s15(colorant)
        tags[name + b"TRC"] = curve
    return Profile(b"RGB ", write_profile(bytes(header), tags))


def parametric_curve(kind: int, *parameters: float) -> bytes:
    """Return a curve tag of the standard's types 0 (a power) to 4."""
    return struct.pack(">4sIHH", b"para", 0, kind, 0) + _pack_s15(parameters)


def sampled_curve(points: Sequence[float]) -> bytes:
    """Return a curve tag of values from 0 to 1, at equal distances."""
    levels = [round(65535 * min(max(point, 0.0), 1.0)) for point in points]
    return struct.pack(f">4sII{len(levels)}H", b"curv", 0, len(levels), *levels)


D50 = (0.9642, 1.0, 0.8249)
"""XYZ of the white that profiles refer to."""
