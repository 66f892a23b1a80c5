import math

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.surfaces import SAME_SURFACE, is_same_surface, surface_distance
from gpu_agent.engines.hunyuan3d.model import RawMesh, ShapeRequest
from tests.fakes.gpu_model import make_egg
from tests.unit.gpu_agent.engines.hunyuan3d.conftest import SETTINGS, draw_cutout

EGG = make_egg(ShapeRequest(cutout_png=draw_cutout(), seed=3), SETTINGS)
SQUARE = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
NOTHING = RawMesh(vertices=np.zeros((0, 3), np.float32), faces=np.zeros((0, 3), np.int32))


def egg(**changes):
    asked = {"cutout_png": draw_cutout(), "seed": 3, **changes}
    return make_egg(ShapeRequest(**asked), SETTINGS)


def moved(mesh, offset):
    return RawMesh(vertices=mesh.vertices + np.asarray(offset, np.float32), faces=mesh.faces)


def with_one_vertex_more(mesh, *, out=0.0):
    """Split the first face at its middle, the new vertex in the first row: all others shift."""
    a, b, c = mesh.faces[0] + 1
    corners = mesh.vertices[mesh.faces[0]].astype(np.float64)
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    middle = corners.mean(axis=0) + out * normal / np.linalg.norm(normal)
    return RawMesh(
        vertices=np.concatenate([[middle], mesh.vertices]).astype(np.float32),
        faces=np.concatenate([[[a, b, 0], [b, c, 0], [c, a, 0]], mesh.faces[1:] + 1]),
    )


class TestIsSameSurface:
    def test_takes_a_vertex_more_that_lies_on_the_surface(self):
        more = with_one_vertex_more(EGG)

        assert len(more.vertices) == len(EGG.vertices) + 1
        assert is_same_surface(more, EGG)
        assert is_same_surface(EGG, more)

    def test_refuses_a_vertex_more_that_lies_off_the_surface(self):
        more = with_one_vertex_more(EGG, out=2 * SAME_SURFACE)

        assert not is_same_surface(more, EGG)
        assert not is_same_surface(EGG, more)

    @pytest.mark.parametrize("change", [{"seed": 4}, {"cutout_png": draw_cutout(90)}])
    def test_refuses_another_seeds_and_another_pictures_model(self, change):
        assert not is_same_surface(egg(**change), EGG)
        assert not is_same_surface(EGG, egg(**change))

    def test_takes_what_moved_by_the_last_bits(self):
        assert is_same_surface(moved(EGG, [2e-7, -2e-7, 2e-7]), EGG)

    def test_takes_rows_in_any_order_and_named_twice(self):
        order = np.random.default_rng(1).permutation(len(EGG.vertices))
        shuffled = RawMesh(
            vertices=np.concatenate([EGG.vertices[order], EGG.vertices]),
            faces=np.argsort(order).astype(np.int32)[EGG.faces][::-1],
        )

        assert is_same_surface(shuffled, EGG)

    def test_refuses_a_surface_with_a_hole_although_no_vertex_is_missing(self):
        open_ = RawMesh(vertices=EGG.vertices, faces=EGG.faces[:-1])

        assert not is_same_surface(open_, EGG)
        assert not is_same_surface(EGG, open_)


class TestSurfaceDistance:
    def test_of_parallel_squares_is_that_of_their_planes(self):
        assert surface_distance(SQUARE, moved(SQUARE, [0, 0, 0.25])) == pytest.approx(0.25)

    def test_is_the_farther_of_both_ways(self):
        far = trimesh.util.concatenate([SQUARE, trimesh.Trimesh(SQUARE.vertices + 2, [[0, 1, 2]])])

        there, back = surface_distance(far, SQUARE), surface_distance(SQUARE, far)

        # From the far square's corner at (3, 3, 2) to the near one's at (1, 1, 0).
        assert there == back == pytest.approx(math.sqrt(12))

    def test_is_infinite_to_nothing(self):
        assert surface_distance(EGG, NOTHING) == surface_distance(NOTHING, EGG) == math.inf

    def test_beside_a_sliver_is_that_to_its_edge(self):
        """Marching cubes makes faces a thousand million times as long as they are high."""
        sliver = trimesh.Trimesh(
            [[0, 0, 0], [1, 0, 0], [0.3, 1e-12, 0]], [[0, 1, 2]], process=False
        )

        assert surface_distance(sliver, moved(sliver, [0, 0, 0.5])) == pytest.approx(0.5)
        assert surface_distance(sliver, moved(sliver, [0, 1e-7, 0])) == pytest.approx(
            1e-7, rel=1e-2
        )

    def test_tells_nothing_apart_below_the_least(self):
        near = moved(SQUARE, [0, 0, 0.25])

        assert surface_distance(SQUARE, near, least=0.5) == 0.5
        assert surface_distance(SQUARE, near, least=0.1) == pytest.approx(0.25)

    @settings(max_examples=25)
    @given(st.integers(0, 2**32 - 1))
    def test_agrees_with_every_point_held_to_every_face(self, seed):
        rng = np.random.default_rng(seed)
        one, other = (
            RawMesh(vertices=rng.normal(size=(5, 3)), faces=rng.integers(0, 5, (4, 3)))
            for _ in range(2)
        )

        assert surface_distance(one, other) == pytest.approx(
            max(by_sampling(one, other), by_sampling(other, one)), abs=0.02
        )


def by_sampling(one, other):
    """Hold corners and middles to a fine grid of points on each face."""
    points = np.concatenate(
        [one.vertices[one.faces].reshape(-1, 3), one.vertices[one.faces].mean(axis=1)]
    )
    u, v = (grid.ravel() for grid in np.meshgrid(*[np.linspace(0, 1, 81)] * 2))
    inside = u + v <= 1
    weights = np.stack([1 - u - v, u, v], axis=1)[inside]
    on_faces = np.einsum("wk,fkd->fwd", weights, other.vertices[other.faces]).reshape(-1, 3)
    return max(np.linalg.norm(on_faces - point, axis=1).min() for point in points)
