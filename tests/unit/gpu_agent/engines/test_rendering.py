"""The renderer draws what geometry says it must."""

import numpy as np
import pytest

from gpu_agent.engines.rendering import (
    Camera,
    TexturedMesh,
    linear_from_srgb,
    rasterise,
    render,
    sample,
    silhouette,
    srgb_from_linear,
)

SQUARE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32) / 4
TWO_FACES = np.array([[0, 1, 2], [0, 2, 3]])


def textured_square(texture: np.ndarray, vertices: np.ndarray = SQUARE) -> TexturedMesh:
    return TexturedMesh(
        vertices=vertices,
        faces=TWO_FACES,
        normals=np.tile(np.array([[0, 0, 1]], np.float32), (4, 1)),
        uv=np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32),
        texture=texture,
    )


class TestSilhouette:
    def test_covers_the_pixels_whose_middle_is_inside(self):
        mask = silhouette(SQUARE, TWO_FACES, Camera.front(span=1.0), width=8, height=8)

        expected = np.zeros((8, 8), bool)
        expected[2:6, 2:6] = True
        np.testing.assert_array_equal(mask, expected)

    def test_measures_a_disc(self):
        turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
        rim = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1) * 0.4
        vertices = np.concatenate([[[0, 0, 0]], rim]).astype(np.float32)
        faces = np.stack(
            [np.zeros(200, int), np.arange(200) + 1, (np.arange(200) + 1) % 200 + 1], axis=1
        )

        mask = silhouette(vertices, faces, Camera.front(span=1.0), width=400, height=400)

        assert mask.mean() == pytest.approx(np.pi * 0.16, rel=0.005)

    def test_shows_faces_from_behind_too(self):
        camera = Camera.orbit(180, 0)

        assert silhouette(SQUARE, TWO_FACES, camera, width=32, height=32).any()


class TestRasterise:
    def test_leaves_out_faces_that_look_away(self):
        seen = rasterise(SQUARE, TWO_FACES, Camera.orbit(180, 0), width=32, height=32)

        assert len(seen.pixel) == 0

    def test_prefers_the_nearer_face(self):
        near, far = SQUARE + np.array([0, 0, 0.2]), SQUARE * 2
        vertices = np.concatenate([far, near]).astype(np.float32)
        faces = np.concatenate([TWO_FACES, TWO_FACES + 4])

        seen = rasterise(vertices, faces, Camera.front(span=1.0), width=16, height=16)

        middle = (np.abs(seen.pixel // 16 - 7.5) < 3) & (np.abs(seen.pixel % 16 - 7.5) < 3)
        assert set(seen.face[middle]) == {2, 3}
        assert set(seen.face) == {0, 1, 2, 3}

    def test_gives_each_pixel_once(self):
        seen = rasterise(SQUARE, TWO_FACES, Camera.front(span=1.0), width=64, height=64)

        assert len(np.unique(seen.pixel)) == len(seen.pixel) == 32 * 32

    @pytest.mark.parametrize("cull", [True, False])
    def test_places_points_by_perspective(self, cull):
        tilted = (SQUARE * [2, 2, 1] + [0, 0, 1] * SQUARE[:, :1] * 2).astype(np.float32)
        camera = Camera.orbit(20, 10, distance=2)
        seen = rasterise(tilted, TWO_FACES, camera, width=200, height=160, cull=cull)

        world = np.einsum("nkc,nk->nc", tilted[TWO_FACES[seen.face]], seen.weights)
        points, depth = camera.project(world, width=200, height=160)

        np.testing.assert_allclose(points[:, 0], seen.pixel % 200 + 0.5, atol=0.02)
        np.testing.assert_allclose(points[:, 1], seen.pixel // 200 + 0.5, atol=0.02)
        np.testing.assert_allclose(depth, seen.depth, rtol=1e-4)

    def test_survives_a_face_behind_the_eye(self):
        behind = (SQUARE + np.array([0, 0, 10])).astype(np.float32)

        seen = rasterise(behind, TWO_FACES, Camera.orbit(0, 0), width=16, height=16)

        assert len(seen.pixel) == 0


class TestRender:
    def test_shows_the_texture_upright_without_lights(self):
        texture = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
        camera = Camera.front(span=1.0)

        picture = render(
            textured_square(texture), camera, width=40, height=40, lights=(), ambient=1.0
        )

        np.testing.assert_allclose(picture[11, 11], [1, 0, 0, 1], atol=0.01)
        np.testing.assert_allclose(picture[11, 28], [0, 1, 0, 1], atol=0.01)
        np.testing.assert_allclose(picture[28, 11], [0, 0, 1, 1], atol=0.01)
        np.testing.assert_allclose(picture[0, 0], [0, 0, 0, 0])

    def test_softens_edges_by_its_samples(self):
        vertices = (SQUARE + np.array([0.01, 0, 0])).astype(np.float32)
        mesh = textured_square(np.full((1, 1, 3), 255, np.uint8), vertices)

        picture = render(mesh, Camera.front(span=1.0), width=16, height=16, supersample=4)

        assert set(np.unique(picture[..., 3])) - {0.0, 1.0}
        assert picture[..., 3].sum() == pytest.approx(64, abs=3)

    def test_gives_equal_pictures_for_equal_input(self):
        mesh = textured_square(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
        first, second = (render(mesh, Camera.orbit(30, 20), width=50, height=40) for _ in range(2))

        np.testing.assert_array_equal(first, second)


class TestRays:
    @pytest.mark.parametrize(
        "camera", [Camera.orbit(25, 15, shift=(0.1, -0.2)), Camera.front(span=1.5)]
    )
    def test_undo_the_projection(self, camera):
        origin, direction = camera.rays(width=30, height=20)

        points, _ = camera.project(
            (origin + 1.3 * direction).reshape(-1, 3).astype(np.float32), width=30, height=20
        )

        v, u = np.mgrid[0:20, 0:30] + 0.5
        np.testing.assert_allclose(points, np.stack([u.ravel(), v.ravel()], axis=1), atol=1e-3)


class TestSample:
    def test_mixes_neighbouring_texels(self):
        texture = np.array([[[0, 0, 0], [100, 200, 50]]], np.uint8)

        mixed = sample(texture, np.array([[0.5, 0.5], [-1, 0.5], [2, 0.5]], np.float32))

        np.testing.assert_allclose(mixed, [[50, 100, 25], [0, 0, 0], [100, 200, 50]])


def test_colour_survives_the_way_to_linear_light_and_back():
    values = np.linspace(0, 1, 256, dtype=np.float32)

    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-5)
