"""What becomes of an image that a caller sends."""

import contextlib
import io
import struct
import threading
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from orchestrator.domain.image_rules import ImageLimits
from orchestrator.domain.input_errors import InputError
from orchestrator.intake.images import normalise_image
from orchestrator.intake.pixel_budget import PixelBudget

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def picture(width_px: int = 64, height_px: int = 48) -> Image.Image:
    """An image whose four corners can be told apart."""
    image = Image.new("RGB", (width_px, height_px), WHITE)
    half = (width_px // 2, height_px // 2)
    image.paste(RED, (0, 0, *half))
    image.paste(GREEN, (half[0], 0, width_px, half[1]))
    image.paste(BLUE, (0, half[1], half[0], height_px))
    return image


def saved(image: Image.Image, image_format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format=image_format, **options)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def with_chunks(png: bytes, chunks: bytes) -> bytes:
    """Put chunks before the pixels."""
    at = png.index(b"IDAT") - 4
    return png[:at] + chunks + png[at:]


def png_announcing(width_px: int, height_px: int) -> bytes:
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(10_000_000)))
        + png_chunk(b"IEND", b"")
    )


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    right, bottom = image.width - 4, image.height - 4
    return [image.getpixel(at) for at in ((3, 3), (right, 3), (3, bottom), (right, bottom))]


