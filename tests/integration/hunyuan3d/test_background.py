"""The real rembg on a tiny model, and what it cuts out through the real pipeline."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpu_agent.engines.hunyuan3d import cutout as cutouts
from gpu_agent.engines.hunyuan3d import libraries
from gpu_agent.engines.hunyuan3d.cutout import load_mask_model
from gpu_agent.engines.hunyuan3d.model import ShapeRequest, ShapeSettings
from gpu_agent.engines.hunyuan3d.presets import BACKGROUND_FILE
from gpu_agent.errors import EngineError

pytestmark = pytest.mark.engine

SETTINGS = ShapeSettings(
    preset="draft",
    steps=1,
    guidance_scale=5.0,
    octree_resolution=16,
    num_chunks=8000,
    flash_vdm=False,
)


def photo(colour=(180, 60, 60), box=(30, 20, 90, 70), size=(120, 100)):
    picture = Image.new("RGB", size, (235, 235, 235))
    if box:
        ImageDraw.Draw(picture).ellipse(box, fill=colour)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def cut_out(image, find, **options):
    return cutouts.cut_out(image, find, **options).png


def alpha_of(png):
    return np.asarray(Image.open(io.BytesIO(png)))[..., 3]


@pytest.fixture(name="find", scope="module")
def _find(weights_folder):
    return load_mask_model(weights_folder, threads=1)


class TestMaskModel:
    def test_cuts_the_subject_out(self, find):
        alpha = alpha_of(cut_out(photo(), find))

        assert alpha.shape == pytest.approx((54, 64), abs=8)
        assert alpha[alpha.shape[0] // 2, alpha.shape[1] // 2] == 255
        assert alpha[0, 0] == 0
        assert (alpha > 127).sum() == pytest.approx(np.pi / 4 * 61 * 51, rel=0.12)

    def test_sees_nothing_in_an_even_picture(self, find):
        with pytest.raises(EngineError) as caught:
            cut_out(photo(box=None), find)
        assert caught.value.code == "no_subject_found"

    def test_serves_many_threads_at_once(self, find):
        photos = [photo(box=(20 + n, 20, 60 + n, 70)) for n in range(6)]
        alone = [cut_out(image, find) for image in photos]

        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda image: cut_out(image, find), photos))

        assert together == alone

    def test_is_named_and_is_not_the_one_that_asks_for_a_paid_licence(
        self, weights_folder, monkeypatch
    ):
        rembg = libraries.rembg()
        asked = []
        real = rembg.new_session

        def new_session(*names, **options):
            asked.append((names, options["providers"]))
            return real(*names, **options)

        monkeypatch.setattr(rembg, "new_session", new_session)
        load_mask_model(weights_folder)

        assert asked == [(("isnet-general-use",), ["CPUExecutionProvider"])]

    def test_costs_no_compilation(self, find):
        """On a fresh machine rembg's import would compile for the better part of a minute."""
        import numba

        assert numba.config.DISABLE_JIT

    def test_is_never_fetched(self, own_weights):
        (own_weights / BACKGROUND_FILE).unlink()

        with pytest.raises(EngineError, match="is missing") as caught:
            load_mask_model(own_weights)
        assert caught.value.code == "weights_missing"

    @pytest.mark.parametrize("content", [b"", b"\x08\x08junk" * 20])
    def test_says_when_its_file_is_broken(self, own_weights, content):
        (own_weights / BACKGROUND_FILE).write_bytes(content)

        with pytest.raises(EngineError, match="can't be loaded") as caught:
            load_mask_model(own_weights)
        assert caught.value.code == "weights_corrupt"
        assert "\n" not in str(caught.value)


class TestCutouts:
    @pytest.mark.parametrize(
        "box", [(50, 40, 56, 47), (10, 48, 110, 54), (58, 5, 63, 95), (0, 0, 119, 99)]
    )
    def test_are_taken_by_the_pipeline_whatever_their_form(self, find, model, box):
        cutout = cut_out(photo(box=box), find)

        latents = model.diffuse([ShapeRequest(cutout_png=cutout, seed=1)], SETTINGS, lambda *_: 0)
        mesh = model.decode(latents, 0, SETTINGS, lambda _: None)

        assert len(mesh.faces) > 100

    def test_of_the_thinnest_subject_are_taken_too(self, find, model):
        picture = Image.new("RGBA", (1600, 20))
        picture.paste((90, 90, 90, 255), (0, 6, 1600, 14))
        file = io.BytesIO()
        picture.save(file, "PNG")

        cutout = cut_out(file.getvalue(), find)

        assert model.diffuse([ShapeRequest(cutout_png=cutout, seed=1)], SETTINGS, lambda *_: 0)[
            0
        ].shape
