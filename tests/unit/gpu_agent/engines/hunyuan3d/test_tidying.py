import numpy as np
import pytest
import trimesh

from gpu_agent.engines import EngineError
from gpu_agent.engines.hunyuan3d.model import RawMesh, ShapeRequest
from gpu_agent.engines.hunyuan3d.tidying import drop_degenerate, drop_floaters, tidy
from tests.fakes.gpu_model import make_egg
from tests.unit.gpu_agent.engines.hunyuan3d.conftest import SETTINGS, draw_cutout

EGG = make_egg(ShapeRequest(cutout_png=draw_cutout(), seed=3), SETTINGS)


def joined(*meshes: RawMesh) -> RawMesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return RawMesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        faces=np.concatenate(
            [mesh.faces + np.int32(start) for mesh, start in zip(meshes, starts, strict=False)]
        ),
    )


def is_closed(mesh: RawMesh) -> bool:
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return bool((np.unique(edges, axis=0, return_counts=True)[1] == 2).all())


SPECK = RawMesh(
    vertices=np.array([[2, 0, 0], [2, 1, 0], [2, 0, 1], [3, 0, 0]], np.float32),
    faces=np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32),
)


class TestDropFloaters:
    def test_drops_a_speck_and_its_vertices(self):
        cleaned = drop_floaters(joined(EGG, SPECK))

        assert len(cleaned.faces) == len(EGG.faces)
        assert cleaned.vertices[:, 0].max() < 1.5
        assert is_closed(cleaned)

    def test_keeps_two_parts_of_a_size(self):
        far = RawMesh(vertices=EGG.vertices + np.float32(5), faces=EGG.faces)

        assert len(drop_floaters(joined(EGG, far)).faces) == 2 * len(EGG.faces)

    def test_keeps_the_largest_however_small(self):
        assert len(drop_floaters(SPECK).faces) == 4


class TestDropDegenerate:
    def test_merges_what_lies_at_one_place_and_keeps_the_surface_closed(self):
        torn = RawMesh(
            vertices=EGG.vertices[EGG.faces].reshape(-1, 3),
            faces=np.arange(3 * len(EGG.faces), dtype=np.int32).reshape(-1, 3),
        )
        doubled = RawMesh(
            vertices=torn.vertices, faces=np.concatenate([torn.faces, [[0, 0, 1]], torn.faces[:1]])
        )

        cleaned = drop_degenerate(doubled)

        assert (len(cleaned.vertices), len(cleaned.faces)) == (len(EGG.vertices), len(EGG.faces))
        assert is_closed(cleaned)

    def test_takes_away_a_fold_that_hangs_from_the_surface(self):
        a, b, _ = EGG.faces[0]
        tip = len(EGG.vertices)
        folded = RawMesh(
            vertices=np.concatenate([EGG.vertices, [[2, 0, 0]]]).astype(np.float32),
            faces=np.concatenate([EGG.faces, [[a, b, tip], [b, a, tip]]]).astype(np.int32),
        )

        cleaned = drop_degenerate(folded)

        assert len(cleaned.faces) == len(EGG.faces)
        assert is_closed(cleaned)

    def test_keeps_a_face_turned_as_most_of_its_copies_are(self):
        face = EGG.faces[:1]
        doubled = RawMesh(
            vertices=EGG.vertices,
            faces=np.concatenate([face[:, ::-1], EGG.faces, np.roll(face, 1, axis=1)]),
        )

        cleaned = drop_degenerate(doubled)

        volume = trimesh.Trimesh(cleaned.vertices, cleaned.faces, process=False).volume
        assert len(cleaned.faces) == len(EGG.faces)
        assert volume == pytest.approx(trimesh.Trimesh(EGG.vertices, EGG.faces).volume)


class TestTidy:
    def test_refuses_an_empty_mesh(self):
        empty = RawMesh(vertices=np.zeros((0, 3), np.float32), faces=np.zeros((0, 3), np.int32))

        with pytest.raises(EngineError, match="empty"):
            tidy(empty, face_count=None)
