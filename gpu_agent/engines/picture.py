"""A studio picture of a model: turned a little, on a light floor, with a soft shadow."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from gpu_agent.engines.rendering import Camera, TexturedMesh, render, srgb_from_linear

Floats = NDArray[np.float32]

WIDTH, HEIGHT = 1024, 768
"""Of the whole picture, in pixels; a smaller one is laid out the same."""

_TOP = np.array([0.78, 0.79, 0.81], np.float32)
_BOTTOM = np.array([0.93, 0.93, 0.92], np.float32)


def _go_on() -> None:
    pass


def draw_picture(
    mesh: TexturedMesh, check: Callable[[], None] = _go_on, *, width: int = WIDTH
) -> bytes:
    """Draw a model as PNG, 4 to 3: a large view from the side, small ones of front and back.

    Args:
        mesh: In metres, centred, largest extent 1.
        check: Called between the views; what it raises passes through.
        width: Of the picture in pixels; the time it takes grows with its square.
    """
    scale = width / WIDTH
    picture = _backdrop(width, round(HEIGHT * scale))

    def place(camera: Camera, *frame: int) -> None:
        left, top, wide, high = (round(edge * scale) for edge in frame)
        _place(picture, mesh, camera, (left, top, wide, high))

    place(Camera.orbit(-32, 14, distance=2.9, fov_deg=26), 0, 0, 740, HEIGHT)
    check()
    place(Camera.orbit(0, 4, distance=3.6, fov_deg=24), 720, 40, 280, 340)
    check()
    place(Camera.orbit(150, 10, distance=3.6, fov_deg=24), 720, 388, 280, 340)
    image = Image.fromarray((srgb_from_linear(picture.clip(0, 1)) * 255 + 0.5).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4)
    return file.getvalue()


def _backdrop(width: int, height: int) -> Floats:
    """Give (H, W, 3) linear light, a little brighter towards the floor."""
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    srgb = _TOP * (1 - share) + _BOTTOM * share
    picture = np.broadcast_to(srgb**2.2, (height, width, 3)).astype(np.float32)
    return np.ascontiguousarray(picture)


def _place(
    picture: Floats, mesh: TexturedMesh, camera: Camera, frame: tuple[int, int, int, int]
) -> None:
    """Draw one view, and the shadow under it, into a part of the picture."""
    left, top, wide, high = frame
    part = picture[top : top + high, left : left + wide]
    part *= 1 - _shadow(mesh, camera, wide, high)[..., None]
    view = render(mesh, camera, width=wide, height=high)
    part *= 1 - view[..., 3:]
    part += view[..., :3]


def _shadow(mesh: TexturedMesh, camera: Camera, width: int, height: int) -> Floats:
    """Darken the floor where the model stands over it, softer the higher it is above.

    Returns:
        (H, W) 0 to 1, the share of light that is missing.
    """
    points = mesh.vertices
    floor = float(points[:, 1].min())
    cells, reach = 96, 1.6
    blurred = np.zeros((cells, cells), np.float32)
    for above, sigma, strength in ((0.08, 2.0, 0.32), (0.45, 6.0, 0.3)):
        low = points[points[:, 1] <= floor + above]
        at = ((low[:, [0, 2]] / reach + 0.5) * cells).astype(np.intp).clip(0, cells - 1)
        print_ = np.zeros((cells, cells), np.float32)
        print_[at[:, 1], at[:, 0]] = 1
        closed = ndimage.binary_closing(print_ > 0, iterations=2).astype(np.float32)
        blurred = np.maximum(blurred, ndimage.gaussian_filter(closed, sigma) * strength)
    origin, direction = camera.rays(width=width, height=height)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (floor - origin[..., 1]) / direction[..., 1]
    hit = (along > 0) & np.isfinite(along)
    place = origin + np.where(hit, along, 0)[..., None] * direction
    at = (place[..., [2, 0]] / reach + 0.5) * cells - 0.5
    dark = ndimage.map_coordinates(blurred, np.moveaxis(at, -1, 0), order=1, cval=0.0)
    shade: Floats = np.where(hit, dark, 0).astype(np.float32)
    return shade
