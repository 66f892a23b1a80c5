"""What becomes of an image that a caller sends."""

import contextlib
import io
import struct
import time
import tracemalloc
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from orchestrator.domain.input_errors import InputError
from orchestrator.intake.image_rules import ImageLimits
from orchestrator.intake.images import announce, normalise, normalise_image
from tests.unit.orchestrator.intake import heic_files

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
    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "AVIF"])
    def test_takes_each_format_that_can_be_written_here(self, image_format):
        result = normalise_image(saved(picture(), image_format))

        image = opened(result.png)
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 48))
        assert (result.width, result.height, result.has_alpha) == (64, 48, False)
        assert result.source_format == image_format

    def test_gives_equal_bytes_for_equal_input(self):
        data = saved(picture(), "JPEG")

        assert normalise_image(data) == normalise_image(data)

    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "AVIF"])
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
        options = {
            "WEBP": {"lossless": True},
            "JPEG": {"quality": 100, "subsampling": 0},
            "AVIF": {"quality": 100, "subsampling": "4:4:4"},
        }.get(image_format, {})

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
        image.paste(image.resize((4, 4)).point(lambda value: value * 0), (20, 20))

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
        wide = normalise_image(saved(picture(), icc_profile=swapped_profile()))
        unfit = normalise_image(saved(picture(), icc_profile=profile))

        assert corners(opened(wide.png))[:2] == [GREEN, RED]
        assert wide.notes == ()
        assert corners(opened(unfit.png))[:2] == [RED, GREEN]
        assert "colour profile was left aside" in unfit.notes[0]

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


def png_of(image: Image.Image, height_px: int) -> bytes:
    """A PNG whose header announces another height than its pixels have."""
    png = saved(image)
    header = struct.pack(">IIBBBBB", image.width, height_px, 8, 2, 0, 0, 0)
    return png[:8] + png_chunk(b"IHDR", header) + png[33:]


def animation_of_one_dot(edge_px: int) -> bytes:
    """A WebP of a hundred bytes with a large canvas and one tiny frame."""
    dot = saved(Image.new("RGB", (16, 16), RED), "WEBP", lossless=True)[12:]
    edge = (edge_px - 1).to_bytes(3, "little")
    frame = bytes(6) + b"\x0f\0\0" * 2 + b"\x64\0\0\0" + dot
    chunks = b"VP8X\x0a\0\0\0\x12\0\0\0" + edge + edge
    chunks += b"ANIM\6\0\0\0" + bytes(6) + b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def after_segments(data: bytes, stray: bytes) -> bytes:
    """Put bytes between the first and the second segment of a JPEG."""
    end = 4 + int.from_bytes(data[4:6])
    return data[:end] + stray + data[end:]


