"""A finished file that is not what was promised is never handed out."""

import io

import numpy as np
import pytest
from PIL import Image

from gpu_agent.engines import EngineError
from gpu_agent.engines.glb import Model, write_glb
from gpu_agent.engines.hunyuan3d.finisher import Stopwatch, do_export, vertex_normals
from gpu_agent.engines.hunyuan3d.model import RawMesh, ShapeRequest, UvMesh
from gpu_agent.engines.hunyuan3d.output_checks import check_model, is_rejected
from gpu_agent.engines.hunyuan3d.tasks import Export
from tests.fakes.gpu_model import make_egg
from tests.unit.gpu_agent.engines.hunyuan3d.conftest import SETTINGS, draw_cutout

EGG = make_egg(ShapeRequest(cutout_png=draw_cutout(), seed=3), SETTINGS)


def glb_of(mesh: RawMesh, texture: np.ndarray | None = None) -> bytes:
    return write_glb(
        Model(
            vertices=mesh.vertices,
            faces=mesh.faces.astype(np.intp),
            normals=vertex_normals(mesh.vertices, mesh.faces),
            uv=None if texture is None else np.abs(mesh.vertices[:, :2]) % 1,
            texture=texture,
            colour=(0.4, 0.4, 0.4),
        )
    )


def figures_of(mesh: RawMesh, **more):
    return check_model(
        glb_of(mesh),
        **{
            "face_count": len(mesh.faces),
            "vertices": mesh.vertices,
            "is_textured": False,
            **more,
        },
    )


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


class TestCheckModel:
    def test_measures_a_closed_mesh(self):
        figures = figures_of(EGG)

        assert figures["watertight"] is True
        assert figures["volume"] > 0
        assert figures["notes"] == []
        assert np.allclose(
            figures["bounds"], [EGG.vertices.min(0), EGG.vertices.max(0)], atol=1e-5
        )

    def test_takes_an_open_mesh_and_tells(self):
        figures = figures_of(RawMesh(vertices=EGG.vertices, faces=EGG.faces[5:]))

        assert (figures["watertight"], figures["volume"]) == (False, None)
        assert figures["notes"] == ["The surface is not closed: it has no volume."]

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"face_count": 7}, "instead of 7"),
            ({"vertices": EGG.vertices + np.float32(1)}, "lies elsewhere"),
            ({"is_textured": True}, "texture is missing"),
        ],
    )
    def test_refuses_what_was_not_written(self, more, words: str):
        with pytest.raises(EngineError, match=words) as caught:
            figures_of(EGG, **more)

        assert is_rejected(caught.value)

    @pytest.mark.parametrize(("scale", "words"), [([1, 0, 1], "flat"), ([9, 9, 9], "too large")])
    def test_refuses_what_shows_nothing(self, scale, words: str):
        with pytest.raises(EngineError, match=words):
            figures_of(RawMesh(vertices=EGG.vertices * np.float32(scale), faces=EGG.faces))

    def test_refuses_a_file_that_does_not_open(self):
        with pytest.raises(EngineError, match="can't be opened"):
            check_model(b"glTF", face_count=1, vertices=EGG.vertices, is_textured=False)

    def test_refuses_a_blank_texture_and_takes_a_painted_one(self):
        blank = np.full((8, 8, 3), 200, np.uint8)
        painted = blank.copy()
        painted[:4] = 40
        mesh = {"face_count": len(EGG.faces), "vertices": EGG.vertices, "is_textured": True}

        assert check_model(glb_of(EGG, painted), **mesh)["textured"] is True
        with pytest.raises(EngineError, match="blank"):
            check_model(glb_of(EGG, blank), **mesh)


class TestDoExport:
    def test_takes_a_texture_down_and_keeps_it_the_right_way_up(self):
        """The atlas counts from the bottom, glTF from the top."""
        texture = np.zeros((64, 64, 3), np.uint8)
        texture[:32] = (250, 250, 250)
        high = EGG.vertices[:, 1] > 0
        uv = np.stack([np.full(len(high), 0.5), np.where(high, 0.9, 0.1)], 1).astype(np.float32)
        mesh = UvMesh(vertices=EGG.vertices, faces=EGG.faces, uv=uv)

        exported = do_export(
            Export(mesh=mesh, texture_png=png(texture), texture_size=16, picture_px=128),
            Stopwatch(),
        )

        with Image.open(io.BytesIO(exported.picture_png)) as image:
            picture = np.asarray(image.convert("L"), np.float32)
        assert exported.figures["textured"] is True
        # The large view is on the left: light above, dark below.
        column = picture[:, round(0.35 * picture.shape[1])]
        above, below = (column[round(share * len(column))] for share in (0.35, 0.72))
        assert above > 200
        assert below < 60
