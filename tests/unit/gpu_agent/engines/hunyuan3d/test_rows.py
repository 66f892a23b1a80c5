import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpu_agent.engines.hunyuan3d.rows import compact, unique_rows

ROWS = st.integers(0, 30).map(lambda count: (count, 3))
# Few values, so that rows are often the same; a zero has two signs and is one number.
PLACES = arrays(np.float32, ROWS, elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5]))


class TestUniqueRows:
    @given(PLACES)
    def test_does_what_numpy_does(self, rows):
        unique, place = unique_rows(rows)

        expected, expected_place = np.unique(rows, axis=0, return_inverse=True)
        np.testing.assert_array_equal(unique, expected)
        np.testing.assert_array_equal(place, expected_place.reshape(-1))

    @given(arrays(np.int32, ROWS, elements=st.integers(0, 3)))
    def test_takes_faces_too(self, rows):
        unique, place = unique_rows(rows)

        np.testing.assert_array_equal(unique[place], rows)
        assert len({tuple(row) for row in rows.tolist()}) == len(unique)


class TestCompact:
    @given(
        arrays(np.int32, ROWS, elements=st.integers(0, 9)),
        arrays(np.float32, (10, 3), elements=st.integers(0, 99)),
    )
    def test_keeps_every_corner_in_its_place_and_nothing_else(self, faces, vertices):
        mesh = compact(vertices, faces)

        np.testing.assert_array_equal(mesh.vertices[mesh.faces], vertices[faces])
        np.testing.assert_array_equal(mesh.vertices, vertices[np.unique(faces)])
        assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float32, np.int32)
