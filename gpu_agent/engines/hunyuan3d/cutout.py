"""Cut the subject out, on CPU threads, before any GPU time is spent.

The pipeline puts the bounding box of everything that is not fully transparent into 85 percent of a
square, and fails on subjects a pixel wide; so haze is taken away here, and such subjects refused.
"""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gpu_agent.engines.hunyuan3d import libraries
from gpu_agent.engines.hunyuan3d.image_decoding import decode_image
from gpu_agent.engines.hunyuan3d.presets import BACKGROUND_FILE, BACKGROUND_MODEL
from gpu_agent.engines.mask_faults import find_mask_faults
from gpu_agent.engines.transparency import (
    HAZE,
    AlphaKind,
    choose_approach,
    draw_outline,
    fill_hidden,
)
from gpu_agent.errors import EngineError

FindMask = Callable[[Image.Image], NDArray[np.uint8]]

_LONGEST_EDGE_PX = 1024
"""Of a cutout: the largest picture that any of the models looks at."""

_HALF = 128
_LEAST_EDGE_PX = 4
_LEAST_AREA_PX = 24
_LARGEST_ASPECT = 200
"""Of a subject's box. Thinner ones round to no pixel at all in the pipeline."""

_MARGIN_PX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """A subject, cropped.

    Attributes:
        png: RGBA, longest edge at most 1024 pixels.
        note: What was done about the picture's transparency, one sentence, or None.
        faults: Sentences on what makes a found subject doubtful.
    """

    png: bytes
    note: str | None = None
    faults: tuple[str, ...] = ()


def load_mask_model(weights: Path, *, threads: int | None = None) -> FindMask:
    """Load rembg's model from the weights.

    Args:
        weights: Folder of the weights.
        threads: CPU threads for one picture, or None for ONNX's own choice.

    Returns:
        A function from RGB to an (H, W) alpha, for any number of threads at once.

    Raises:
        EngineError: The model is not there or can't be loaded (``weights_missing``,
            ``weights_corrupt``).
    """
    file = weights / BACKGROUND_FILE
    # rembg would fetch it.
    if not file.is_file():
        raise EngineError("weights_missing", f"{file} is missing.")
    rembg = libraries.rembg()
    os.environ["U2NET_HOME"] = str(weights.resolve() / "rembg")
    options = libraries.onnxruntime().SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    try:
        session: Any = rembg.new_session(
            BACKGROUND_MODEL, sess_opts=options, providers=["CPUExecutionProvider"]
        )
    except libraries.onnx_errors() as error:
        first_line = str(error).partition("\n")[0]
        raise EngineError("weights_corrupt", f"{file} can't be loaded: {first_line}") from error

    def find(image: Image.Image) -> NDArray[np.uint8]:
        # An even picture has an even mask, and stretching that divides by zero.
        with np.errstate(invalid="ignore"):
            mask = rembg.remove(image, session=session, only_mask=True)
        return np.asarray(mask.convert("L"))

    return find


def cut_out(image: bytes, find: FindMask, *, remove_background: bool | None = None) -> Cutout:
    """Cut the subject of an image out.

    Args:
        image: PNG, JPEG or WebP of any mode and orientation.
        find: From `load_mask_model`.
        remove_background: Whether to look for the subject; None where the image's transparency
            decides (`choose_approach`).

    Returns:
        The subject and a narrow margin around it.

    Raises:
        EngineError: It can't be read (``invalid_image``), or nothing stands out
            (``no_subject_found``).
    """
    photo = decode_image(image)
    if photo.alpha_kind is AlphaKind.EMPTY:
        raise EngineError("no_subject_found", "The image is transparent throughout.")
    approach = choose_approach(photo.alpha_kind, remove_background)
    rgb = photo.rgb
    if photo.alpha is None:
        alpha = np.full(rgb.size[::-1], 255, np.uint8)
    else:
        alpha = draw_outline(photo.alpha)
    faults: list[str] = []
    if approach.looks:
        if photo.alpha is not None:
            rgb = fill_hidden(rgb, alpha, photo.alpha_kind)
        found = find(rgb)
        # What lies beside a cut-out is background; beside a photo there is nothing.
        is_cutout = photo.alpha_kind is AlphaKind.CUTOUT
        faults = find_mask_faults(found >= _HALF, None if is_cutout else alpha >= _HALF)
        alpha = np.minimum(found, alpha)
    # rembg stretches its mask, so it is rarely 0 on the background.
    alpha = np.where(alpha < HAZE, np.uint8(0), alpha)
    box = _subject_box(alpha)
    cutout = rgb.convert("RGBA")
    cutout.putalpha(Image.fromarray(alpha))
    cutout = cutout.crop(box)
    cutout.thumbnail((_LONGEST_EDGE_PX, _LONGEST_EDGE_PX), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    # It only goes through a pipe: packing it would cost more than it saves.
    cutout.save(file, "PNG", compress_level=0)
    return Cutout(png=file.getvalue(), note=approach.note, faults=tuple(faults))


def _subject_box(alpha: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Give left, top, right, bottom of what is not transparent, and a margin."""
    covered = alpha > 0
    if int(covered.sum()) < _LEAST_AREA_PX:
        raise EngineError("no_subject_found", "No subject stands out from the background.")
    rows, columns = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
    high, wide = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    short, long = sorted((high, wide))
    if short < _LEAST_EDGE_PX or long > _LARGEST_ASPECT * short:
        raise EngineError(
            "no_subject_found", f"What stands out is {wide} x {high} pixels, too thin for a model."
        )
    return (
        max(0, int(columns[0]) - _MARGIN_PX),
        max(0, int(rows[0]) - _MARGIN_PX),
        min(alpha.shape[1], int(columns[-1]) + 1 + _MARGIN_PX),
        min(alpha.shape[0], int(rows[-1]) + 1 + _MARGIN_PX),
    )
