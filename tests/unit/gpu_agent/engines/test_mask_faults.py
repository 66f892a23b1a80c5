import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.engines.mask_faults import find_mask_faults, require_quality
from gpu_agent.errors import EngineError
from tests.unit.gpu_agent.engines import alphas

Y, X = np.mgrid[0:120, 0:160]


def ball(x: float, y: float, radius: float) -> np.ndarray:
    return np.hypot(X - x, Y - y) < radius


class TestFindMaskFaults:
    @given(
        x=st.floats(20, 140),
        y=st.floats(20, 100),
        radius=st.floats(13, 60),
        turn=st.integers(0, 3),
    )
    def test_finds_none_in_a_round_subject_also_one_that_the_frame_cuts_off(
        self, x, y, radius, turn
    ):
        assert find_mask_faults(np.rot90(ball(x, y, radius), turn)) == []

    @given(x=st.floats(10, 150), y=st.floats(10, 110), radius=st.floats(1, 10))
    def test_names_a_tiny_one(self, x, y, radius):
        faults = find_mask_faults(ball(x, y, radius))

        assert [("covers only" in fault) for fault in faults] == [True]

    @given(top=st.integers(1, 40), left=st.integers(1, 50), turn=st.integers(0, 3))
    def test_names_one_that_lies_all_around(self, top, left, turn):
        """Usually the background, with the subject left out."""
        mask = np.ones((120, 160), bool)
        mask[top:-top, left:-left] = False

        faults = find_mask_faults(np.rot90(mask, turn))

        assert [("all four sides" in fault) for fault in faults] == [True]

    @given(missing=st.integers(0, 3), depth=st.integers(1, 30))
    def test_finds_none_in_one_that_leaves_one_side_alone(self, missing, depth):
        mask = np.rot90(np.ones((100, 100), bool), missing).copy()
        mask[:depth] = False

        assert find_mask_faults(np.rot90(mask, missing)) == []

    def test_finds_none_in_a_round_one_that_fills_the_frame(self):
        mask = np.asarray(alphas.drawn(alphas.tight_disc, (300, 200))) >= 128

        assert find_mask_faults(mask) == []

    @given(
        places=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2),
        radius=st.floats(9, 13),
    )
    def test_counts_the_pieces_of_one_that_falls_apart(self, places, radius):
        mask = np.zeros_like(X, bool)
        for column, row in places:
            mask |= ball(16 + 32 * column, 15 + 30 * row, radius)

        faults = find_mask_faults(mask)

        assert f"into {len(places)} pieces" in faults[-1]

    @given(
        x=st.integers(0, 159), y=st.integers(0, 119), angle=st.floats(0, 6), radius=st.floats(1, 8)
    )
    def test_takes_specks_beside_a_subject_for_none_of_its_pieces(self, x, y, angle, radius):
        speck = ball(80 + 70 * np.cos(angle), 60 + 50 * np.sin(angle), radius)
        mask = ball(80, 60, 35) | speck
        mask[y, x] = True

        assert find_mask_faults(mask) == []

    @pytest.mark.parametrize("degrees", [0, 20])
    def test_knows_the_frame_of_a_photo_that_shows_only_in_part(self, degrees):
        frame = alphas.turned((160, 120), degrees) >= 128
        slab = frame.copy()
        slab[frame.shape[0] // 2 - 20 : frame.shape[0] // 2 + 20, 60:100] = False

        assert "all four sides" in find_mask_faults(slab, frame)[0]
        assert find_mask_faults(~slab, frame) == []


class TestRequireQuality:
    def test_lets_a_sound_mask_pass(self):
        require_quality((), "full")

    def test_lets_a_doubtful_one_pass_where_less_was_allowed(self):
        require_quality(("It is tiny.",), "reduced")

    def test_refuses_a_doubtful_one_where_full_quality_was_asked_for(self):
        with pytest.raises(EngineError, match=r"It is tiny\. .*min_quality") as caught:
            require_quality(("It is tiny.",), "full")

        assert (caught.value.code, caught.value.retryable) == ("no_subject_found", False)
