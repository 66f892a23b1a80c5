"""The preview engine: a silhouette inflated, the photo put on it. Seconds, no GPU."""

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from gpu_agent.engines import Artifact, EngineError, EngineInfo, Generated, SetUpReport, Watch
from gpu_agent.engines.glb import Model, drawable, write_glb
from gpu_agent.engines.mask_faults import require_quality
from gpu_agent.engines.picture import draw_picture
from gpu_agent.engines.preview.background import Cutout, cut_out, find_subject
from gpu_agent.engines.preview.inflation import Sheets, inflate
from gpu_agent.engines.preview.matting import FindSubject, load_matting
from gpu_agent.engines.preview.options import PreviewOptions
from gpu_agent.engines.preview.outline import OutlineError, triangulate_outline
from gpu_agent.engines.preview.output_checks import Place, check_model, front_colour
from gpu_agent.engines.preview.photo import decode_photo
from gpu_agent.engines.preview.texture import Atlas, paint_atlas
from gpu_agent.engines.rendering import linear_from_srgb
from gpu_agent.wire import Stage

Floats = NDArray[np.float32]

NOTICE = (
    "Made by the preview engine, whose output carries no third-party licence; "
    "it is an inflated silhouette of the photo, not a reconstruction of the object."
)

_OUTLINE_EDGE_PX = 640
"""Longest edge of the coverage picture that is triangulated."""


