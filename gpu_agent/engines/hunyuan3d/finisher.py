"""A finisher: ``python -m gpu_agent.engines.hunyuan3d.finisher FD``.

Cleans, unwraps and exports one mesh at a time. Its libraries hold the interpreter's lock for
seconds, crash in threads and can't be stopped, so they run here and not in the agent: whoever
wants one to stop ends the process.
"""

import errno
import io
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpu_agent.engines import EngineError
from gpu_agent.engines.glb import Model, drawable, write_glb
from gpu_agent.engines.hunyuan3d.model import RawMesh, UvMesh
from gpu_agent.engines.hunyuan3d.output_checks import check_model
from gpu_agent.engines.hunyuan3d.process import open_pipe
from gpu_agent.engines.hunyuan3d.rows import unique_rows
from gpu_agent.engines.hunyuan3d.tasks import Done, Export, Exported, Task, Tidy
from gpu_agent.engines.hunyuan3d.tidying import tidy, unwrap
from gpu_agent.engines.picture import draw_picture
from gpu_agent.host.logs import set_up_logs

# By its own name: run as a program, the module is called `__main__`.
logger = logging.getLogger("gpu_agent.engines.hunyuan3d.finisher")

_PLAIN = (0.45, 0.45, 0.45)
"""Linear RGB of a model without a texture."""


class Stopwatch:
    """Times the steps of a task."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, step: str, call: Callable[[], Any]) -> Any:
        """Call, and remember how long it took."""
        began = time.monotonic()
        try:
            return call()
        finally:
            self.seconds[step] = time.monotonic() - began


def do_tidy(work: Tidy, watch: Stopwatch) -> RawMesh | UvMesh:
    """Clean a mesh and unwrap it if it is to be painted."""
    cleaned: RawMesh = watch.time("tidy", lambda: tidy(work.mesh, face_count=work.face_count))
    if not work.unwraps:
        return cleaned
    unwrapped: UvMesh = watch.time("unwrap", lambda: unwrap(cleaned))
    return unwrapped


def do_export(work: Export, watch: Stopwatch) -> Exported:
    """Write the GLB, open it again, and draw it.

    Raises:
        EngineError: The finished file was rejected.
    """
    model = _model(work)
    glb: bytes = watch.time("glb", lambda: write_glb(model))
    figures = watch.time(
        "accept",
        lambda: check_model(
            glb,
            face_count=len(work.mesh.faces),
            vertices=work.mesh.vertices,
            is_textured=work.texture_png is not None,
        ),
    )
    picture = b""
    if work.picture_px:
        mesh = drawable(_centred(model))
        picture = watch.time("picture", lambda: draw_picture(mesh, width=work.picture_px))
    return Exported(glb=glb, picture_png=picture, figures=figures)


def _model(work: Export) -> Model:
    vertices, faces = work.mesh.vertices, work.mesh.faces.astype(np.intp)
    uv = texture = None
    if isinstance(work.mesh, UvMesh) and work.texture_png is not None:
        with Image.open(io.BytesIO(work.texture_png)) as image:
            picture = image.convert("RGB")
        picture.thumbnail((work.texture_size, work.texture_size), Image.Resampling.LANCZOS)
        texture = np.asarray(picture)
        # Ours counts from the top left, the atlas from the bottom left.
        uv = np.stack([work.mesh.uv[:, 0], 1 - work.mesh.uv[:, 1]], axis=1)
    return Model(
        vertices=vertices,
        faces=faces,
        normals=vertex_normals(vertices, work.mesh.faces),
        uv=uv,
        texture=texture,
        colour=_PLAIN,
    )


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Give (V, 3) unit normals; vertices that lie at one place share theirs, so no seam shows."""
    places, index = unique_rows(vertices)
    corner = vertices[faces].astype(np.float64)
    across = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    at = index[faces].ravel()
    total = np.stack(
        [np.bincount(at, np.repeat(axis, 3), minlength=len(places)) for axis in across.T], axis=1
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit = np.where(length > 0, total / np.where(length > 0, length, 1), [0.0, 1.0, 0.0])
    return unit[index].astype(np.float32)


def _centred(model: Model) -> Model:
    """Give the model as the picture wants it: in the middle, its longest extent 1."""
    low, high = model.vertices.min(axis=0), model.vertices.max(axis=0)
    scale = 1 / max(float((high - low).max()), 1e-9)
    return Model(
        vertices=((model.vertices - (low + high) / 2) * scale).astype(np.float32),
        faces=model.faces,
        normals=model.normals,
        uv=model.uv,
        texture=model.texture,
        colour=model.colour,
    )


def do_task(task: Task) -> Done:
    """Do a task in its own folder for temporary files."""
    watch = Stopwatch()
    folder = Path(task.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        work = task.work
        answer = do_tidy(work, watch) if isinstance(work, Tidy) else do_export(work, watch)
        return Done(answer=answer, steps=watch.seconds)
    except EngineError as error:
        return Done(error=(error.code, str(error), error.retryable), steps=watch.seconds)
    except Exception as error:
        logger.exception("the finisher failed")
        is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        detail = f"The mesh could not be finished ({type(error).__name__}: {error})."
        return Done(
            error=("disk_full" if is_full else "engine_failed", detail, True), steps=watch.seconds
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Do tasks until the pipe ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    set_up_logs()
    connection = open_pipe(sys.argv)
    while True:
        try:
            connection.send(do_task(connection.recv()))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return 0


if __name__ == "__main__":
    sys.exit(main())
