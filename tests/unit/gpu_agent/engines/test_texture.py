"""The texture of a model: the front of the picture and a quieter back, side by side."""

import numpy as np
import pytest

from gpu_agent.engines.preview.texture import paint_atlas


class TestPaintAtlas:
    @pytest.mark.parametrize(
        ("wide", "high", "shape"),
        [
            (64, 64, (96, 64)),
            (63, 64, (64, 96)),
            (64, 63, (96, 64)),
            (49, 50, (50, 72)),
            (20, 90, (90, 30)),
            (90, 20, (30, 90)),
        ],
    )
    def test_puts_the_back_below_a_wide_front_and_beside_a_high_one(self, wide, high, shape):
        rows, columns = np.mgrid[0:high, 0:wide]
        away = np.hypot((rows - high / 2) / high, (columns - wide / 2) / wide)
        coverage = (away < 0.45).astype(np.float32)

        atlas = paint_atlas(np.full((high, wide, 3), 120, np.uint8), coverage, longest_edge=1024)

        assert atlas.image.shape == (*shape, 3)
