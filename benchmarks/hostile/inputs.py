"""Small files that cost much to read. Each stands for a kind; tests send them, too."""

import io
import json
import struct
import zlib

import numpy as np
from PIL import Image

_PASS_STEPS = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_LAST_PASS = (0, 1, 1, 2)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Build a chunk of a PNG."""
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def looping_profile(elements: int) -> bytes:
    """Build an ICC profile whose only table lists one matrix again and again.

    The cost in lcms2 is quadratic in their number.
    """
    matrix = b"matf\0\0\0\0" + struct.pack(">HH", 3, 3) + struct.pack(">12f", *([0.5] * 12))
    table_bytes = 16 + 8 * elements
    head = b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, elements)
    body = head + struct.pack(">II", table_bytes, len(matrix)) * elements + matrix
    tags = struct.pack(">I4sII", 1, b"D2B0", 144, len(body))
    size = 128 + len(tags) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x04400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 10, 1, 0, 0, 0) + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + tags + body


def looping_png(elements: int = 30_000) -> bytes:
    """Build a PNG of 64 x 64 pixels with such a profile."""
    noise = np.random.default_rng(7).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", icc_profile=looping_profile(elements))
    return buffer.getvalue()


def huge_png(width: int = 7000, height: int = 7000) -> bytes:
    """Build an interlaced 16-bit RGBA PNG of one colour: 49 megapixels in some hundred kB."""
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 1)
    packer = zlib.compressobj(6)
    packed = []
    for left, top, step_x, step_y in (*_PASS_STEPS, _LAST_PASS):
        columns = -(-(width - left) // step_x)
        rows = -(-(height - top) // step_y)
        row = b"\0" + bytes([90, 10, 160, 20, 30, 60, 255, 255]) * columns
        packed += [packer.compress(row) for _ in range(rows)]
    packed.append(packer.flush())
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"".join(packed))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


def canvas_webp(edge: int = 7000) -> bytes:
    """Build an animated WebP of under 100 bytes whose canvas is huge."""
    frame = bytes.fromhex("5650384c0f0000002f0fc003000710fd8ffe0722a2ff0100")
    side = struct.pack("<I", edge - 1)[:3]
    anmf = bytes(6) + struct.pack("<I", 15)[:3] * 2 + b"\x64\0\0\0" + frame
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + b"\x12\0\0\0"
        + side
        + side
        + b"ANIM"
        + struct.pack("<I", 6)
        + bytes(6)
        + b"ANMF"
        + struct.pack("<I", len(anmf))
        + anmf
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def scanned_jpeg(edge: int = 4096) -> bytes:
    """Build a progressive JPEG of noise without subsampling, which keeps all it has in memory."""
    noise = np.random.default_rng(7).integers(0, 256, (edge // 8, edge // 8, 3), np.uint8)
    image = Image.fromarray(noise).resize((edge, edge), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", progressive=True, subsampling=0, quality=80)
    return buffer.getvalue()


def nested_json(size_bytes: int = 20_000_000) -> bytes:
    """Build a JSON body of small lists: some hundred bytes of memory for each three of text."""
    lists = b"[]," * (size_bytes // 3)
    return b'{"image_url": "https://images.invalid/", "metadata": {"a": [' + lists + b"[]]}}"


def broken_base64(size_bytes: int = 20_000_000) -> bytes:
    """Build a JSON body whose base64 is wrong at its very end."""
    return json.dumps({"image_base64": "A" * size_bytes + "!"}).encode()


def crowded_form(boundary: str, parts: int = 200_000) -> bytes:
    """Build a form of many tiny parts."""
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'.encode()
    return part * parts + f"--{boundary}--\r\n".encode()
