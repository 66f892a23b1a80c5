"""Triangulations that follow an outline, and the surfaces inflated from them."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from gpu_agent.engines.preview.inflation import inflate
from gpu_agent.engines.preview.outline import OutlineError, triangulate_outline
from gpu_agent.engines.rendering import Camera, silhouette


def surface(coverage: np.ndarray, limit: int = 3000):
    sheets = inflate(triangulate_outline(coverage.astype(np.float32), triangle_limit=limit))
    mesh = trimesh.Trimesh(sheets.vertices, sheets.faces, process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return sheets, mesh


def seen_from_the_front(sheets, shape) -> np.ndarray:
    high, wide = shape
    camera = Camera.front(
        span=float(high), target=np.array([(wide - 1) / 2, -(high - 1) / 2, 0], np.float32)
    )
    return silhouette(sheets.vertices, sheets.faces, camera, width=wide, height=high)


def blobs(seed: int, share: float) -> np.ndarray:
    """Give a (60, 80) mask of random blobs with holes and bridges."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(60, 80)), 3)
    return noise > np.quantile(noise, 1 - share)


class TestInflatedOutline:
    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.8))
    def test_is_closed_and_faces_outward_whatever_its_shape(self, seed, share):
        mask = blobs(seed, share)

        sheets, mesh = surface(mask, limit=1500)

        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume > 0
        seen = seen_from_the_front(sheets, mask.shape)
        # A pixel may go astray at the outline, never behind it: a ratio would ask more of small
        # shapes, which are all outline.
        assert not (ndimage.binary_erosion(mask, np.ones((3, 3))) & ~seen).any()
        assert not (seen & ~ndimage.binary_dilation(mask, np.ones((3, 3)))).any()

    def test_of_a_disc_is_round(self):
        y, x = np.mgrid[0:200, 0:200]

        _, mesh = surface(np.hypot(x - 100, y - 100) < 80)

        assert mesh.extents[:2] == pytest.approx([160, 160], abs=2)
        assert 0.3 * 160 < mesh.extents[2] < 160
        assert mesh.euler_number == 2

    def test_keeps_a_hole_open(self):
        y, x = np.mgrid[0:200, 0:200]
        away = np.hypot(x - 100, y - 100)

        _, mesh = surface((away < 80) & (away > 35))

        assert mesh.euler_number == 0

    def test_closes_each_of_several_parts(self):
        mask = np.zeros((100, 200))
        mask[20:80, 20:80] = mask[30:70, 120:180] = 1

        _, mesh = surface(mask)

        assert [part.is_watertight for part in mesh.split()] == [True, True]

    @pytest.mark.parametrize("shape", [(20, 400), (400, 20)])
    def test_is_as_deep_as_it_is_thin_when_it_is_long(self, shape):
        _, mesh = surface(np.pad(np.ones((shape[0] - 10, shape[1] - 10)), 5))

        assert mesh.is_watertight
        assert 0.5 * 10 <= mesh.extents[2] <= 10

    @settings(max_examples=25, deadline=None)
    @given(
        long=st.integers(60, 300), share=st.floats(0.1, 1), degrees=st.sampled_from([20, 45, 90])
    )
    def test_has_one_depth_whichever_way_it_lies(self, long, share, degrees):
        pen = Image.new("L", (340, 340))
        # On a few pixels the triangles are as wide as the thing.
        thick = max(20.0, share * long)
        ImageDraw.Draw(pen).rounded_rectangle(
            (170 - long / 2, 170 - thick / 2, 170 + long / 2, 170 + thick / 2), thick / 3, fill=255
        )
        turned = pen.rotate(degrees, Image.Resampling.BICUBIC)

        depth, depth_turned = (
            surface(np.asarray(image, np.float32) / 255, limit=6000)[1].extents[2]
            for image in (pen, turned)
        )

        assert depth_turned == pytest.approx(depth, rel=0.15)
        assert 0.3 * thick < depth <= 1.1 * thick

    def test_survives_a_line_one_pixel_wide(self):
        mask = np.zeros((100, 100))
        mask[20:60, 20:60] = 1
        mask[60:95, 40] = 1

        _, mesh = surface(mask)

        assert mesh.is_watertight

    def test_has_normals_of_length_one_that_agree_along_the_rim(self):
        sheets, _ = surface(blobs(3, 0.4))
        half = len(sheets.vertices) // 2

        assert np.linalg.norm(sheets.normals, axis=1) == pytest.approx(np.ones(2 * half))
        same = (sheets.vertices[:half] == sheets.vertices[half:]).all(axis=1)
        assert same.sum() > 20
        np.testing.assert_array_equal(sheets.normals[:half][same], sheets.normals[half:][same])


class TestTriangulateOutline:
    @pytest.mark.parametrize("limit", [1000, 4000, 20_000])
    def test_keeps_to_the_number_of_triangles(self, limit):
        y, x = np.mgrid[0:300, 0:400]
        mask = np.hypot(x - 200, y - 150) < 120

        count = len(triangulate_outline(mask.astype(np.float32), triangle_limit=limit).triangles)

        assert 0.4 * limit < count <= limit

    @pytest.mark.parametrize("coverage", [np.zeros((30, 30)), np.eye(1)])
    def test_refuses_what_covers_nothing(self, coverage):
        with pytest.raises(OutlineError):
            triangulate_outline(coverage.astype(np.float32), triangle_limit=100)
