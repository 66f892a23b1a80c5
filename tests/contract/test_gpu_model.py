"""What every `GpuModel` promises: the fake that the lanes are tested with, and the real one."""

import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import trimesh
from PIL import Image, ImageDraw

from benchmarks.surfaces import is_same_surface
from gpu_agent.engines.hunyuan3d.model import ShapeRequest, ShapeSettings, UvMesh
from gpu_agent.errors import EngineError
from tests.fakes.gpu_model import FakeGpuModel

SETTINGS = ShapeSettings(
    preset="draft",
    steps=3,
    guidance_scale=5.0,
    octree_resolution=32,
    num_chunks=4000,
    flash_vdm=False,
)


class StopError(BaseException):
    """What a callback may raise: not even an Exception."""


def cutout(colour):
    picture = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(picture).ellipse((8, 14, 56, 50), fill=(*colour, 255))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


RED, BLUE = cutout((210, 40, 30)), cutout((20, 60, 200))


def build(kind, folder, *, texture):
    if kind == "fake":
        return FakeGpuModel(str(folder / "fake"), has_texture=texture)
    from gpu_agent.engines.hunyuan3d import libraries
    from gpu_agent.engines.hunyuan3d.tiny.folder import write_tiny_weights
    from gpu_agent.engines.hunyuan3d.torch_model import TorchModel

    libraries.torch().set_num_threads(1)
    write_tiny_weights(folder, ["draft"])
    return TorchModel(
        folder, presets=["draft"], device="cpu", texture=texture, texture_edge_px=64, threads=1
    )


@pytest.fixture(
    name="make", scope="module", params=["fake", pytest.param("real", marks=pytest.mark.engine)]
)
def _make(request, tmp_path_factory):
    return lambda *, texture: build(request.param, tmp_path_factory.mktemp("m"), texture=texture)


@pytest.fixture(name="model", scope="module")
def _model(make):
    model = make(texture=True)
    model.load(lambda _percent, _detail: None)
    return model


def shape(model, *requests, settings=SETTINGS):
    requests = [ShapeRequest(cutout_png=png, seed=seed) for png, seed in requests]
    latents = model.diffuse(requests, settings, lambda *_: None)
    return [
        model.decode(latents, index, settings, lambda _: None) for index in range(len(requests))
    ]


def ball():
    solid = trimesh.creation.icosphere(subdivisions=1)
    uv = (solid.vertices[:, :2] * 0.45 + 0.5).astype(np.float32)
    return UvMesh(
        vertices=solid.vertices.astype(np.float32), faces=solid.faces.astype(np.int32), uv=uv
    )


class TestLoad:
    def test_reports_a_percentage_that_never_falls_and_ends_at_100(self, make):
        reports = []

        make(texture=False).load(lambda percent, detail: reports.append((percent, detail)))

        percents = [percent for percent, _ in reports]
        assert percents == sorted(percents)
        assert percents[-1] == 100
        assert all(detail.endswith(".") for _, detail in reports)


class TestShape:
    def test_is_closed_and_faces_outward(self, model):
        (mesh,) = shape(model, (RED, 1))

        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert solid.is_watertight
        assert np.isfinite(mesh.vertices).all()
        assert solid.volume > 0
        assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float32, np.int32)

    def test_follows_image_and_seed(self, model):
        (mesh,), (other,), (seeded,) = (
            shape(model, one) for one in [(RED, 1), (BLUE, 1), (RED, 2)]
        )

        assert not is_same_surface(mesh, other)
        assert not is_same_surface(mesh, seeded)

    def test_does_not_depend_on_its_batch(self, model):
        wanted = [(RED, 1), (BLUE, 1), (RED, 2)]

        for together, one in zip(shape(model, *wanted), wanted, strict=True):
            (alone,) = shape(model, one)
            assert is_same_surface(together, alone)

    def test_may_be_decoded_coarser_than_it_was_diffused(self, model):
        request = ShapeRequest(cutout_png=RED, seed=1)
        latents = model.diffuse([request], SETTINGS, lambda *_: None)

        coarse = model.decode(
            latents, 0, replace(SETTINGS, octree_resolution=16, num_chunks=900), lambda _: None
        )

        assert len(coarse.faces) > 50

    def test_counts_its_steps_and_points(self, model):
        steps, shares = [], []

        latents = model.diffuse(
            [ShapeRequest(cutout_png=RED, seed=1)], SETTINGS, lambda *step: steps.append(step)
        )
        model.decode(latents, 0, SETTINGS, shares.append)

        assert steps == [(1, 3), (2, 3), (3, 3)]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0

    @pytest.mark.parametrize("step", ["diffuse", "decode"])
    def test_is_the_same_after_another_was_cancelled(self, model, step):
        (before,) = shape(model, (RED, 1))

        def stop(*_):
            raise StopError

        request = ShapeRequest(cutout_png=RED, seed=1)
        latents = model.diffuse([request], SETTINGS, lambda *_: None)
        cancel = (
            partial(model.diffuse, [request], SETTINGS, stop)
            if step == "diffuse"
            else partial(model.decode, latents, 0, SETTINGS, stop)
        )
        with pytest.raises(StopError):
            cancel()

        (after,) = shape(model, (RED, 1))
        assert is_same_surface(before, after)


class TestPaint:
    def test_gives_a_square_rgb_png(self, model):
        shares = []

        with Image.open(io.BytesIO(model.paint(ball(), RED, 1, shares.append))) as picture:
            assert (picture.format, picture.mode) == ("PNG", "RGB")
            assert picture.width == picture.height
        assert shares == sorted(shares)
        assert shares[-1] == 1.0

    def test_is_refused_where_no_texture_is_configured(self, make):
        model = make(texture=False)
        model.load(lambda *_: None)

        with pytest.raises(EngineError) as caught:
            model.paint(ball(), RED, 1, lambda _: None)
        assert caught.value.code == "no_texture_model"
