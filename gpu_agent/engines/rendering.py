"""A small z-buffer renderer in numpy: pictures and silhouettes of triangle meshes, no GPU.

`rasterise` finds which face each pixel sees, `render` shades a textured mesh, `silhouette` gives
the outline. Space is glTF's: right-handed, +Y up, the front of a model faces +Z. Images start at
the top left. Equal input gives an equal picture.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]
Bytes = NDArray[np.uint8]

_NEAR = 1e-3
_FACES_AT_ONCE = 2048
_PIXELS_AT_ONCE = 1 << 16
"""Work is cut into pieces that stay in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Where the viewer stands and how a picture is projected.

    Attributes:
        rotation: (3, 3) rows are the camera's right, up and backward axes in the world.
        target: (3,) the point in the middle of the picture, in metres.
        distance: Metres from the eye to `target`; without effect when `fov_deg` is 0.
        fov_deg: Vertical angle of view in degrees, or 0 for an orthographic picture.
        span: Height of the orthographic picture in metres; without effect otherwise.
        shift: (right, up) moves the model in the picture, in picture heights.
    """

    rotation: Floats
    target: Floats = field(default_factory=lambda: np.zeros(3, np.float32))
    distance: float = 3.0
    fov_deg: float = 30.0
    span: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def orbit(
        cls,
        yaw_deg: float,
        pitch_deg: float,
        *,
        distance: float = 3.0,
        fov_deg: float = 30.0,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> Self:
        """Look at the origin from `yaw_deg` to the right of +Z and `pitch_deg` above it."""
        yaw, pitch = np.radians([yaw_deg, pitch_deg])
        back = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
        rotation = np.stack([right, np.cross(back, right), back]).astype(np.float32)
        return cls(rotation=rotation, distance=distance, fov_deg=fov_deg, shift=shift)

    @classmethod
    def front(cls, *, span: float, target: Floats | None = None) -> Self:
        """Look along -Z without perspective at a window `span` metres high around `target`."""
        middle = np.zeros(3, np.float32) if target is None else target
        return cls(rotation=np.eye(3, dtype=np.float32), target=middle, fov_deg=0.0, span=span)

    @property
    def eye(self) -> Floats:
        """Give the (3,) place of the eye in the world."""
        place: Floats = (self.target + self.rotation[2] * np.float32(self.distance)).astype(
            np.float32
        )
        return place

    def project(self, points: Floats, *, width: int, height: int) -> tuple[Floats, Floats]:
        """Project world points to the picture.

        Args:
            points: (N, 3) in metres.
            width: Pixels.
            height: Pixels.

        Returns:
            (N, 2) pixel coordinates, (0, 0) at the corner of the top left pixel; and (N,)
            distances along the view axis (orthographic: plus a constant), larger is further.
        """
        local = _turned(points - self.target, self.rotation)
        if self.fov_deg:
            depth = np.float32(self.distance) - local[:, 2]
            half = depth * np.float32(np.tan(np.radians(self.fov_deg) / 2))
        else:
            depth = np.float32(self.span + self.distance) - local[:, 2]
            half = np.full(len(points), self.span / 2, np.float32)
        scale = height / 2 / np.where(np.abs(half) < _NEAR * _NEAR, _NEAR, half)
        x = width / 2 + local[:, 0] * scale + self.shift[0] * height
        y = height / 2 - local[:, 1] * scale - self.shift[1] * height
        return np.stack([x, y], axis=1).astype(np.float32), depth.astype(np.float32)

    def rays(self, *, width: int, height: int) -> tuple[Floats, Floats]:
        """Give (H, W, 3) origins and directions (length free) of the rays through the pixels."""
        v, u = np.mgrid[0:height, 0:width].astype(np.float32) + np.float32(0.5)
        x = (u - width / 2) / (height / 2) - 2 * self.shift[0]
        y = (height / 2 - v) / (height / 2) - 2 * self.shift[1]
        if not self.fov_deg:
            plane = np.stack([x, y, np.zeros_like(x)], axis=-1) * np.float32(self.span / 2)
            origin = self.eye + _turned(plane, self.rotation.T)
            return origin.astype(np.float32), np.broadcast_to(-self.rotation[2], origin.shape)
        slope = np.float32(np.tan(np.radians(self.fov_deg) / 2))
        local = np.stack([x * slope, y * slope, np.full_like(x, -1)], axis=-1)
        direction = _turned(local.astype(np.float32), self.rotation.T)
        return np.broadcast_to(self.eye, direction.shape), direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    """What the pixels of a picture see: N pixels that are covered by a face.

    Attributes:
        pixel: (N,) index into the flattened (H, W) picture, each once.
        face: (N,) the nearest face there.
        weights: (N, 3) barycentric weights of that face's corners, perspective-correct.
        depth: (N,) distance along the view axis.
    """

    pixel: Ints
    face: Ints
    weights: Floats
    depth: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class TexturedMesh:
    """Arrays of a mesh with one texture.

    Attributes:
        vertices: (V, 3) float32 in metres.
        faces: (F, 3) indices into `vertices`, counter-clockwise seen from outside.
        normals: (V, 3) float32 of length 1.
        uv: (V, 2) float32, (0, 0) at the top left of the texture, as in glTF.
        texture: (H, W, 3) uint8 sRGB.
    """

    vertices: Floats
    faces: Ints
    normals: Floats
    uv: Floats
    texture: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """A distant light.

    Attributes:
        direction: Towards the light, in the camera's axes (right, up, backward); any length.
        colour: Linear RGB, 1 is full strength.
        wrap: 0 to 1: how far the light reaches round the model's shadow side.
    """

    direction: tuple[float, float, float]
    colour: tuple[float, float, float]
    wrap: float = 0.0


STUDIO = (
    Light(direction=(-0.55, 0.75, 0.8), colour=(0.80, 0.78, 0.74), wrap=0.25),
    Light(direction=(0.9, 0.1, 0.5), colour=(0.16, 0.18, 0.22), wrap=0.5),
    Light(direction=(0.3, 0.5, -0.9), colour=(0.22, 0.22, 0.24), wrap=0.1),
)
"""A soft key from the upper left, a cool fill from the right, a faint rim from behind."""

AMBIENT = 0.36
"""Linear light that reaches every point; with `STUDIO` a surface that faces the viewer keeps
about the brightness of its texture."""


def rasterise(
    vertices: Floats, faces: Ints, camera: Camera, *, width: int, height: int, cull: bool = True
) -> Fragments:
    """Find the nearest face behind each pixel's middle.

    Args:
        vertices: (V, 3) in metres.
        faces: (F, 3) counter-clockwise seen from outside.
        camera: The view. Faces that reach behind the eye are left out.
        width: Pixels, at least 1.
        height: Pixels, at least 1.
        cull: Leave out faces that look away from the viewer.
    """
    points, depth = camera.project(vertices.astype(np.float32), width=width, height=height)
    corner = points[faces]
    area = _cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    # The picture's y points down, so a face that looks at the viewer has a negative area.
    seen = (area < -1e-9 if cull else np.abs(area) > 1e-9) & (depth[faces] > _NEAR).all(axis=1)
    chosen = np.flatnonzero(seen)
    flipped = area[chosen] > 0
    order = np.where(flipped[:, None], [0, 1, 2], [0, 2, 1])
    index = np.take_along_axis(faces[chosen], order, axis=1)
    edges = _edge_weights(points[index])
    # Seen through a lens, 1/depth and weight/depth run evenly over the picture, not depth itself.
    over = 1 / depth[index] if camera.fov_deg else np.ones(index.shape, np.float32)
    even = over if camera.fov_deg else -depth[index]
    plane = (edges * even[:, :, None]).sum(axis=1)

    nearest = np.full(width * height, -np.inf, np.float32)
    winner = np.full(width * height, -1, np.intp)
    for start in range(0, len(index), _FACES_AT_ONCE):
        part = slice(start, start + _FACES_AT_ONCE)
        owner, x, y = _covered_pixels(points[index[part]], width=width, height=height)
        owner += start
        exact = plane[owner, 0] * (x + 0.5) + plane[owner, 1] * (y + 0.5) + plane[owner, 2]
        value = exact.astype(np.float32)
        pixel = y * width + x
        np.maximum.at(nearest, pixel, value)
        front = value == nearest[pixel]
        winner[pixel[front]] = owner[front]

    pixel = np.flatnonzero(winner >= 0)
    owner = winner[pixel]
    across, down = pixel % width + np.float32(0.5), pixel // width + np.float32(0.5)
    scaled = edges * over[:, :, None]
    # Back from the turned order of the corners to the mesh's own: 1 and 2 change places.
    scaled = np.where(flipped[:, None, None], scaled, scaled[:, [0, 2, 1]])
    weights = np.empty((len(pixel), 3), np.float32)
    for corner_number in range(3):
        a, b, c = scaled[:, corner_number].T
        weights[:, corner_number] = a[owner] * across + b[owner] * down + c[owner]
    weights = weights.clip(0)
    weights /= weights.sum(axis=1, keepdims=True)
    found = nearest[pixel]
    return Fragments(
        pixel=pixel,
        face=chosen[owner],
        weights=weights,
        depth=np.float32(1) / found if camera.fov_deg else -found,
    )


def silhouette(
    vertices: Floats, faces: Ints, camera: Camera, *, width: int, height: int
) -> NDArray[np.bool_]:
    """Give the (H, W) mask of the pixels whose middle a face covers, either side."""
    points, depth = camera.project(vertices.astype(np.float32), width=width, height=height)
    corner = points[faces]
    area = _cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    corner = np.where((area < 0)[:, None, None], corner[:, [0, 2, 1]], corner)
    ahead = (depth[faces] > _NEAR).all(axis=1) & (np.abs(area) > 1e-9)
    _, x, y = _covered_pixels(corner[ahead], width=width, height=height)
    mask = np.zeros((height, width), np.bool_)
    mask[y, x] = True
    return mask


def render(
    mesh: TexturedMesh,
    camera: Camera,
    *,
    width: int,
    height: int,
    lights: tuple[Light, ...] = STUDIO,
    ambient: float = AMBIENT,
    supersample: int = 2,
) -> Floats:
    """Draw a mesh on nothing.

    Args:
        mesh: What to draw.
        camera: The view.
        width: Pixels of the picture.
        height: Pixels of the picture.
        lights: With none of them, and `ambient` 1, the texture is shown as it is.
        ambient: Linear light from all sides.
        supersample: Samples per pixel along each axis, at least 1.

    Returns:
        (H, W, 4) float32 linear RGB, multiplied by alpha, then alpha; 0 to 1.
    """
    wide, high = width * supersample, height * supersample
    seen = rasterise(mesh.vertices, mesh.faces, camera, width=wide, height=high)
    picture = np.zeros((wide * high, 4), np.float32)
    for start in range(0, len(seen.pixel), _PIXELS_AT_ONCE):
        part = slice(start, start + _PIXELS_AT_ONCE)
        corner, weights = mesh.faces[seen.face[part]], seen.weights[part]
        uv = _blend(mesh.uv, corner, weights)
        colour = _LINEAR[(sample(mesh.texture, uv) + np.float32(0.5)).astype(np.uint8)]
        if lights:
            normal = _turned(_blend(mesh.normals, corner, weights), camera.rotation)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True) + np.float32(1e-9)
            colour *= _light(normal, lights, ambient)
        else:
            colour *= np.float32(ambient)
        picture[seen.pixel[part], :3] = colour
    picture[seen.pixel, 3] = 1
    fine = picture.reshape(high, wide, 4)
    steps = [(i, j) for i in range(supersample) for j in range(supersample)]
    total = sum((fine[i::supersample, j::supersample] for i, j in steps), np.float32(0))
    return np.asarray(total / np.float32(len(steps)), np.float32)


def sample(texture: Bytes, uv: Floats) -> Floats:
    """Read a texture between its texels.

    Args:
        texture: (H, W, 3) uint8.
        uv: (N, 2), (0, 0) at the top left corner; what lies outside takes the edge's colour.

    Returns:
        (N, 3) float32, 0 to 255.
    """
    high, wide = texture.shape[:2]
    x = (uv[:, 0] * wide - 0.5).clip(0, wide - 1)
    y = (uv[:, 1] * high - 0.5).clip(0, high - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, low = np.minimum(left + 1, wide - 1), np.minimum(top + 1, high - 1)
    fx, fy = (x - left)[:, None].astype(np.float32), (y - top)[:, None].astype(np.float32)
    flat = texture.reshape(-1, 3)
    upper = flat[top * wide + left] * (1 - fx) + flat[top * wide + right] * fx
    lower = flat[low * wide + left] * (1 - fx) + flat[low * wide + right] * fx
    mixed: Floats = upper * (1 - fy) + lower * fy
    return mixed


def linear_from_srgb(value: Floats) -> Floats:
    """Turn sRGB (0 to 1) into linear light."""
    low = value <= np.float32(0.04045)
    linear = np.where(low, value / 12.92, ((value + 0.055) / 1.055) ** np.float32(2.4))
    return linear.astype(np.float32)


def srgb_from_linear(value: Floats) -> Floats:
    """Turn linear light (0 to 1) into sRGB."""
    low = value <= np.float32(0.0031308)
    power = np.maximum(value, 0) ** np.float32(1 / 2.4)
    return np.where(low, value * 12.92, 1.055 * power - 0.055).astype(np.float32)


_LINEAR = linear_from_srgb(np.arange(256, dtype=np.float32) / np.float32(255))


def _light(normal: Floats, lights: tuple[Light, ...], ambient: float) -> Floats:
    # Less ambient light from below: it is what tells the underside of a thing from its top.
    total = np.float32(ambient) * (0.85 + 0.15 * normal[:, 1:2]) * np.ones(3, np.float32)
    for light in lights:
        towards = np.asarray(light.direction, np.float32)
        facing = _turned(normal, (towards / np.linalg.norm(towards))[None])[:, 0]
        strength = ((facing + light.wrap) / (1 + light.wrap)).clip(0)[:, None]
        total = total + strength * np.asarray(light.colour, np.float32)
    return total.astype(np.float32)


def _edge_weights(corner: Floats) -> NDArray[np.float64]:
    """Give (F, 3, 3): weight of corner k at (x, y) is [k, 0] x + [k, 1] y + [k, 2]."""
    p = corner.astype(np.float64)
    q, r = np.roll(p, -1, axis=1), np.roll(p, -2, axis=1)
    rows = np.stack(
        [
            q[..., 1] - r[..., 1],
            r[..., 0] - q[..., 0],
            q[..., 0] * r[..., 1] - q[..., 1] * r[..., 0],
        ],
        axis=-1,
    )
    area = rows.sum(axis=1)[:, 2]
    weights: NDArray[np.float64] = rows / area[:, None, None]
    return weights


def _covered_pixels(corner: Floats, *, width: int, height: int) -> tuple[Ints, Ints, Ints]:
    """List the pixels whose middle lies in each triangle: owner, x and y, row by row.

    Args:
        corner: (F, 3, 2) pixel coordinates, positive area with y down.
        width: Pixels.
        height: Pixels.
    """
    low = np.ceil(corner[:, :, 1].min(axis=1) - 0.5).clip(0, height).astype(np.intp)
    high = np.floor(corner[:, :, 1].max(axis=1) - 0.5).clip(-1, height - 1).astype(np.intp)
    owner, y = _expand(low, high)
    triangle = corner[owner].astype(np.float64)
    left = np.full(len(owner), -np.inf)
    right = np.full(len(owner), np.inf)
    for start in range(3):
        p, q = triangle[:, start], triangle[:, (start + 1) % 3]
        rise = q[:, 1] - p[:, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = p[:, 0] + (y + 0.5 - p[:, 1]) * (q[:, 0] - p[:, 0]) / rise
        # With a positive area and y down, the inside lies left of edges that go down.
        right = np.where(rise > 0, np.minimum(right, crossing), right)
        left = np.where(rise < 0, np.maximum(left, crossing), left)
    first = np.ceil(left - 0.5).clip(0, width).astype(np.intp)
    last = np.floor(right - 0.5).clip(-1, width - 1).astype(np.intp)
    row, x = _expand(first, last)
    return owner[row], x, y[row]


def _expand(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Write out the whole numbers of each range first..last (both included), with its index."""
    count = (last - first + 1).clip(0)
    owner = np.repeat(np.arange(len(first)), count)
    ends = np.cumsum(count)
    offset = np.arange(len(owner)) - np.repeat(ends - count, count)
    return owner, first[owner] + offset


def _turned(values: Floats, matrix: Floats) -> Floats:
    """Multiply (..., 3) rows by an (N, 3) matrix.

    Written out: for matrices this small, BLAS wakes threads that cost more than they do.
    """
    x, y, z = (values[..., axis, None] for axis in range(3))
    turned: Floats = x * matrix[:, 0] + y * matrix[:, 1] + z * matrix[:, 2]
    return turned


def _cross(a: Floats, b: Floats) -> Floats:
    area: Floats = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return area


def _blend(values: Floats, corner: Ints, weights: Floats) -> Floats:
    mixed: Floats = values[corner[:, 0]] * weights[:, :1]
    mixed += values[corner[:, 1]] * weights[:, 1:2]
    mixed += values[corner[:, 2]] * weights[:, 2:]
    return mixed
