"""The whole preview engine: what it promises of the files that it makes."""

import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from gpu_agent.engines import EngineError, JobCancelledError
from gpu_agent.engines.preview import PreviewEngine
from gpu_agent.engines.preview.background import cut_out, find_subject
from gpu_agent.engines.preview.photo import decode_photo
from gpu_agent.engines.rendering import Camera, TexturedMesh, render, silhouette, srgb_from_linear
from gpu_agent.wire import Stage
from tests.unit.gpu_agent.engines import alphas, pictures


class RecordingWatch:
    """Keeps what it is told, and stops the job when it has heard enough."""

    def __init__(self, stop_at: int | None = None):
        self.heard: list[tuple[Stage, float]] = []
        self.stop_at = stop_at

    def stage(self, stage: Stage, percent: float = 0.0) -> None:
        self.heard.append((stage, percent))
        self.check()

    def check(self) -> None:
        if self.stop_at is not None and len(self.heard) >= self.stop_at:
            raise JobCancelledError


def generate(data: bytes, **options):
    return PreviewEngine().generate(data, options, RecordingWatch())


def texture_of(generated) -> Image.Image:
    data = io.BytesIO(generated.artifacts[0].data)
    mesh = trimesh.load(data, file_type="glb", force="mesh", process=False)
    return mesh.visual.material.baseColorTexture


def reopened(generated) -> trimesh.Trimesh:
    return trimesh.load_mesh(io.BytesIO(generated.artifacts[0].data), file_type="glb")


@pytest.fixture(name="coffee", scope="module")
def _coffee():
    """A model of a real photograph."""
    return generate(pictures.packaged("coffee.png"))


@pytest.fixture(name="coffee_mesh", scope="module")
def _coffee_mesh(coffee):
    """The coffee cup's mesh as another program reads it, split at the seam as stored."""
    return trimesh.load_mesh(io.BytesIO(coffee.artifacts[0].data), file_type="glb", process=False)


