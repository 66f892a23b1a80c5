import numpy as np
import pytest

from gpu_agent.engines.hunyuan3d import libraries
from gpu_agent.engines.hunyuan3d.rasterizer import interpolate, rasterize

pytestmark = pytest.mark.engine


def tensors(corners, faces):
    torch = libraries.torch()
    return torch.tensor([corners], dtype=torch.float32), torch.tensor(faces, dtype=torch.int32)


def square(z, w=1.0):
    """Two triangles from -0.5 to 0.5."""
    ends = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    return [(x * w, y * w, z * w, w) for x, y in ends], [(0, 1, 2), (0, 2, 3)]


def draw(corners, faces, size=(40, 60)):
    pos, tri = tensors(corners, faces)
    number, weights = rasterize(pos, tri, size)
    return number.numpy(), weights, (pos, tri)


class TestRasterize:
    def test_covers_what_is_inside_and_nothing_else(self):
        number, weights, _ = draw(*square(0.0))

        assert number.shape == (40, 60)
        rows, columns = np.nonzero(number)
        assert (rows.min(), rows.max()) == (10, 29)
        assert (columns.min(), columns.max()) == (15, 44)
        assert (number > 0).sum() == 20 * 30
        sums = weights.sum(dim=-1).numpy()
        assert np.allclose(sums[number > 0], 1, atol=1e-6)
        assert sums[number == 0].max() == 0

    def test_shows_the_nearest(self):
        far, faces = square(0.8)
        near, _ = square(-0.2)
        both = [*faces, *[tuple(i + 4 for i in face) for face in faces]]

        number, _, _ = draw([*far, *near], both)
        other, _, _ = draw([*near, *far], both)

        assert set(np.unique(number)) == {0, 3, 4}
        assert set(np.unique(other)) == {0, 1, 2}

    def test_gives_the_same_in_many_small_goes(self, monkeypatch):
        rng = np.random.default_rng(1)
        corners = [(*point, 1.0) for point in rng.uniform(-1, 1, (60, 3))]
        faces = rng.integers(0, 60, (40, 3)).tolist()
        number, weights, _ = draw(corners, faces)

        monkeypatch.setattr("gpu_agent.engines.hunyuan3d.rasterizer._CANDIDATES", 100)
        monkeypatch.setattr("gpu_agent.engines.hunyuan3d.rasterizer._recent", {})
        again, weights_again, _ = draw(corners, faces)

        assert np.array_equal(number, again)
        assert np.array_equal(weights, weights_again)

    def test_remembers_a_view_by_all_that_it_depends_on(self):
        corners, faces = square(0.0)
        first, _, _ = draw(corners, faces)
        smaller = [(x / 2, y / 2, z, w) for x, y, z, w in corners]

        assert draw(corners, faces, size=(20, 20))[0].shape == (20, 20)
        assert (draw(smaller, faces)[0] > 0).sum() < (first > 0).sum()
        assert draw(corners, faces[::-1])[0].max() == 2
        again, _, _ = draw(corners, faces)
        assert np.array_equal(again, first)
        for _ in range(8):
            corners = [(x * 0.9, y, z, w) for x, y, z, w in corners]
            last, _, _ = draw(corners, faces)
        assert (last > 0).sum() < (first > 0).sum()

    def test_takes_triangles_without_area_or_out_of_sight_for_nothing(self):
        corners = [(0, 0, 0, 1), (0.5, 0.5, 0, 1), (0.25, 0.25, 0, 1), (5, 5, 0, 1), (6, 5, 0, 1)]

        number, _, _ = draw(corners, [(0, 1, 2), (3, 4, 3), (0, 0, 0)])

        assert number.max() == 0


class TestInterpolate:
    def test_gives_back_a_value_that_is_linear_on_the_screen(self):
        corners, faces = square(0.0)
        number, weights, (pos, tri) = draw(corners, faces)

        picture = interpolate(pos[..., :2], libraries.torch().from_numpy(number), weights, tri)

        across = picture[0, 20, :, 0].numpy()
        inside = number[20] > 0
        expected = (np.arange(60) + 0.5 - 0.5) / 59 * 2 - 1
        assert np.allclose(across[inside], expected[inside], atol=1e-5)
        assert np.abs(across[~inside]).max() == 0

    def test_corrects_for_perspective(self):
        # A strip that goes away from the eye: its far end has w = 3.
        corners = [(-0.5, -0.5, 0, 1), (0.5, -0.5, 0, 1), (1.5, 1.5, 0, 3), (-1.5, 1.5, 0, 3)]
        number, weights, (_, tri) = draw(corners, [(0, 1, 2), (0, 2, 3)], size=(41, 41))
        torch = libraries.torch()
        length = torch.tensor([[[0.0], [0.0], [1.0], [1.0]]])

        picture = interpolate(length, torch.from_numpy(number), weights, tri)

        # Half way up the screen is a quarter of the way along the strip.
        assert float(picture[0, 20, 20, 0]) == pytest.approx(0.25, abs=0.01)