def refusal_of(data: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        normalise_image(data)
    return caught.value


class TestNormaliseImage:
    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
    def test_takes_the_three_formats(self, image_format):
        result = normalise_image(saved(picture(), image_format))

        image = opened(result.png)
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 48))
        assert (result.width, result.height, result.has_alpha) == (64, 48, False)
        assert result.source_format == image_format

    def test_gives_equal_bytes_for_equal_input(self):
        data = saved(picture(), "JPEG")

        assert normalise_image(data) == normalise_image(data)

    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
    @pytest.mark.parametrize(
        ("orientation", "expected"),
        [
            (1, [RED, GREEN, BLUE, WHITE]),
            (2, [GREEN, RED, WHITE, BLUE]),
            (3, [WHITE, BLUE, GREEN, RED]),
            (4, [BLUE, WHITE, RED, GREEN]),
            (5, [RED, BLUE, GREEN, WHITE]),
            (6, [BLUE, RED, WHITE, GREEN]),
            (7, [WHITE, GREEN, BLUE, RED]),
            (8, [GREEN, WHITE, RED, BLUE]),
        ],
    )
    def test_turns_a_photo_upright(self, image_format, orientation, expected):
        exif = Image.Exif()
        exif[0x0112] = orientation
        lossless = {"lossless": True} if image_format == "WEBP" else {}
        options = {"quality": 100, "subsampling": 0} if image_format == "JPEG" else lossless

        result = normalise_image(saved(picture(), image_format, exif=exif, **options))

        image = opened(result.png)
        assert image.size == ((48, 64) if orientation >= 5 else (64, 48))
        for seen, wanted in zip(corners(image), expected, strict=True):
            assert seen == pytest.approx(wanted, abs=3)

    def test_ignores_exif_that_can_not_be_read(self):
        data = saved(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")

        assert normalise_image(data).width == 64

    @pytest.mark.parametrize(
        ("mode", "has_alpha"),
        [
            ("1", False),
            ("L", False),
            ("LA", True),
            ("P", False),
            ("RGB", False),
            ("RGBA", True),
            ("I;16", False),
        ],
    )
    def test_brings_every_kind_of_png_to_rgb_or_rgba(self, mode, has_alpha):
        image = Image.new("I;16", (32, 32), 128 * 257) if mode == "I;16" else None
        source = Image.new("RGBA", (32, 32), (128, 128, 128, 100))
        image = image or (source if has_alpha else source.convert("RGB")).convert(mode)

        result = normalise_image(saved(image))

        assert result.has_alpha is has_alpha
        assert opened(result.png).mode == ("RGBA" if has_alpha else "RGB")
        if mode != "1":
            assert opened(result.png).getpixel((5, 5))[:3] == pytest.approx((128,) * 3, abs=26)

    def test_keeps_the_transparency_of_a_palette(self):
        image = picture().quantize(8)
        image.info["transparency"] = image.getpixel((3, 3))

        result = normalise_image(saved(image, transparency=image.getpixel((3, 3))))

        assert result.has_alpha
        assert [pixel[3] for pixel in corners(opened(result.png))] == [0, 255, 255, 255]

    def test_drops_an_alpha_channel_that_hides_nothing(self):
        image = picture()
        image.putalpha(255)

        assert not normalise_image(saved(image)).has_alpha

    def test_reads_cmyk(self):
        result = normalise_image(saved(picture().convert("CMYK"), "JPEG", quality=95))

        assert corners(opened(result.png))[0] == pytest.approx(RED, abs=8)

    def test_converts_colours_to_srgb(self):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        wide = saved(Image.new("RGB", (16, 16), (200, 100, 50)), icc_profile=swapped_profile())

        assert opened(normalise_image(wide).png).getpixel((8, 8)) != (200, 100, 50)
        unfit = saved(Image.new("RGB", (16, 16), (200, 100, 50)), icc_profile=profile)
        assert opened(normalise_image(unfit).png).getpixel((8, 8)) == (200, 100, 50)

    def test_cuts_the_longest_edge(self):
        result = normalise_image(saved(picture(4096, 1024), "JPEG"))

        assert (result.width, result.height) == (2048, 512)

    def test_never_enlarges(self):
        assert normalise_image(saved(picture(30, 20))).width == 30

    def test_takes_the_first_frame_of_an_animation(self):
        second = Image.new("RGB", (64, 48), BLUE)
        frames = {"save_all": True, "append_images": [second], "duration": 100}

        for image_format, options in (("PNG", {}), ("WEBP", {"lossless": True})):
            result = normalise_image(saved(picture(), image_format, **frames, **options))
            assert corners(opened(result.png)) == [RED, GREEN, BLUE, WHITE]

    def test_leaves_out_metadata(self):
        exif = Image.Exif()
        exif[0x010E] = "where I live"
        data = saved(picture(), "JPEG", exif=exif, comment=b"where I live")

        result = normalise_image(data)

        assert b"where I live" in data
        assert b"where I live" not in result.png
        assert set(chunk_kinds(result.png)) == {b"IHDR", b"IDAT", b"IEND"}

    def test_leaves_out_what_is_behind_the_first_image(self):
        photo = saved(picture(), "JPEG")
        video = b"\0\0\0\x18ftypmp42" + b"\xff\xda\xff\xc0" * 50_000

        assert normalise_image(photo + video) == normalise_image(photo)


def swapped_profile() -> bytes:
    """The sRGB profile with the colours of red and green exchanged."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")


def chunk_kinds(png: bytes) -> list[bytes]:
    kinds, offset = [], 8
    while offset < len(png):
        (length,) = struct.unpack_from(">I", png, offset)
        kinds.append(png[offset + 4 : offset + 8])
        offset += 12 + length
    return kinds


def jpeg() -> bytes:
    return saved(picture(), "JPEG")


def scans_jpeg(count: int) -> bytes:
    """A progressive JPEG that repeats its last pass."""
    data = saved(picture(), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + b"\xff\xd9"


HOSTILE = {
    "empty": (lambda: b"", 400, "image_empty", "0 bytes"),
    "text": (lambda: "Grüße, kein Bild\n".encode(), 415, "image_unsupported_type", "text file"),
    "gif": (lambda: saved(picture(), "GIF"), 415, "image_unsupported_type", "a GIF"),
    "svg": (
        lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        415,
        "image_unsupported_type",
        "an SVG",
    ),
    "heic": (lambda: b"\0\0\0\x18ftypheic" + bytes(50), 415, "image_unsupported_type", "a HEIC"),
    "html": (lambda: b"<!DOCTYPE html><p>404", 415, "image_unsupported_type", "an HTML page"),
    "noise": (lambda: b"\x01\x02" * 99, 415, "image_unsupported_type", "not known"),
    "25 MB": (lambda: jpeg() + bytes(25_000_000), 413, "image_too_large", "at most 20 MB"),
    "bomb": (lambda: png_announcing(30_000, 30_000), 422, "image_too_many_pixels", "30,000 x"),
    "webp bomb": (
        lambda: (
            b"RIFF"
            + struct.pack("<I", 30)
            + b"WEBPVP8X"
            + struct.pack("<II", 10, 0)
            + b"\xff\xff\xff" * 2
            + bytes(8)
        ),
        422,
        "image_too_many_pixels",
        "16,777,216",
    ),
    "jpeg bomb": (
        lambda: jpeg().replace(struct.pack(">HH", 48, 64), b"\xff\xdc\xff\xdc", 1),
        422,
        "image_too_many_pixels",
        "65,500",
    ),
    "tiny": (lambda: saved(picture(6, 6)), 422, "image_too_small", "6 x 6"),
    "narrow": (lambda: saved(picture(9, 9_000)), 422, "image_too_small", "too narrow"),
    "cut jpeg": (lambda: jpeg()[:-40], 422, "image_truncated", "cut off"),
    "cut in jpeg head": (lambda: jpeg()[:100], 422, "image_truncated", "cut off"),
    "jpeg start only": (lambda: b"\xff\xd8\xff", 422, "image_truncated", "cut off"),
    "cut png": (lambda: saved(picture())[:-20], 422, "image_truncated", "cut off"),
    "cut webp": (lambda: saved(picture(), "WEBP")[:-20], 422, "image_truncated", "cut off"),
    "png without end": (
        lambda: saved(picture())[:-12],
        422,
        "image_truncated",
        "cut off",
    ),
    "flipped bit": (
        lambda: saved(picture()).replace(b"IDATx", b"IDATy"),
        422,
        "image_unreadable",
        "damaged",
    ),
    "a million chunks": (
        lambda: with_chunks(saved(picture()), png_chunk(b"tEXt", b"") * 1_000_000),
        422,
        "image_unreadable",
        "over 65,536 parts",
    ),
    "millions of segments": (
        lambda: jpeg()[:2] + b"\xff\xfe\0\2" * 4_000_000 + jpeg()[2:],
        422,
        "image_unreadable",
        "over 4,096 parts",
    ),
    "fill bytes": (
        lambda: jpeg()[:2] + b"\xff" * 15_000_000 + jpeg()[2:],
        422,
        "image_unreadable",
        "damaged",
    ),
    "two frames": (
        lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc0\0\x0b\x08\0\x30\0\x40\1\1\x11\0\xff\xc0"),
        422,
        "image_unreadable",
        "damaged",
    ),
    "a thousand passes": (lambda: scans_jpeg(1_000), 422, "image_unreadable", "passes"),
    "chunk of 2 GB": (
        lambda: with_chunks(saved(picture()), b"\x7f\xff\xff\xffiTXt"),
        422,
        "image_truncated",
        "cut off",
    ),
}


class TestRefusals:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_says_what_is_wrong_at_once_and_without_memory(self, name):
        build, status, code, words = HOSTILE[name]
        data = build()
        began = time.process_time()

        error = refusal_of(data)

        took_s = time.process_time() - began
        tracemalloc.start()
        refusal_of(data)
        _now, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (error.status, error.code) == (status, code)
        assert words in error.message
        assert error.message.endswith(".")
        assert took_s < 1
        assert peak_bytes < len(data) + 30_000_000

    def test_does_not_unpack_compressed_text(self):
        packed = zlib.compress(bytes(100_000_000))
        text = b"".join(png_chunk(b"zTXt", b"%d\0\0" % n + packed) for n in range(20))

        began = time.process_time()
        result = normalise_image(with_chunks(saved(picture()), text))

        assert result.width == 64
        assert time.process_time() - began < 1

    def test_drops_a_colour_profile_that_unpacks_to_too_much(self):
        bomb = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100_000_000)))

        assert normalise_image(with_chunks(saved(picture()), bomb)).width == 64

    def test_reads_a_progressive_jpeg(self):
        assert normalise_image(saved(picture(), "JPEG", progressive=True)).width == 64

    @settings(max_examples=150, deadline=None)
    @given(
        image_format=st.sampled_from(["PNG", "JPEG", "WEBP"]),
        at=st.floats(0, 1),
        junk=st.binary(max_size=12),
        cut=st.booleans(),
    )
    def test_lets_no_other_error_out(self, image_format, at, junk, cut):
        data = bytearray(saved(picture(), image_format))
        offset = int(at * len(data))
        data[offset : offset + len(junk)] = junk
        if cut:
            del data[offset + len(junk) :]

        with contextlib.suppress(InputError):
            result = normalise_image(bytes(data), limits=ImageLimits(max_pixels=1_000_000))
            assert opened(result.png).size == (result.width, result.height)


class TestPixelBudget:
    def test_makes_an_image_wait_until_it_fits(self):
        budget = PixelBudget(max_pixels=10)
        is_in = threading.Event()

        def decode() -> None:
            with budget.take(5):
                is_in.set()

        thread = threading.Thread(target=decode)
        with budget.take(4), budget.take(4):
            thread.start()
            is_in_early = is_in.wait(0.05)
        thread.join(5)

        assert not is_in_early
        assert is_in.is_set()

    def test_lets_through_what_is_larger_than_all_of_it(self):
        with PixelBudget(max_pixels=10).take(50):
            pass


def test_flat_memory_for_a_large_jpeg():
    """A JPEG is decoded at a fraction of its size when it will be reduced anyway."""
    photo = Image.fromarray(np.zeros((6000, 8000, 3), np.uint8))

    result = normalise_image(saved(photo, "JPEG"))

    assert (result.width, result.height) == (2048, 1536)