def cut_scan(data: bytes, keep: float) -> bytes:
    """Leave out the end of a JPEG's last scan, and its end marker."""
    start = data.rindex(b"\xff\xda")
    return data[: start + int((len(data) - start) * keep)]


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
    "cut heic": (lambda: heic_files.PLAIN[:-40], 422, "image_truncated", "cut off"),
    "raw": (lambda: b"\0\0\0\x18ftypcrx " + bytes(50), 415, "image_unsupported_type", "raw file"),
    "video": (lambda: b"\0\0\0\x18ftypmp42" + bytes(50), 415, "image_unsupported_type", "a video"),
    "html": (lambda: b"<!DOCTYPE html><p>404", 415, "image_unsupported_type", "an HTML page"),
    "noise": (lambda: b"\x01\x02" * 99, 415, "image_unsupported_type", "not known"),
    "45 MB": (lambda: jpeg() + bytes(45_000_000), 413, "image_too_large", "at most 40 MB"),
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
    "cut png": (lambda: saved(picture())[:-30], 422, "image_truncated", "cut off"),
    "cut webp": (lambda: saved(picture(), "WEBP")[:-20], 422, "image_truncated", "cut off"),
    "png of too few rows": (
        lambda: png_of(picture().crop((0, 0, 64, 40)), height_px=48),
        422,
        "image_truncated",
        "cut off",
    ),
    "canvas of an animation": (
        lambda: animation_of_one_dot(7_000),
        422,
        "image_too_many_pixels",
        "of this kind of WebP at most",
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
    "two frames": (
        lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc0\0\x0b\x08\0\x30\0\x40\1\1\x11\0\xff\xc0"),
        422,
        "image_unreadable",
        "damaged",
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
        image_format=st.sampled_from(["PNG", "JPEG", "WEBP", "AVIF", "HEIF"]),
        at=st.floats(0, 1),
        junk=st.binary(max_size=12),
        cut=st.booleans(),
    )
    def test_lets_no_other_error_out(self, image_format, at, junk, cut):
        is_heif = image_format == "HEIF"
        data = bytearray(heic_files.GRID if is_heif else saved(picture(), image_format))
        offset = int(at * len(data))
        data[offset : offset + len(junk)] = junk
        if cut:
            del data[offset + len(junk) :]

        with contextlib.suppress(InputError):
            result = normalise_image(bytes(data), limits=ImageLimits(max_pixels=1_000_000))
            assert opened(result.png).size == (result.width, result.height)


TOLERATED = {
    "jpeg with zeros between segments": lambda: after_segments(jpeg(), bytes(5)),
    "jpeg with stray bytes": lambda: after_segments(jpeg(), b"\x12\x34Photoshop"),
    "jpeg with restart markers": lambda: after_segments(jpeg(), b"\xff\xd0\xff\xd3"),
    "jpeg with long fill": lambda: after_segments(jpeg(), b"\xff" * 3_000_000),
    "jpeg with fill that ends in zero": lambda: after_segments(
        jpeg(), b"\xff" * 3_000_000 + b"\0"
    ),
    "jpeg without end": lambda: jpeg()[:-2],
    "progressive jpeg without end": lambda: saved(picture(), "JPEG", progressive=True)[:-2],
    "jpeg of a thousand passes": lambda: scans_jpeg(1_000),
    "png without end": lambda: saved(picture())[:-12],
    "png cut in its checksum": lambda: saved(picture())[:-14],
    "png with a huge chunk that is cut": lambda: saved(picture())[:-12] + b"\x7f\xff\xff\xffiTXt",
    "png with a wrong checksum of its gamma": lambda: with_chunks(
        saved(picture()), png_chunk(b"gAMA", b"\0\0\0\1")[:-1] + b"x"
    ),
    "webp announcing one byte more": lambda: longer_riff(saved(picture(), "WEBP"), 1),
}


def longer_riff(webp: bytes, by: int) -> bytes:
    return webp[:4] + struct.pack("<I", len(webp) - 8 + by) + webp[8:]


class TestTolerance:
    @pytest.mark.parametrize("name", TOLERATED)
    def test_takes_a_blemished_file_of_which_every_pixel_is_there(self, name):
        image = opened(normalise_image(TOLERATED[name]()).png)

        for seen, wanted in zip(corners(image), [RED, GREEN, BLUE, WHITE], strict=True):
            assert seen == pytest.approx(wanted, abs=8)

    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
    def test_calls_a_jpeg_truncated_of_which_pixels_are_missing(self, progressive, keep):
        noisy = Image.effect_noise((160, 120), 60).convert("RGB")
        data = saved(noisy, "JPEG", progressive=progressive, quality=90)

        assert refusal_of(cut_scan(data, keep)).code == "image_truncated"

    @pytest.mark.parametrize("interlace", [0, 1])
    def test_calls_a_png_truncated_of_which_pixels_are_missing(self, interlace):
        rows = bytes([0, *range(200, 206)]) * 2
        header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, interlace)
        data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
        data += png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")

        assert refusal_of(data).code == "image_truncated"

    def test_takes_a_png_whose_last_row_is_black(self):
        image = picture()
        image.paste((0, 0, 0), (0, 40, 64, 48))

        assert normalise_image(saved(image)).height == 48


class TestBlankImages:
    @pytest.mark.parametrize(
        "image",
        [
            Image.new("RGB", (64, 64), WHITE),
            Image.new("RGBA", (64, 64), (1, 2, 3, 128)),
            Image.merge("RGBA", [*picture().split(), Image.new("L", (64, 48), 1)]),
        ],
        ids=["one colour", "one colour, half clear", "wholly transparent"],
    )
    def test_refuses_what_shows_nothing(self, image):
        error = refusal_of(saved(image))

        assert (error.status, error.code) == (422, "image_blank")
        assert "Send a photo that shows an object." in error.message

    def test_refuses_an_animation_that_begins_empty(self):
        frames = [picture().convert("RGBA")]
        empty = Image.new("RGBA", (64, 48), (0, 0, 0, 0))

        data = saved(empty, "WEBP", save_all=True, append_images=frames, lossless=True)

        assert refusal_of(data).code == "image_blank"

    def test_takes_a_shape_of_one_colour(self):
        image = Image.new("RGBA", (64, 64), (10, 10, 10, 255))
        image.paste((10, 10, 10, 0), (0, 0, 20, 64))

        assert normalise_image(saved(image)).has_alpha


