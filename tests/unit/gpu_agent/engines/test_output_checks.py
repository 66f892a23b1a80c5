"""A finished file that is not what was promised is never handed out."""

from dataclasses import replace

import numpy as np
import pytest

from gpu_agent.engines import EngineError
from gpu_agent.engines.glb import Model, write_glb
from gpu_agent.engines.preview.inflation import inflate
from gpu_agent.engines.preview.outline import triangulate_outline
from gpu_agent.engines.preview.output_checks import Place, check_model

Y, X = np.mgrid[0:100, 0:100]
OUTLINE = (np.hypot(X - 49.5, Y - 49.5) < 40).astype(np.float32)
PEN = ((np.abs(Y - 49.5) < 4) & (np.abs(X - 49.5) < 45)).astype(np.float32)
PLACE = Place(metres_per_px=1 / 80, middle_px=np.array([49.5, -49.5, 0], np.float32))


def ball() -> Model:
    sheets = inflate(triangulate_outline(OUTLINE, triangle_limit=1500))
    return Model(
        vertices=((sheets.vertices - PLACE.middle_px) * PLACE.metres_per_px).astype(np.float32),
        faces=sheets.faces,
        normals=sheets.normals.astype(np.float32),
        uv=None,
        texture=None,
        colour=(0.5, 0.5, 0.5),
    )


def lying_pen() -> Model:
    sheets = inflate(triangulate_outline(PEN, triangle_limit=1500))
    return replace(
        ball(),
        vertices=((sheets.vertices - PLACE.middle_px) * PLACE.metres_per_px).astype(np.float32),
        faces=sheets.faces,
        normals=sheets.normals.astype(np.float32),
    )


class TestCheckModel:
    def test_measures_a_sound_model(self):
        figures = check_model(write_glb(ball()), OUTLINE, PLACE)

        assert figures["watertight"] is True
        assert figures["silhouette_iou"] > 0.99

    def test_takes_a_thin_thing_that_lies_for_thin_and_not_for_flat(self):
        extents = check_model(write_glb(lying_pen()), PEN, PLACE)["extents"]

        assert extents[2] < 0.15 * extents[0]

    def test_rejects_a_thin_thing_that_is_flat(self):
        pen = lying_pen()

        with pytest.raises(EngineError, match="flat"):
            check_model(
                write_glb(replace(pen, vertices=pen.vertices * np.float32([1, 1, 0.1]))),
                PEN,
                PLACE,
            )

    @pytest.mark.parametrize(
        ("spoil", "complaint"),
        [
            (lambda m: replace(m, faces=m.faces[:-1]), "not closed"),
            (lambda m: replace(m, faces=m.faces[:, ::-1]), "inside out"),
            (lambda m: replace(m, vertices=m.vertices * np.float32([1, 1, 0.1])), "flat"),
            (lambda m: replace(m, vertices=m.vertices + np.float32([0.1, 0, 0])), "outline"),
        ],
        ids=["hole", "inside out", "flat", "displaced"],
    )
    def test_rejects_a_broken_one(self, spoil, complaint):
        with pytest.raises(EngineError, match=complaint) as caught:
            check_model(write_glb(spoil(ball())), OUTLINE, PLACE)

        assert (caught.value.code, caught.value.retryable) == ("model_rejected", True)
