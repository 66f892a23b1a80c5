"""The order in which pixels are reduced, against the PNG standard's own arithmetic.

The reference is written out here from the standard, as libpng follows it: a sample scales to 8
bits by its own maximum, and is clear where the whole sample equals the transparent one. Where
Pillow is right (8 bits), it is asked too.
"""

import io
import struct
import zlib

import pytest
from PIL import Image, ImageChops, ImageCms

from orchestrator.intake.formats.colour_space import choose_numbered_profile
from orchestrator.intake.images import normalise_image

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
WIDTH, HEIGHT = 8, 8


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    colour_type: int, depth: int, pixels: list[list[tuple[int, ...]]], more: bytes = b""
) -> bytes:
    """Write samples as they are, without a filter."""
    rows = b""
    for row in pixels:
        bits = "".join(f"{sample:0{depth}b}" for pixel in row for sample in pixel)
        bits += "0" * (-len(bits) % 8)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8)
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + more
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def samples(colour_type: int, depth: int) -> list[list[tuple[int, ...]]]:
    """Every level, or 64 that are spread and differ in their low bytes alone here and there."""
    top = (1 << depth) - 1
    count = CHANNELS[colour_type]
    flat = [
        tuple((place * top // 63 + channel * (top // 3)) % (top + 1) for channel in range(count))
        for place in range(WIDTH * HEIGHT)
    ]
    if depth == 16:
        flat[1] = (*flat[0][:-1], flat[0][-1] ^ 1)
    return [flat[start : start + WIDTH] for start in range(0, len(flat), WIDTH)]


def expected(
    colour_type: int, depth: int, pixel: tuple[int, ...], clear: tuple[int, ...] | None
) -> tuple[int, ...]:
    levels = [round(sample * 255 / ((1 << depth) - 1)) for sample in pixel]
    if colour_type in (GREY, GREY_ALPHA):
        colour, rest = levels[:1] * 3, levels[1:]
    else:
        colour, rest = levels[:3], levels[3:]
    return (*colour, 0 if pixel == clear else (rest or [255])[0])


def shown(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(normalise_image(data).png)).convert("RGBA")


KINDS = [
    *((GREY, depth) for depth in (1, 2, 4, 8, 16)),
    *((RGB, depth) for depth in (8, 16)),
    *((GREY_ALPHA, depth) for depth in (8, 16)),
    *((RGBA, depth) for depth in (8, 16)),
]


class TestDepthAndTransparency:
    @pytest.mark.parametrize(("colour_type", "depth"), KINDS)
    @pytest.mark.parametrize("has_clear", [False, True])
    def test_are_reduced_as_the_standard_says(self, colour_type, depth, has_clear):
        rows = samples(colour_type, depth)
        clear = rows[0][0] if has_clear and colour_type in (GREY, RGB) else None
        named = chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear)) if clear else b""

        image = shown(png(colour_type, depth, rows, named))

        for y, row in enumerate(rows):
            for x, pixel in enumerate(row):
                wanted = expected(colour_type, depth, pixel, clear)
                seen = image.getpixel((x, y))
                assert seen[3] == pytest.approx(wanted[3], abs=1)
                assert seen[:3] == pytest.approx(wanted[:3], abs=1)

    @pytest.mark.parametrize("depth", [1, 2, 4, 8])
    def test_of_a_palette_are_its_own(self, depth):
        colours = [(7 * n % 256, 255 - n, n * 3 % 256) for n in range(1 << depth)]
        alphas = bytes((50 * n) % 256 for n in range((1 << depth) // 2))
        more = chunk(b"PLTE", bytes(sum(colours, ()))) + chunk(b"tRNS", alphas)
        rows = samples(PALETTE, depth)

        image = shown(png(PALETTE, depth, rows, more))

        for y, row in enumerate(rows):
            for x, (index,) in enumerate(row):
                alpha = alphas[index] if index < len(alphas) else 255
                assert image.getpixel((x, y)) == (*colours[index], alpha)

    @pytest.mark.parametrize("colour_type", [GREY, RGB])
    def test_agree_with_pillow_at_eight_bits(self, colour_type):
        rows = samples(colour_type, 8)
        data = png(colour_type, 8, rows, chunk(b"tRNS", b"\0\0" * len(rows[0][0])))

        assert shown(data).tobytes() == Image.open(io.BytesIO(data)).convert("RGBA").tobytes()


def profile_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def swapped() -> bytes:
    """The profile of sRGB with red and green exchanged: its use can't be overlooked."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")


SRGB, GAMMA_1 = chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 100_000))
CICP_LINEAR = chunk(b"cICP", bytes((1, 8, 0, 1)))
SWAPPED = (100, 200, 50)
LINEAR = (229, 168, 122)
"""200, 100 and 50 of 255 as shares of light, in the levels of sRGB."""


class TestColours:
    @pytest.mark.parametrize(
        ("more", "wanted"),
        [
            (b"", (200, 100, 50)),
            (SRGB, (200, 100, 50)),
            (GAMMA_1, LINEAR),
            (GAMMA_1 + SRGB, (200, 100, 50)),
            (profile_chunk(swapped()), SWAPPED),
            (GAMMA_1 + SRGB + profile_chunk(swapped()), SWAPPED),
            (CICP_LINEAR + profile_chunk(swapped()) + SRGB, LINEAR),
            (chunk(b"cICP", bytes((1, 8, 1, 1))) + profile_chunk(swapped()), SWAPPED),
        ],
        ids=["none", "sRGB", "gAMA", "sRGB+gAMA", "iCCP", "iCCP+sRGB", "cICP+iCCP", "YCbCr cICP"],
    )
    def test_come_from_what_the_standard_puts_first(self, more, wanted):
        rows = [[(200, 100, 50)] * 8] * 7 + [[(0, 0, 0)] * 8]

        assert shown(png(RGB, 8, rows, more)).getpixel((4, 3))[:3] == pytest.approx(wanted, abs=2)

    def test_of_a_grey_picture_follow_its_gamma(self):
        rows = [[(100,)] * 8] * 7 + [[(0,)] * 8]

        seen = shown(png(GREY, 8, rows, GAMMA_1)).getpixel((4, 3))

        assert seen[:3] == pytest.approx((168, 168, 168), abs=2)

    def test_of_a_grey_picture_ignore_a_profile_of_rgb(self):
        rows = [[(100,)] * 8] * 7 + [[(0,)] * 8]

        result = normalise_image(png(GREY, 8, rows, profile_chunk(swapped())))

        assert Image.open(io.BytesIO(result.png)).getpixel((4, 3)) == (100, 100, 100)
        assert "it is for another kind of picture" in result.notes[0]

    def test_follow_the_chromaticities(self):
        """The primaries of Display P3, as four pairs: red reaches beyond sRGB's."""
        places = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
        named = chunk(b"cHRM", struct.pack(">8I", *places))
        rows = [[(200, 100, 50)] * 8] * 7 + [[(0, 0, 0)] * 8]

        by_place = shown(png(RGB, 8, rows, named)).getpixel((4, 3))
        by_number = shown(png(RGB, 8, rows, chunk(b"cICP", bytes((12, 13, 0, 1)))))

        assert by_place == pytest.approx(by_number.getpixel((4, 3)), abs=1)
        assert by_place[0] > 210

    def test_of_every_number_that_is_known_make_a_profile(self):
        for primaries in (1, 5, 6, 7, 9, 11, 12):
            for transfer in (4, 5, 8, 16, 18):
                assert choose_numbered_profile(primaries, transfer) is not None

    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "AVIF"])
    def test_follow_the_profile_of_every_format(self, image_format):
        image = Image.new("RGB", (64, 64), (200, 100, 50))
        image.paste((0, 0, 0), (0, 56, 64, 64))
        file = io.BytesIO()
        image.save(file, image_format, icc_profile=swapped(), quality=95)

        assert shown(file.getvalue()).getpixel((30, 20))[:3] == pytest.approx(SWAPPED, abs=4)

    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "AVIF"])
    def test_leave_a_profile_aside_that_lists_elements(self, image_format):
        image = Image.linear_gradient("L").convert("RGB")
        file = io.BytesIO()
        image.save(file, image_format, icc_profile=listing_profile(200), quality=95)

        assert "neither a plain table" in normalise_image(file.getvalue()).notes[0]


def listing_profile(elements: int) -> bytes:
    """A profile that is nothing but one matrix, listed many times."""
    matrix = struct.pack(">4sIHH12f", b"matf", 0, 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    places = struct.pack(">II", 16 + 8 * elements, len(matrix)) * elements
    tag = struct.pack(">4sIHHI", b"mpet", 0, 3, 3, elements) + places + matrix
    header = bytearray(128)
    header[8:12] = b"\x04\x40\0\0"
    header[12:24] = b"mntrRGB XYZ "
    header[36:40] = b"acsp"
    table = struct.pack(">I4sII", 1, b"D2B0", 144, len(tag))
    data = bytes(header) + table + tag
    return struct.pack(">I", len(data)) + data[4:]


class TestBands:
    def test_leave_no_seam(self):
        """A tall picture, cut into many bands, equals the one that is reduced at once."""
        image = Image.radial_gradient("L").resize((1500, 6000), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG", compress_level=1)

        seen = shown(file.getvalue()).convert("L")

        whole = image.resize(seen.size, Image.Resampling.LANCZOS)
        assert ImageChops.difference(seen, whole).getextrema()[1] <= 2
