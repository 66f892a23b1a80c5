"""Subjects found in photos whose truth is known, and in real ones."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpu_agent.engines import EngineError
from gpu_agent.engines.preview.background import Cutout, Region, cut_out, find_subject
from gpu_agent.engines.preview.photo import decode_photo
from tests.unit.gpu_agent.engines import alphas, pictures


def cut(data: bytes, *, longest_edge: int = 1024, **options) -> Cutout:
    return cut_out(decode_photo(data), find=find_subject, longest_edge=longest_edge, **options)


def never(_image):
    pytest.fail("the subject was looked for")


def in_photo(cutout: Cutout, size: tuple[int, int]) -> np.ndarray:
    """Give the (H, W) mask of a cut-out in its photo."""
    left, top, right, bottom = cutout.box
    part = Image.fromarray(cutout.coverage).resize((right - left, bottom - top))
    whole = np.zeros((size[1], size[0]), bool)
    whole[top:bottom, left:right] = np.asarray(part) >= 0.5
    return whole


class TestCutOut:
    @pytest.mark.parametrize(
        "draw",
        [pictures.disc, pictures.ring, pictures.mug, pictures.cut_off, pictures.two],
        ids=lambda draw: draw.__name__,
    )
    def test_finds_the_subject(self, draw):
        found = in_photo(cut(pictures.photo(draw)), (480, 360))

        assert pictures.overlap(found, pictures.mask(draw)) > 0.95

    def test_keeps_a_part_of_a_few_pixels_width(self):
        found = in_photo(cut(pictures.photo(pictures.lamp)), (480, 360))

        assert found[150:300, 240].all()
        assert not found[150:300, 220].any()

    def test_finds_a_small_subject_in_a_large_photo(self):
        size = (1200, 900)
        found = in_photo(cut(pictures.photo(pictures.small, size)), size)

        assert pictures.overlap(found, pictures.mask(pictures.small, size)) > 0.85

    def test_finds_a_subject_before_a_gradient(self):
        pixels = np.asarray(Image.open(io.BytesIO(pictures.photo(pictures.mug))), np.float32)
        fall = np.linspace(0.55, 1.0, 360)[:, None, None]
        truth = pictures.mask(pictures.mug)[..., None]
        image = Image.fromarray(np.where(truth, pixels, pixels * fall).astype(np.uint8))

        found = in_photo(cut(pictures.png(image)), image.size)

        assert pictures.overlap(found, truth[..., 0]) > 0.93

    def test_finds_a_grey_subject_in_a_grey_photo(self):
        image = Image.open(io.BytesIO(pictures.photo(pictures.disc))).convert("L")

        found = in_photo(cut(pictures.png(image)), image.size)

        assert pictures.overlap(found, pictures.mask(pictures.disc)) > 0.95

    def test_finds_cup_saucer_and_coffee_on_a_wooden_table(self):
        found = in_photo(cut(pictures.packaged("coffee.png")), (600, 400))

        inside = [(100, 270), (150, 300), (250, 105), (180, 455), (370, 280), (300, 370)]
        beside = [(30, 50), (350, 60), (350, 470), (100, 560), (20, 420), (200, 30)]
        assert [bool(found[at]) for at in inside] == [True] * 6
        assert [bool(found[at]) for at in beside] == [False] * 6
        assert 0.40 < found.mean() < 0.52

    def test_takes_the_outline_from_transparency(self):
        image = Image.new("RGBA", (200, 100), (90, 160, 60, 0))
        image.paste((90, 160, 60, 255), (40, 20, 120, 80))
        image.paste((90, 160, 60, 0), (70, 40, 90, 60))

        found = in_photo(cut(pictures.png(image)), image.size)

        expected = np.zeros((100, 200), bool)
        expected[20:80, 40:120] = True
        expected[40:60, 70:90] = False
        assert pictures.overlap(found, expected) > 0.99

    def test_takes_the_whole_frame_where_the_background_is_to_stay(self):
        photo = decode_photo(pictures.photo(pictures.disc))

        cutout = cut_out(photo, find=never, longest_edge=100, remove_background=False)

        assert (cutout.coverage == 1).all()
        assert cutout.rgb.shape == (75, 100, 3)

    @pytest.mark.parametrize(
        "image",
        [
            Image.new("RGB", (300, 200), (99, 99, 99)),
            Image.new("RGB", (1, 1)),
            Image.new("L", (40, 500), 255),
            Image.new("RGBA", (64, 64), (9, 9, 9, 0)),
            Image.fromarray(
                np.random.default_rng(1).integers(0, 255, (200, 200, 3)).astype(np.uint8)
            ),
        ],
        ids=["even", "one pixel", "white", "transparent", "noise"],
    )
    def test_says_when_there_is_no_subject(self, image):
        with pytest.raises(EngineError) as caught:
            cut(pictures.png(image))

        assert (caught.value.code, caught.value.retryable) == ("no_subject_found", False)

    def test_takes_one_odd_pixel_for_no_subject(self):
        pixels = np.full((300, 300, 3), 230, np.uint8)
        pixels[150, 150] = (255, 0, 0)

        with pytest.raises(EngineError, match="subject"):
            cut(pictures.png(Image.fromarray(pixels)))


class TestTransparentPhotos:
    """What the alpha hides and where, and what was asked for, decide how the subject is found."""

    @pytest.mark.parametrize(
        "alpha",
        [
            alphas.rounded((480, 360), 0.15),
            alphas.framed((480, 360), 0.03),
            alphas.framed((480, 360), 0.03, 6.0),
            alphas.vignette((480, 360), 0.9, 1.25),
        ],
        ids=["rounded", "framed", "feathered", "vignette"],
    )
    @pytest.mark.parametrize("asked", [None, True])
    def test_whose_corners_or_edges_are_hidden_have_their_background_removed(self, alpha, asked):
        data = pictures.see_through(pictures.photo(pictures.disc), alpha)

        cutout = cut(data, remove_background=asked)

        found = in_photo(cutout, (480, 360))
        assert pictures.overlap(found, pictures.mask(pictures.disc)) > 0.95
        assert "only corners or edges" in cutout.note
        assert cutout.faults == ()

    def test_that_an_editor_has_turned_have_their_background_removed(self):
        photo = Image.open(io.BytesIO(pictures.photo(pictures.mug))).convert("RGBA")
        turned = photo.rotate(20, Image.Resampling.BICUBIC, expand=True)
        truth = Image.fromarray(pictures.mask(pictures.mug)).rotate(20, expand=True)

        cutout = cut(pictures.png(turned))

        assert pictures.overlap(in_photo(cutout, turned.size), np.asarray(truth)) > 0.93

    def test_keep_their_background_where_that_was_asked_for(self):
        alpha = alphas.rounded((480, 360), 0.15)
        data = pictures.see_through(pictures.photo(pictures.disc), alpha)

        cutout = cut_out(
            decode_photo(data), find=never, longest_edge=1024, remove_background=False
        )

        assert pictures.overlap(in_photo(cutout, (480, 360)), alpha >= 128) > 0.99
        assert "remove_background is false" in cutout.note

    def test_that_are_cut_out_are_looked_into_where_that_was_asked_for(self):
        """A cut-out with its table still in it, say; what the alpha hides stays hidden."""
        solid = np.asarray(alphas.drawn(alphas.disc, (480, 360)))
        data = pictures.see_through(pictures.photo(pictures.mug), solid)

        def find(image):
            left = np.zeros((360, 480), np.float32)
            left[:, :240] = 1
            return Region(coverage=left, box=(0, 0, *image.size))

        cutout = cut_out(decode_photo(data), find=find, longest_edge=512, remove_background=True)

        expected = (solid >= 128) & (np.arange(480) < 240)
        assert pictures.overlap(in_photo(cutout, (480, 360)), expected) > 0.97
        assert "remove_background is true" in cutout.note

    def test_of_glass_are_cut_along_their_own_alpha(self):
        solid = np.asarray(alphas.drawn(alphas.disc, (480, 360)))
        data = pictures.see_through(pictures.photo(pictures.disc), solid // 3)

        cutout = cut_out(decode_photo(data), find=never, longest_edge=1024)

        assert pictures.overlap(in_photo(cutout, (480, 360)), solid >= 128) > 0.98
        assert "subject's outline" in cutout.note

    def test_have_no_note_where_nothing_is_hidden(self):
        assert cut(pictures.photo(pictures.disc)).note is None


class TestDoubtfulSubjects:
    def test_in_white_on_white_are_named(self):
        """Of the cup, whose contrast is that of paper on paper, the handle is found."""
        cup = Image.new("RGB", (400, 400), (250, 250, 250))
        pen = ImageDraw.Draw(cup)
        pen.rectangle((105, 85, 295, 315), fill=(247, 247, 247))
        pen.arc((245, 135, 355, 245), -90, 90, fill=(225, 225, 225), width=20)

        assert cut(pictures.png(cup)).faults != ()

    def test_that_are_tiny_are_named(self):
        assert "covers only" in cut(pictures.photo(pictures.small, (1200, 900))).faults[0]

    def test_in_two_parts_are_named(self):
        assert "2 pieces" in cut(pictures.photo(pictures.two)).faults[0]

    @pytest.mark.parametrize("draw", [pictures.disc, pictures.ring, pictures.lamp])
    def test_are_not_seen_where_there_are_none(self, draw):
        assert cut(pictures.photo(draw)).faults == ()


class TestDecodePhoto:
    @pytest.mark.parametrize(
        "data",
        [b"", b"text", pictures.photo(pictures.disc)[:2000], b"GIF89a" + bytes(40)],
        ids=["empty", "text", "truncated", "other format"],
    )
    def test_refuses_what_is_no_picture(self, data):
        with pytest.raises(EngineError) as caught:
            decode_photo(data)

        assert (caught.value.code, caught.value.retryable) == ("invalid_image", False)

    def test_takes_a_stray_transparent_pixel_for_none(self):
        image = Image.new("RGBA", (100, 100), (5, 6, 7, 255))
        image.putpixel((3, 3), (0, 0, 0, 0))

        assert decode_photo(pictures.png(image)).alpha is None