class TestModelOfAPhotograph:
    def test_is_closed_and_faces_outward(self, coffee_mesh):
        merged = coffee_mesh.copy()
        merged.merge_vertices(merge_tex=True, merge_norm=True)

        assert merged.is_watertight
        assert merged.is_winding_consistent
        assert merged.volume > 0
        assert len(merged.faces) > 2000

    def test_is_a_metre_long_centred_and_deep_enough(self, coffee_mesh):
        assert coffee_mesh.extents.max() == pytest.approx(1, abs=1e-4)
        assert coffee_mesh.bounds.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-4)
        assert coffee_mesh.extents[2] >= 0.15 * coffee_mesh.extents[0]

    def test_has_the_outline_of_the_subject(self, coffee_mesh):
        cutout = cut_out(
            decode_photo(pictures.packaged("coffee.png")), find=find_subject, longest_edge=1024
        )
        mask = cutout.coverage >= 0.5
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        high, wide = mask.shape

        seen = silhouette(
            coffee_mesh.vertices.astype(np.float32),
            coffee_mesh.faces,
            Camera.front(span=float(coffee_mesh.extents[1])),
            width=wide,
            height=high,
        )

        assert pictures.overlap(seen, mask) >= 0.95

    def test_has_the_colours_of_the_subject(self, coffee, coffee_mesh):
        image = coffee_mesh.visual.material.baseColorTexture.convert("RGB")
        mesh = TexturedMesh(
            vertices=coffee_mesh.vertices.astype(np.float32),
            faces=coffee_mesh.faces,
            normals=coffee_mesh.vertex_normals.astype(np.float32),
            uv=(coffee_mesh.visual.uv * [1, -1] + [0, 1]).astype(np.float32),
            texture=np.asarray(image),
        )
        view = render(mesh, Camera.front(span=1.1), width=256, height=256, lights=(), ambient=1.0)

        mean = srgb_from_linear(view[view[..., 3] == 1][:, :3]).mean(axis=0) * 255

        assert mean == pytest.approx(coffee.mesh["subject_mean_rgb"], rel=0.1)
        assert coffee.mesh["texture_mean_rgb"] == pytest.approx(
            coffee.mesh["subject_mean_rgb"], rel=0.1
        )

    def test_has_a_matt_material_with_a_small_texture(self, coffee, coffee_mesh):
        material = coffee_mesh.visual.material

        assert material.metallicFactor == 0
        assert 0.8 <= material.roughnessFactor <= 1
        assert b"image/jpeg" in coffee.artifacts[0].data
        assert max(material.baseColorTexture.size) <= 1024

    def test_brings_a_picture_of_itself(self, coffee):
        model, picture = coffee.artifacts

        assert (model.name, model.content_type) == ("model.glb", "model/gltf-binary")
        assert (picture.name, picture.content_type) == ("preview.png", "image/png")
        image = np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB"), np.float32)
        assert image.shape == (768, 1024, 3)
        # The backdrop is grey: what has colour is the model, in all three views.
        colourful = np.ptp(image, axis=-1) > 60
        assert colourful[:, :700].mean() > 0.15
        assert colourful[:380, 720:].mean() > 0.05
        assert colourful[390:, 720:].mean() > 0.05

    def test_reports_plain_figures(self, coffee):
        figures = coffee.mesh

        assert figures["watertight"] is True
        assert figures["faces"] > 2000
        assert figures["silhouette_iou"] >= 0.95
        assert [type(value) for value in figures["extents"]] == [float] * 3
        assert "no third-party licence" in coffee.notice
        assert "not a reconstruction" in coffee.notice

    def test_is_no_finer_for_a_larger_photo(self, coffee):
        """What keeps its cost down; how long it takes is measured by `make bench`."""
        large = Image.open(io.BytesIO(pictures.packaged("coffee.png"))).resize((2048, 1365))

        found = generate(pictures.png(large))

        assert found.mesh["faces"] == pytest.approx(coffee.mesh["faces"], rel=0.1)
        assert max(texture_of(found).size) <= 1024


