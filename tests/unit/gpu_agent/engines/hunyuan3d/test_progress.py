import pytest

from gpu_agent.engines.hunyuan3d.progress import PointCounter, estimate_points


class TestEstimatePoints:
    def test_is_exact_for_a_whole_volume(self):
        assert estimate_points(32, flash_vdm=False) == 35_937

    @pytest.mark.parametrize(
        ("octree", "measured"), [(126, 550_000), (252, 2_500_000), (380, 7_820_000)]
    )
    def test_is_near_what_was_measured_with_flash_vdm(self, octree, measured):
        assert 0.6 < estimate_points(octree, flash_vdm=True) / measured < 2.0


class TestPointCounter:
    def test_keeps_the_last_percent_for_the_end(self):
        shares = []
        counter = PointCounter(32, flash_vdm=False, on_share=shares.append)

        for _ in range(4):
            counter.add(35_937 // 2)
        counter.finish()

        assert shares == [pytest.approx(0.5, abs=0.001), 0.99, 0.99, 0.99, 1.0]