class PreviewEngine:
    """Inflates the silhouette of a photo's subject to a closed, textured mesh."""

    info = EngineInfo(
        name="preview",
        version="1.0",
        description=(
            "The subject's silhouette, inflated on the CPU and painted with the photo: "
            "a stand-in to look at, not a reconstruction of the object."
        ),
    )

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Prepare an engine.

        Args:
            environ: Where rembg's weights are named; without it they are not looked for.
        """
        self._environ = environ
        self._find: FindSubject = find_subject

    def close(self) -> None:
        """End nothing: it has started nothing."""

    def set_up(self, report: SetUpReport) -> None:
        """Make one model of a drawn disc, so that the first job finds everything loaded."""
        report(0, "Trying the preview engine on a test picture.")
        if self._environ is not None:
            self._find = load_matting(self._environ) or find_subject
        picture = Image.new("RGB", (96, 96), (200, 200, 200))
        ImageDraw.Draw(picture).ellipse((20, 20, 76, 76), fill=(150, 60, 40))
        file = io.BytesIO()
        picture.save(file, "PNG")
        self.generate(file.getvalue(), {"face_count": 2000, "texture_size": 256}, _NoWatch())
        report(100, "The preview engine is ready.")

    def generate(self, image_png: bytes, options: Mapping[str, Any], watch: Watch) -> Generated:
        """Make a GLB and a picture of it; see `Engine.generate`.

        Equal images and options give equal bytes.

        Raises:
            EngineError: ``invalid_options``, ``invalid_image``; ``no_subject_found``, also for a
                doubtful subject where ``min_quality`` is ``full``; ``model_rejected`` when the
                finished file is not what was promised.
        """
        wanted = PreviewOptions.from_mapping(options)
        watch.stage(Stage.BACKGROUND)
        photo = decode_photo(image_png)
        watch.stage(Stage.BACKGROUND, 20)
        cutout = cut_out(
            photo,
            find=self._find,
            longest_edge=wanted.texture_size,
            remove_background=wanted.remove_background,
        )
        require_quality(cutout.faults, wanted.min_quality)
        watch.stage(Stage.BACKGROUND, 100)

        watch.stage(Stage.SHAPE)
        outline = _reduced(cutout.coverage, _OUTLINE_EDGE_PX)
        try:
            flat = triangulate_outline(outline, triangle_limit=wanted.face_count // 2)
        except OutlineError as error:
            raise EngineError(
                "no_subject_found", "The subject is too small or too thin to model."
            ) from error
        watch.stage(Stage.SHAPE, 60)
        sheets = inflate(flat, _relief(cutout, outline.shape))
        watch.stage(Stage.SHAPE, 100)

        watch.stage(Stage.TEXTURE)
        atlas = paint_atlas(cutout.rgb, cutout.coverage, longest_edge=wanted.texture_size)
        subject_rgb = _mean_colour(cutout)
        watch.stage(Stage.TEXTURE, 100)

        watch.stage(Stage.FINISH)
        model, place = _model(sheets, atlas, outline.shape, subject_rgb, textured=wanted.texture)
        picture = draw_picture(drawable(model), watch.check)
        watch.stage(Stage.FINISH, 100)

        watch.stage(Stage.EXPORT)
        data = write_glb(model)
        watch.stage(Stage.EXPORT, 50)
        figures = check_model(data, outline, place)
        figures["subject_mean_rgb"] = subject_rgb
        figures["texture_mean_rgb"] = front_colour(model)
        watch.stage(Stage.EXPORT, 100)
        return Generated(
            artifacts=(
                Artifact(name="model.glb", content_type="model/gltf-binary", data=data),
                Artifact(name="preview.png", content_type="image/png", data=picture),
            ),
            mesh=figures,
            seed=wanted.seed,
            notice=NOTICE,
            result={"notes": [note for note in (cutout.note, *cutout.faults) if note]},
        )


class _NoWatch:
    """Watches a run that nobody waits for."""

    about: Mapping[str, Any] = MappingProxyType({})

    def stage(self, stage: Stage, percent: float = 0.0) -> None:
        pass

    def end_stage(self) -> None:
        pass

    def check(self) -> None:
        pass


def _reduced(coverage: Floats, longest_edge: int) -> Floats:
    high, wide = coverage.shape
    scale = min(1.0, longest_edge / max(high, wide))
    size = (max(2, round(wide * scale)), max(2, round(high * scale)))
    return np.asarray(Image.fromarray(coverage).resize(size, Image.Resampling.BOX))


def _relief(cutout: Cutout, shape: tuple[int, ...]) -> Floats:
    """Take fine light and dark of the photo for fine high and low, -1 to 1."""
    size = (shape[1], shape[0])
    grey = Image.fromarray(cutout.rgb).convert("L").resize(size, Image.Resampling.BOX)
    cover = np.asarray(Image.fromarray(cutout.coverage).resize(size, Image.Resampling.BOX))
    light = np.asarray(grey, np.float32) * cover
    fine, coarse = (
        ndimage.gaussian_filter(light, sigma) / (ndimage.gaussian_filter(cover, sigma) + 1e-3)
        for sigma in (0.006 * max(shape), 0.025 * max(shape))
    )
    relief: Floats = np.tanh((fine - coarse) / 30).astype(np.float32)
    return relief


def _mean_colour(cutout: Cutout) -> list[float]:
    """Give the subject's mean sRGB, 0 to 255."""
    weight = cutout.coverage >= 0.5
    return [float(value) for value in cutout.rgb[weight].mean(axis=0).round(2)]


def _model(
    sheets: Sheets,
    atlas: Atlas,
    shape: tuple[int, ...],
    colour: list[float],
    *,
    textured: bool,
) -> tuple[Model, Place]:
    """Scale the sheets to metres; also say where the model came from."""
    low, high = sheets.vertices.min(axis=0), sheets.vertices.max(axis=0)
    middle = (low + high) / 2
    metres = 1 / float((high - low).max())
    linear = linear_from_srgb(np.asarray(colour, np.float32) / np.float32(255))
    model = Model(
        vertices=((sheets.vertices - middle) * metres).astype(np.float32),
        faces=sheets.faces,
        normals=sheets.normals.astype(np.float32),
        uv=atlas.coordinates(sheets.flat, (shape[1], shape[0])) if textured else None,
        texture=atlas.image if textured else None,
        colour=(float(linear[0]), float(linear[1]), float(linear[2])),
    )
    return model, Place(metres_per_px=metres, middle_px=middle.astype(np.float32))
