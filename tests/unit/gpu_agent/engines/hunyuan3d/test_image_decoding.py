import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from gpu_agent.engines.hunyuan3d.image_decoding import LONGEST_EDGE_PX, MOST_PIXELS, decode_image
from gpu_agent.errors import EngineError

RED = (200, 40, 40)


def encode(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def half_red(mode="RGB", size=(40, 20)):
    """The left half red, the right half white; the right half transparent where it can be."""
    picture = Image.new("RGBA", size, (255, 255, 255, 0))
    picture.paste((*RED, 255), (0, 0, size[0] // 2, size[1]))
    return picture.convert(mode)


def pixel(intake, x, y):
    return intake.rgb.getpixel((x, y))


def near(colour, wanted, tolerance=6):
    return max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= tolerance


class TestModes:
    @pytest.mark.parametrize("mode", ["RGB", "P", "CMYK"])
    def test_without_transparency_are_rgb(self, mode):
        kind = "JPEG" if mode == "CMYK" else "PNG"
        picture = half_red("RGB")
        picture = picture.quantize(8) if mode == "P" else picture.convert(mode)

        intake = decode_image(encode(picture, kind))

        assert (intake.rgb.mode, intake.alpha) == ("RGB", None)
        assert near(pixel(intake, 5, 5), RED)
        assert near(pixel(intake, 35, 5), (255, 255, 255))

    @pytest.mark.parametrize("mode", ["L", "1"])
    def test_grey_stays_grey(self, mode):
        picture = Image.new("L", (20, 20), 0)
        picture.paste(255, (0, 0, 10, 20))

        intake = decode_image(encode(picture.convert(mode)))

        assert (pixel(intake, 5, 5), pixel(intake, 15, 5)) == ((255,) * 3, (0,) * 3)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_with_transparency_keep_it(self, kind):
        intake = decode_image(encode(half_red("RGBA"), kind))

        assert near(pixel(intake, 5, 5), RED, 20)
        assert (intake.alpha[5, 5], intake.alpha[5, 35]) == (255, 0)

    def test_a_palette_keeps_its_transparent_colour(self):
        picture = Image.new("P", (20, 20), 1)
        picture.putpalette([*RED, 0, 0, 255])
        picture.paste(0, (0, 0, 10, 20))

        intake = decode_image(encode(picture, transparency=1))

        assert (intake.alpha[5, 5], intake.alpha[5, 15]) == (255, 0)
        assert pixel(intake, 5, 5) == RED

    def test_grey_with_alpha_keeps_it(self):
        assert decode_image(encode(half_red("LA"))).alpha[5, 35] == 0

    def test_sixteen_bits_are_scaled_and_not_clipped(self):
        levels = np.repeat(np.linspace(0, 65_535, 32, dtype=np.uint16)[None], 32, axis=0)

        intake = decode_image(encode(Image.fromarray(levels)))

        grey = np.asarray(intake.rgb)[0, :, 0].astype(int)
        assert grey.tolist() == [round(level / 257) for level in levels[0].tolist()]

    def test_a_picture_that_is_opaque_all_over_says_nothing_by_its_alpha(self):
        picture = Image.new("RGBA", (40, 40), (*RED, 255))
        picture.putpixel((0, 0), (0, 0, 0, 0))

        assert decode_image(encode(picture)).alpha is None

    def test_a_picture_that_is_transparent_all_over_says_that(self):
        assert decode_image(encode(Image.new("RGBA", (9, 9)))).alpha.max() == 0


class TestFrames:
    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_the_first_counts(self, kind):
        first, second = Image.new("RGB", (24, 24), RED), Image.new("RGB", (24, 24), (0, 0, 255))

        data = encode(first, kind, save_all=True, append_images=[second], duration=50)

        assert near(pixel(decode_image(data), 12, 12), RED, 12)


class TestOrientation:
    def test_follows_what_the_camera_says(self):
        exif = Image.Exif()
        exif[0x0112] = 6

        intake = decode_image(encode(half_red("RGB"), "JPEG", exif=exif, quality=95))

        assert intake.rgb.size == (20, 40)
        assert near(pixel(intake, 10, 5), RED, 20)
        assert near(pixel(intake, 10, 35), (255, 255, 255), 20)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_turned_as_pil_would_turn_it(self, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        levels = np.arange(40 * 20 * 3, dtype=np.uint32).reshape(20, 40, 3) % 251
        picture = encode(Image.fromarray(levels.astype(np.uint8)), exif=exif)

        intake = decode_image(picture)

        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(picture)))
        assert np.array_equal(np.asarray(intake.rgb), np.asarray(expected))

    def test_follows_it_beside_fields_of_a_wrong_type(self):
        """A resolution in bytes: PIL can read it, and not write it again."""
        fields = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", 0x011A, 1, 1, 1)
        exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + fields + bytes(4)
        picture = encode(half_red("RGB"), exif=exif)
        with pytest.raises(TypeError):
            ImageOps.exif_transpose(Image.open(io.BytesIO(picture)))

        assert decode_image(picture).rgb.size == (20, 40)

    def test_follows_it_in_sixteen_bits_too(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        levels = np.zeros((20, 40), np.uint16)
        levels[:, :20] = 65_535

        intake = decode_image(encode(Image.fromarray(levels), exif=exif))

        assert (intake.rgb.size, pixel(intake, 10, 5)) == ((20, 40), (255, 255, 255))


class TestSize:
    def test_is_brought_down(self):
        intake = decode_image(encode(half_red("RGB", (5000, 1000))))

        assert intake.rgb.size == (LONGEST_EDGE_PX, 410)
        assert near(pixel(intake, 10, 10), RED)

    @pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
    def test_is_refused_before_anything_is_decoded(self, side):
        head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
        chunk = b"IHDR" + head
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
        data += struct.pack(">I", zlib.crc32(chunk))
        data += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))

        with pytest.raises(
            EngineError, match=f"the most is {MOST_PIXELS // 10**6} mill"
        ) as caught:
            decode_image(data)
        assert (caught.value.code, caught.value.retryable) == ("invalid_image", False)


class TestBrokenFiles:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    def test_that_are_cut_short_are_refused(self, kind):
        data = encode(Image.effect_noise((64, 64), 90).convert("RGB"), kind)

        with pytest.raises(EngineError) as caught:
            decode_image(data[: len(data) // 2])
        assert caught.value.code == "invalid_image"

    @pytest.mark.parametrize("data", [b"", b"text", b"GIF89a" + bytes(40), b"\x89PNG\r\n\x1a\n"])
    def test_that_are_no_image_are_refused(self, data):
        with pytest.raises(EngineError, match="can't be decoded"):
            decode_image(data)
