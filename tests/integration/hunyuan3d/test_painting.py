"""hy3dgen's own texture pipeline on a CPU: our rasteriser, and stand-ins for the diffusions."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image, ImageDraw

from gpu_agent.engines.hunyuan3d import libraries
from gpu_agent.engines.hunyuan3d.model import UvMesh
from gpu_agent.engines.hunyuan3d.painting import load_painter
from gpu_agent.engines.hunyuan3d.torch_model import TorchModel
from gpu_agent.errors import EngineError
from tests.integration.hunyuan3d.pictures import BLUE, RED

pytestmark = pytest.mark.engine

EDGE_PX = 128


class StopError(BaseException):
    pass


@pytest.fixture(name="painter", scope="module")
def _painter(tmp_path_factory):
    return load_painter(tmp_path_factory.mktemp("nothing"), "cpu", edge_px=EDGE_PX)


@pytest.fixture(name="mesh", scope="module")
def _mesh():
    import xatlas

    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.8)
    seams, faces, uv = xatlas.parametrize(ball.vertices, ball.faces)
    return UvMesh(
        vertices=ball.vertices[seams].astype(np.float32),
        faces=faces.astype(np.int32),
        uv=uv.astype(np.float32),
    )


def opened(cutout_png):
    return Image.open(io.BytesIO(cutout_png))


def colours(mesh, png):
    """Give the colour of each vertex of a painted mesh, read the way a GLB's viewer does."""
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    solid.visual = trimesh.visual.TextureVisuals(uv=mesh.uv, image=opened(png))
    return solid.visual.to_color().vertex_colors[:, :3].astype(float)


class TestPainter:
    def test_paints_the_front_with_the_photo_where_the_photo_has_it(self, painter, mesh):
        photo = Image.new("RGBA", (90, 90), (0, 0, 0, 0))
        draw = ImageDraw.Draw(photo)
        draw.ellipse((5, 5, 85, 85), fill=(210, 30, 30, 255))
        draw.rectangle((20, 20, 45, 45), fill=(20, 200, 40, 255))

        painted = colours(mesh, painter.paint(mesh, photo, 1, lambda _: None))

        x, y, z = mesh.vertices.T
        upper_left = (z > 0.4) & (x > -0.4) & (x < -0.15) & (y > 0.15) & (y < 0.4)
        lower_right = (z > 0.4) & (x > 0.1) & (y < -0.1)
        assert upper_left.any()
        assert np.abs(painted[upper_left] - (20, 200, 40)).max() < 40
        assert np.abs(painted[lower_right] - (210, 30, 30)).max() < 40

    def test_paints_all_of_it(self, painter, mesh):
        painted = colours(mesh, painter.paint(mesh, opened(BLUE), 1, lambda _: None))

        # The texture is small: a corner at a seam may show the colour beside its patch.
        far = np.abs(painted - (30, 40, 220)).max(axis=-1)
        assert np.percentile(far, 95) < 40

    def test_gives_a_square_rgb_png_that_follows_the_photo(self, painter, mesh):
        red = painter.paint(mesh, opened(RED), 1, lambda _: None)
        blue = painter.paint(mesh, opened(BLUE), 1, lambda _: None)

        picture = opened(red)
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (EDGE_PX, EDGE_PX))
        assert red == painter.paint(mesh, opened(RED), 1, lambda _: None)
        assert red != blue

    def test_reports_a_share_that_never_falls(self, painter, mesh):
        shares = []

        painter.paint(mesh, opened(RED), 1, shares.append)

        assert shares == sorted(shares)
        assert (shares[0], shares[-1], len(shares) > 4) == (0.0, 1.0, True)

    def test_is_usable_after_a_cancellation(self, painter, mesh):
        before = painter.paint(mesh, opened(RED), 1, lambda _: None)

        def stop(share):
            if share > 0.3:
                raise StopError

        with pytest.raises(StopError):
            painter.paint(mesh, opened(RED), 1, stop)
        assert painter.paint(mesh, opened(RED), 1, lambda _: None) == before


class FakeDiffusion:
    """What hy3dgen keeps in ``.pipeline`` of a model; takes the options of a diffusers one."""

    device = "cpu"

    def __init__(self):
        self.seeds = []

    def __call__(self, picture, *, num_inference_steps, generator, callback_on_step_end):
        self.seeds.append(generator.initial_seed())
        for step in range(num_inference_steps):
            assert callback_on_step_end(self, step, 0, {"latents": 1}) == {"latents": 1}
        return picture


class TestDiffusions:
    def test_report_each_step_and_take_the_seed(self, painter, mesh):
        diffusion = FakeDiffusion()
        real = painter.models["multiview_model"]

        class Views:
            pipeline = diffusion

            def __call__(self, photo, maps, cameras):
                generator = libraries.torch().Generator().manual_seed(0)
                self.pipeline(photo, num_inference_steps=10, generator=generator)
                return real(photo, maps, cameras)

        views = Views()
        painter.models["multiview_model"] = views
        shares = []
        painter.paint(mesh, opened(RED), 41, shares.append)
        painter.models["multiview_model"] = real

        assert diffusion.seeds == [41]
        assert views.pipeline is diffusion
        assert len([share for share in shares if 0.4 < share < 0.9]) == 9
        assert shares == sorted(shares)


class TestLoading:
    def test_reaches_the_weights_of_the_custom_pipeline(self, tmp_path):
        """From diffusers 0.38 on, hy3dgen's pipeline is refused before it looks."""
        index = {
            "_class_name": ["pipeline", "HunyuanPaintPipeline"],
            "_diffusers_version": "0.30.0",
            "vae": ["diffusers", "AutoencoderKL"],
        }
        (tmp_path / "model_index.json").write_text(json.dumps(index))
        texgen = libraries.texgen("gpu_agent.engines.hunyuan3d.rasterizer")
        config = SimpleNamespace(device="cpu", multiview_ckpt_path=str(tmp_path))

        with pytest.raises(OSError, match=r"no file named config\.json"):
            texgen.Multiview_Diffusion_Net(config)


class TestModel:
    def test_paints_only_where_a_texture_is_configured(self, model, mesh):
        with pytest.raises(EngineError) as caught:
            model.paint(mesh, RED, 1, lambda _: None)
        assert caught.value.code == "no_texture_model"

    def test_paints_where_one_is(self, weights_folder, mesh):
        model = TorchModel(
            weights_folder, presets=["draft"], device="cpu", texture_edge_px=64, threads=1
        )
        model.load(lambda *_: None)

        assert opened(model.paint(mesh, RED, 1, lambda _: None)).size == (64, 64)
