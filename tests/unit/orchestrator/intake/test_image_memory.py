"""What decoding really takes, measured in a process of its own, against what is announced."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.orchestrator.intake import heic_files

SIZE = (3000, 2000)

MEASURE = """
import sys
from orchestrator.intake.images import ImageLimits, announce, normalise

def read(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

with open(sys.argv[1], "rb") as file:
    data = file.read()
limits = ImageLimits(max_edge_px=512, max_memory_bytes=10**10)
with open("/proc/self/clear_refs", "w") as peaks:
    peaks.write("5")
before = read("VmRSS")
announced = announce(data, limits)
while_announcing = read("VmHWM") - before
normalise(data, announced, limits)
print(announced.memory_bytes, read("VmHWM") - before, while_announcing)
"""


def drawn(mode: str = "RGB") -> Image.Image:
    image = Image.merge("RGBA", [Image.linear_gradient("L").rotate(90 * n) for n in range(4)])
    return image.resize(SIZE, Image.Resampling.BILINEAR).convert(mode)


def saved(mode: str, image_format: str, **options) -> bytes:
    file = io.BytesIO()
    drawn(mode).save(file, image_format, **options)
    return file.getvalue()


def png16(colour_type: int, channels: int, *, named: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    row = bytes(range(1, 251)) * (SIZE[0] * channels * 2 // 250)
    rows = b"".join((b"\0" + row[number % 7 :] + row[: number % 7]) for number in range(SIZE[1]))
    header = struct.pack(">IIBBBBB", *SIZE, 16, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"tRNS", named) if named else b""]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [*parts, chunk(b"IDAT", zlib.compress(rows, 1)), chunk(b"IEND", b"")]
    )


def animated() -> bytes:
    return saved("RGB", "WEBP", method=0, save_all=True, append_images=[Image.new("RGB", SIZE)])


FILES = {
    "grey png": lambda: saved("L", "PNG", compress_level=1),
    "rgb png": lambda: saved("RGB", "PNG", compress_level=1),
    "rgba png": lambda: saved("RGBA", "PNG", compress_level=1),
    "palette png": lambda: saved("P", "PNG", compress_level=1),
    "palette png with alpha": lambda: saved("P", "PNG", transparency=bytes(range(256))),
    "16-bit grey png": lambda: png16(0, 1),
    "16-bit grey png with a clear level": lambda: png16(0, 1, named=b"\1\2"),
    "16-bit rgb png with a clear colour": lambda: png16(2, 3, named=b"\1\2\3\4\5\6"),
    "16-bit rgba png": lambda: png16(6, 4),
    "baseline jpeg 4:4:4": lambda: saved("RGB", "JPEG", subsampling=0),
    "baseline jpeg 4:2:0": lambda: saved("RGB", "JPEG", subsampling=2),
    "baseline jpeg without end": lambda: saved("RGB", "JPEG")[:-2],
    "progressive jpeg 4:4:4": lambda: saved("RGB", "JPEG", progressive=True, subsampling=0),
    "progressive jpeg 4:2:0": lambda: saved("RGB", "JPEG", progressive=True, subsampling=2),
    "cmyk jpeg": lambda: saved("CMYK", "JPEG"),
    "progressive cmyk jpeg": lambda: saved("CMYK", "JPEG", progressive=True),
    "lossy webp": lambda: saved("RGB", "WEBP", method=0),
    "lossless webp": lambda: saved("RGBA", "WEBP", lossless=True, method=0, quality=0),
    "animated webp": animated,
    "avif": lambda: saved("RGB", "AVIF", speed=10),
    "avif of full chroma and alpha": lambda: saved("RGBA", "AVIF", speed=10, subsampling="4:4:4"),
    "heic of ten bits, full chroma and alpha": lambda: heic_files.DEEP,
    "heic of tiles": lambda: heic_files.GRID,
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
class TestDecodingBytes:
    @pytest.mark.parametrize("name", FILES)
    def test_are_never_less_than_what_decoding_takes(self, name, tmp_path):
        path = tmp_path / "image"
        path.write_bytes(FILES[name]())

        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

        announced, peak, while_announcing = map(int, done.stdout.split())
        assert peak <= announced
        assert while_announcing < 3_000_000
