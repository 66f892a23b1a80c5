"""Reads which way up a photo was taken, and nothing else of its Exif metadata."""

import struct

UPRIGHT = 1
"""The orientation of a photo whose rows and columns are as they should be seen."""

_ORIENTATION_TAG = 0x0112
_SHORT = 3
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_HEADER_BYTES = 8
_ENTRY_BYTES = 12


def read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, as the Exif standard numbers them.

    Args:
        exif: A TIFF structure, with or without the ``Exif`` mark before it. Metadata that can't
            be read is no reason to refuse a photo: it counts as upright.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < _HEADER_BYTES:
        return UPRIGHT
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    if directory + 2 > len(tiff):
        return UPRIGHT
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for number in range(entries):
        at = directory + 2 + number * _ENTRY_BYTES
        if at + _ENTRY_BYTES > len(tiff):
            break
        tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, at)
        if tag == _ORIENTATION_TAG:
            return value if (kind, count) == (_SHORT, 1) and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
