"""Photos with transparency through the real rembg, on a tiny model."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpu_agent.engines.hunyuan3d.cutout import cut_out, load_mask_model
from tests.unit.gpu_agent.engines import alphas

pytestmark = pytest.mark.engine


@pytest.fixture(name="find", scope="module")
def _find(weights_folder):
    return load_mask_model(weights_folder, threads=1)


class TestTransparentPhotos:
    @pytest.mark.parametrize(
        "alpha", [alphas.rounded((160, 160), 0.2), alphas.framed((160, 160), 0.05)]
    )
    def test_have_their_background_removed(self, find, alpha):
        photo = Image.new("RGB", (160, 160), (90, 120, 170))
        ImageDraw.Draw(photo).ellipse((40, 40, 119, 119), fill=(190, 60, 40))
        pixels = np.where(alpha[..., None] > 0, np.asarray(photo), 0)
        file = io.BytesIO()
        Image.fromarray(np.dstack([pixels, alpha]).astype(np.uint8)).save(file, "PNG")

        cutout = cut_out(file.getvalue(), find)

        shown = np.asarray(Image.open(io.BytesIO(cutout.png)))
        assert shown.shape[:2] == pytest.approx((84, 84), abs=6)
        assert shown[shown[..., 3] > 200][:, :3].mean(axis=0) == pytest.approx(
            (190, 60, 40), abs=12
        )
        assert "only corners or edges" in cutout.note
