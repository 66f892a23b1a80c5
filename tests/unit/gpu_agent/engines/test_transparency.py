"""Photos with some transparency, and cut-outs: told apart by where the alpha lies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from gpu_agent.engines.transparency import (
    AlphaKind,
    choose_approach,
    classify_alpha,
    draw_outline,
    fill_hidden,
)
from tests.unit.gpu_agent.engines import alphas

SIZES = st.tuples(st.integers(200, 420), st.integers(200, 420))
TURNS = st.integers(0, 7)


def laid(alpha: np.ndarray, turn: int) -> np.ndarray:
    """Turn or mirror a picture; the eight ways of laying a sheet."""
    return np.ascontiguousarray(np.rot90(alpha if turn < 4 else alpha.T, turn % 4))


class TestClassifyAlpha:
    @settings(max_examples=20, deadline=None)
    @given(size=SIZES, share=st.floats(0.12, 0.36), turn=TURNS)
    def test_takes_rounded_corners_for_a_photo(self, size, share, turn):
        alpha = alphas.rounded(size, share)

        assert classify_alpha(laid(alpha, turn)) is AlphaKind.TRIMMED

    @settings(max_examples=20, deadline=None)
    @given(size=SIZES, degrees=st.floats(2, 88))
    def test_takes_a_turned_photo_for_a_photo(self, size, degrees):
        assert classify_alpha(alphas.turned(size, degrees)) is AlphaKind.TRIMMED

    @settings(max_examples=20, deadline=None)
    @given(edge=st.integers(200, 420), degrees=st.floats(2, 88))
    def test_takes_a_photo_turned_in_its_own_frame_for_a_photo(self, edge, degrees):
        alpha = alphas.turned((edge, edge), degrees, expand=False)

        assert classify_alpha(alpha) is AlphaKind.TRIMMED

    @settings(max_examples=20, deadline=None)
    @given(size=SIZES, share=st.floats(0.02, 0.13), blur_px=st.sampled_from([0.0, 3.0, 12.0]))
    def test_takes_a_margin_for_a_photo_s_also_a_feathered_one(self, size, share, blur_px):
        assert classify_alpha(alphas.framed(size, share, blur_px)) is AlphaKind.TRIMMED

    @settings(max_examples=20, deadline=None)
    @given(size=SIZES, begin=st.floats(0.4, 0.85), width=st.floats(0.2, 0.6))
    def test_takes_a_soft_vignette_for_a_photo_s(self, size, begin, width):
        kind = classify_alpha(alphas.vignette(size, begin, begin + width))

        # One that begins beyond the corners hides nothing.
        assert kind is AlphaKind.TRIMMED or begin + width / 2 > 1.35

    @settings(max_examples=20, deadline=None)
    @given(long=st.integers(300, 420), share=st.floats(0.4, 0.95), is_tall=st.booleans())
    def test_takes_transparent_bars_for_a_photo_s(self, long, share, is_tall):
        size = (long, round(share * long))

        alpha = alphas.between_bars(size[::-1] if is_tall else size)

        assert classify_alpha(alpha) is AlphaKind.TRIMMED

    @settings(max_examples=40, deadline=None)
    @given(draw=st.sampled_from(alphas.CUTOUTS), size=SIZES, turn=TURNS)
    def test_takes_the_outline_of_a_subject_for_a_cut_out(self, draw, size, turn):
        """Cropped tight, cut off by the frame, small, with a hole, or in two parts."""
        alpha = np.asarray(alphas.drawn(draw, size))

        assert classify_alpha(laid(alpha, turn)) is AlphaKind.CUTOUT

    @settings(max_examples=20, deadline=None)
    @given(
        draw=st.sampled_from([*alphas.CUTOUTS, None]),
        most=st.integers(60, 255),
        blur_px=st.floats(0, 1.5),
    )
    def test_says_the_same_of_glass(self, draw, most, blur_px):
        """The alpha's own range counts, and a matte's edge is a few pixels soft."""
        image = (
            Image.fromarray(alphas.rounded((300, 260), 0.2))
            if draw is None
            else alphas.drawn(draw, (300, 260))
        )
        alpha = np.asarray(image.filter(ImageFilter.GaussianBlur(blur_px)), np.float32)

        kind = classify_alpha((alpha * (most / 255)).round().astype(np.uint8))

        assert kind is (AlphaKind.TRIMMED if draw is None else AlphaKind.CUTOUT)

    @pytest.mark.parametrize("degrees", [4, 17, 45])
    def test_takes_rounded_corners_of_a_turned_photo_for_a_photo_s(self, degrees):
        photo = Image.fromarray(alphas.rounded((400, 300), 0.12))
        alpha = photo.rotate(degrees, Image.Resampling.BICUBIC, expand=True)

        assert classify_alpha(np.asarray(alpha)) is AlphaKind.TRIMMED

    def test_takes_one_folded_corner_for_a_photo_s(self):
        alpha = np.full((300, 300), 255, np.uint8)
        alpha[np.add.outer(np.arange(300), np.arange(300)) < 90] = 0

        assert classify_alpha(alpha) is AlphaKind.TRIMMED

    def test_takes_torn_edges_for_a_photo_s(self):
        along = np.arange(300)
        depth = np.abs(along % 24 - 12)
        alpha = np.full((300, 300), 255, np.uint8)
        alpha[along[:, None] < depth] = alpha[along[::-1, None] < depth] = 0

        assert classify_alpha(alpha) is AlphaKind.TRIMMED
        assert classify_alpha(alpha.T) is AlphaKind.TRIMMED

    def test_takes_a_soft_shadow_for_no_part_of_the_form(self):
        solid = alphas.drawn(alphas.box, (300, 300))
        shadow = solid.filter(ImageFilter.GaussianBlur(15)).point(lambda level: level // 3)

        alpha = np.maximum(np.asarray(solid), np.asarray(shadow))

        assert classify_alpha(alpha) is AlphaKind.CUTOUT

    @pytest.mark.parametrize("level", [40, 110, 255])
    def test_takes_even_alpha_for_none(self, level):
        assert classify_alpha(np.full((90, 120), level, np.uint8)) is AlphaKind.OPAQUE

    def test_takes_stray_pixels_for_none(self):
        alpha = np.full((100, 100), 255, np.uint8)
        alpha[3:7, 5:15] = 0

        assert classify_alpha(alpha) is AlphaKind.OPAQUE

    @pytest.mark.parametrize("level", [0, 1, 11])
    def test_says_when_nothing_shows(self, level):
        assert classify_alpha(np.full((20, 30), level, np.uint8)) is AlphaKind.EMPTY

    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 10_000), size=st.tuples(st.integers(1, 24), st.integers(1, 24)))
    def test_has_an_answer_for_any_alpha(self, seed, size):
        noise = np.random.default_rng(seed)
        alpha = noise.choice([0, 9, 60, 127, 128, 255], size).astype(np.uint8)

        assert classify_alpha(alpha) in AlphaKind


class TestDrawOutline:
    def test_keeps_the_alpha_of_a_solid_subject(self):
        alpha = np.asarray(alphas.drawn(alphas.mug, (120, 90)))

        outline = draw_outline(alpha)

        assert np.array_equal(outline[alpha >= 12], alpha[alpha >= 12])
        assert (outline[alpha < 12] == 0).all()

    @pytest.mark.parametrize("most", [30, 110, 127])
    def test_brings_glass_to_its_own_range(self, most):
        solid = np.asarray(alphas.drawn(alphas.disc, (100, 100)), np.float32)

        outline = draw_outline((solid * (most / 255)).round().astype(np.uint8))

        assert outline.max() == 255
        np.testing.assert_array_equal(outline[solid == 255], 255)
        assert np.abs((outline >= 128).sum() - (solid >= 128).sum()) < 60

    def test_is_not_led_by_highlights(self):
        alpha = np.asarray(alphas.drawn(alphas.disc, (100, 100)), np.float32) * (80 / 255)
        alpha[30:40, 30:40] = 255

        assert draw_outline(alpha.astype(np.uint8))[70, 50] == 255

    def test_closes_what_glass_shows_weakly_and_keeps_what_shows_nothing_open(self):
        alpha = np.zeros((100, 200), np.uint8)
        alpha[10:90, 10:90] = alpha[10:90, 110:190] = 110
        alpha[30:70, 30:70] = 25
        alpha[30:70, 130:170] = 0

        outline = draw_outline(alpha)

        assert (outline[50, 50], outline[50, 150]) == (255, 0)

    def test_of_nothing_is_nothing(self):
        assert draw_outline(np.full((4, 5), 3, np.uint8)).max() == 0


class TestChooseApproach:
    @pytest.mark.parametrize(
        ("kind", "asked", "looks", "word"),
        [
            (AlphaKind.OPAQUE, None, True, None),
            (AlphaKind.OPAQUE, True, True, None),
            (AlphaKind.OPAQUE, False, False, None),
            (AlphaKind.TRIMMED, None, True, "only corners or edges"),
            (AlphaKind.TRIMMED, True, True, "only corners or edges"),
            (AlphaKind.TRIMMED, False, False, "is false"),
            (AlphaKind.CUTOUT, None, False, "subject's outline"),
            (AlphaKind.CUTOUT, True, True, "is true"),
            (AlphaKind.CUTOUT, False, False, "is false"),
        ],
    )
    def test_lets_what_was_asked_for_win_and_says_what_was_done(self, kind, asked, looks, word):
        approach = choose_approach(kind, asked)

        assert approach.looks is looks
        assert (approach.note is None) if word is None else (word in approach.note)


class TestFillHidden:
    def test_lets_a_photo_go_on_beyond_its_rim(self):
        outline = alphas.rounded((200, 200), 0.3)
        pixels = np.zeros((200, 200, 3), np.uint8)
        pixels[outline > 0] = (90, 120, 170)

        filled = np.asarray(fill_hidden(Image.fromarray(pixels), outline, AlphaKind.TRIMMED))

        assert np.abs(filled.astype(int) - (90, 120, 170)).max() <= 1

    @pytest.mark.parametrize("colour", [(250, 250, 245), (20, 20, 30), (128, 130, 128)])
    def test_puts_a_cut_out_on_a_colour_that_it_differs_from(self, colour):
        outline = np.asarray(alphas.drawn(alphas.disc, (100, 100)))
        image = Image.new("RGB", (100, 100), colour)

        filled = np.asarray(fill_hidden(image, outline, AlphaKind.CUTOUT), int)

        assert np.abs(filled[0, 0] - colour).min() > 90
        assert tuple(filled[50, 50]) == colour