class TestGenerate:
    @pytest.mark.parametrize(
        "draw",
        [pictures.ring, pictures.mug, pictures.lamp, pictures.cut_off, pictures.two],
        ids=lambda draw: draw.__name__,
    )
    def test_makes_a_sound_model_of_any_subject(self, draw):
        generated = generate(pictures.photo(draw))

        mesh = reopened(generated)
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert mesh.extents[2] >= 0.15 * mesh.extents[0]
        assert generated.mesh["silhouette_iou"] >= 0.95

    def test_gives_equal_bytes_for_equal_input(self):
        data = pictures.photo(pictures.mug)

        assert generate(data, seed=5).artifacts == generate(data, seed=5).artifacts

    def test_lets_no_background_show_at_the_rim(self):
        image = Image.new("RGB", (300, 300), (0, 255, 0))
        image.paste((160, 50, 40), (80, 60, 220, 240))

        generated = generate(pictures.png(image))

        texture = np.asarray(
            reopened(generated).visual.material.baseColorTexture.convert("RGB"), np.float32
        )
        assert (texture[..., 1] < texture[..., 0]).all()

    @pytest.mark.parametrize("face_count", [2000, 8000, 60_000])
    def test_keeps_to_the_face_count(self, face_count):
        faces = generate(pictures.photo(pictures.disc), face_count=face_count).mesh["faces"]

        assert 0.4 * face_count < faces <= face_count

    def test_leaves_out_the_texture(self):
        generated = generate(pictures.photo(pictures.disc), texture=False)

        material = reopened(generated).visual.material
        assert material.baseColorTexture is None
        assert generated.mesh["watertight"] is True

    @pytest.mark.parametrize(("texture_size", "at_least"), [(256, 200), (2048, 1100)])
    def test_keeps_to_the_texture_size(self, texture_size, at_least):
        large = Image.open(io.BytesIO(pictures.photo(pictures.disc))).resize((1920, 1440))

        visual = reopened(generate(pictures.png(large), texture_size=texture_size)).visual

        assert at_least < max(visual.material.baseColorTexture.size) <= texture_size

    def test_takes_the_whole_frame_when_told(self):
        mesh = generate(pictures.photo(pictures.disc), remove_background=False).mesh

        assert mesh["extents"][1] / mesh["extents"][0] == pytest.approx(0.75, abs=0.01)

    def test_says_in_the_notes_what_was_done_about_transparency(self):
        alpha = alphas.rounded((480, 360), 0.15)
        data = pictures.see_through(pictures.photo(pictures.disc), alpha)

        generated = generate(data, face_count=2000, texture_size=256)

        assert "only corners or edges" in generated.result["notes"][0]
        red, green, blue = generated.mesh["subject_mean_rgb"]
        assert red > 1.5 * max(green, blue)

    def test_says_in_the_notes_that_the_subject_is_doubtful(self):
        generated = generate(pictures.photo(pictures.two), face_count=2000, texture_size=256)

        assert "2 pieces" in generated.result["notes"][0]

    def test_has_no_notes_for_a_clear_photo(self, coffee):
        assert coffee.result["notes"] == []

    def test_takes_no_doubtful_subject_where_full_quality_is_asked_for(self):
        with pytest.raises(EngineError, match="2 pieces") as caught:
            generate(pictures.photo(pictures.two), min_quality="full")

        assert (caught.value.code, caught.value.retryable) == ("no_subject_found", False)

    def test_gives_a_thing_that_lies_the_depth_of_one_that_stands(self):
        lying, standing = (
            generate(pictures.photo(draw), texture_size=256).mesh["extents"]
            for draw in (pictures.lying_pen, pictures.standing_pen)
        )

        assert lying[2] == pytest.approx(standing[2], rel=0.15)
        assert 0.5 * lying[1] < lying[2] < 1.1 * lying[1]

    def test_ignores_options_that_it_does_not_know(self):
        assert generate(pictures.photo(pictures.disc), steps=30, seed=None).seed == 0

    @pytest.mark.parametrize(
        "options",
        [
            {"seed": -1},
            {"seed": "7"},
            {"face_count": 10},
            {"face_count": 2000.5},
            {"face_count": True},
            {"texture": 1},
            {"remove_background": "no"},
            {"min_quality": "best"},
            {"texture_size": 9000},
        ],
        ids=str,
    )
    def test_refuses_options_out_of_range(self, options):
        with pytest.raises(EngineError) as caught:
            generate(pictures.photo(pictures.disc), **options)

        assert (caught.value.code, caught.value.retryable) == ("invalid_options", False)
        assert next(iter(options)) in str(caught.value)

    def test_reports_every_stage_in_order(self):
        watch = RecordingWatch()

        PreviewEngine().generate(pictures.photo(pictures.disc), {}, watch)

        stages = list(dict.fromkeys(stage for stage, _ in watch.heard))
        assert stages == [
            Stage.BACKGROUND,
            Stage.SHAPE,
            Stage.TEXTURE,
            Stage.FINISH,
            Stage.EXPORT,
        ]
        assert watch.heard == sorted(watch.heard, key=lambda h: (stages.index(h[0]), h[1]))

    @pytest.mark.parametrize("stop_at", [1, 3, 6, 9])
    def test_stops_when_the_job_is_cancelled(self, stop_at):
        watch = RecordingWatch(stop_at=stop_at)

        with pytest.raises(JobCancelledError):
            PreviewEngine().generate(pictures.photo(pictures.disc), {}, watch)

        assert len(watch.heard) == stop_at


class TestSetUp:
    def test_reports_from_nothing_to_done(self):
        reports = []

        PreviewEngine({}).set_up(lambda percent, sentence: reports.append((percent, sentence)))

        assert [percent for percent, _ in reports] == [0, 100]
        assert all(sentence.endswith(".") for _, sentence in reports)