class TestHeic:
    @pytest.mark.parametrize("name", ["PLAIN", "GRID", "TEN_BITS", "TWO_IMAGES"])
    def test_is_taken(self, name):
        result = normalise_image(getattr(heic_files, name))

        assert result.source_format == "HEIF"
        for seen, wanted in zip(
            corners(opened(result.png)), [RED, GREEN, BLUE, WHITE], strict=True
        ):
            assert seen == pytest.approx(wanted, abs=3)

    def test_is_turned_by_its_container_once(self):
        image = opened(normalise_image(heic_files.TURNED_GRID).png)

        assert image.size == (100, 120)
        for seen, wanted in zip(corners(image), [BLUE, RED, WHITE, GREEN], strict=True):
            assert seen == pytest.approx(wanted, abs=3)

    def test_is_not_turned_by_what_exif_says(self):
        assert normalise_image(heic_files.TURNED_BY_EXIF).width == 64

    def test_keeps_its_alpha(self):
        image = opened(normalise_image(heic_files.ALPHA).png)

        assert [pixel[3] for pixel in corners(image)] == [0, 255, 255, 255]

    def test_has_the_colours_that_its_container_names(self):
        image = opened(normalise_image(heic_files.DISPLAY_P3).png)

        assert image.getpixel((30, 20)) == pytest.approx((215, 94, 33), abs=4)

    def test_is_recognised_by_any_of_its_brands(self):
        other = heic_files.GRID.replace(b"ftypheic", b"ftypMiHB", 1)

        assert announce(other, ImageLimits()).source_format == "HEIF"


class TestAvif:
    def test_has_the_colours_that_its_container_names(self):
        image = Image.new("RGB", (64, 64), (200, 100, 50))
        image.paste((0, 0, 0), (0, 48, 64, 64))
        data = saved(image, "AVIF", quality=95)

        display_p3 = data.replace(b"colrnclx\0\1", b"colrnclx\0\x0c", 1)

        assert display_p3 != data
        seen = opened(normalise_image(display_p3).png).getpixel((30, 20))
        assert seen == pytest.approx((215, 94, 33), abs=4)


class TestFirstImages:
    def test_of_a_phones_jpeg_are_taken(self):
        """Phones put a gain map or a second view behind the first image."""
        data = saved(picture(), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48))])

        result = normalise_image(data)

        assert result.source_format == "JPEG"
        assert corners(opened(result.png))[0] == pytest.approx(RED, abs=5)


class TestSizes:
    @pytest.mark.parametrize(
        ("width_px", "height_px"),
        [(8160, 6144), (8192, 6144), (9504, 6336), (11648, 8736), (16000, 4000), (16320, 12240)],
    )
    def test_of_cameras_are_taken_as_baseline_jpeg(self, width_px, height_px):
        data = jpeg_announcing(width_px, height_px)

        assert announce(data, ImageLimits()).memory_bytes < 250_000_000

    def test_of_64_megapixels_are_taken_as_png_and_no_more(self):
        assert announce(png_announcing(16_000, 4_000), ImageLimits()).width_px == 16_000
        with pytest.raises(InputError, match="at most 64 megapixels") as caught:
            announce(png_announcing(16_000, 4_001), ImageLimits())
        assert "or 200 as a baseline JPEG" in caught.value.message

    def test_that_memory_does_not_allow_say_which_would_fit(self):
        limits = ImageLimits(max_memory_bytes=200_000_000)

        with pytest.raises(InputError, match=r"at most \d+ megapixels") as caught:
            announce(jpeg_announcing(8160, 6144, progressive=True), limits)

        assert "baseline JPEG" in caught.value.message
        assert announce(jpeg_announcing(8160, 6144), limits).height_px == 6144

    def test_must_be_those_that_were_announced(self):
        data = saved(picture())
        announced = announce(data, ImageLimits())

        with pytest.raises(InputError, match="damaged"):
            normalise(data, replace(announced, width_px=63), ImageLimits())


def jpeg_announcing(width_px: int, height_px: int, **options: bool) -> bytes:
    size = struct.pack(">HH", height_px, width_px)
    return saved(picture(), "JPEG", **options).replace(struct.pack(">HH", 48, 64), size, 1)
