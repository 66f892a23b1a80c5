"""What paints on a CPU in place of the two diffusion models of the texture pipeline.

They need CUDA: hy3dgen sends their inputs to a device of that name. All the rest of the texture
pipeline runs with these as it does with those. They look at the photo and at the outline of each
view, and know nothing of what a thing looks like from behind.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

NOTICE = (
    "The texture is the photo drawn over the model by a stand-in: the texture model needs a GPU."
)

_EDGE_PX = 512
_FRONT, _BACK = 0, 2
_SIDES = (1, 3)


def flatten_light(photo: Image.Image) -> Image.Image:
    """Stand for the model that takes light and shadow away: gives the subject, filling the frame.

    Around it is its own mean colour, so that no background shows where outlines differ.
    """
    photo = photo.convert("RGBA")
    photo = photo.crop(photo.getchannel("A").getbbox() or (0, 0, *photo.size))
    pixels = np.asarray(photo, np.float32).reshape(-1, 4)
    cover = pixels[:, 3:] / 255
    red, green, blue = (pixels[:, :3] * cover).sum(axis=0) / max(float(cover.sum()), 1.0)
    ground = Image.new("RGBA", photo.size, (int(red), int(green), int(blue), 255))
    return Image.alpha_composite(ground, photo).convert("RGB").resize((_EDGE_PX, _EDGE_PX))


def paint_views(
    subject: Image.Image, maps: Sequence[Image.Image], _cameras: Sequence[int]
) -> list[Image.Image]:
    """Stand for the model that paints what each camera sees.

    Front and back show the photo, the sides the mean colour of each of its rows, top and bottom
    its mean colour.

    Args:
        subject: From `flatten_light`.
        maps: Normals of each view, then positions of each view; white is background.

    Returns:
        A picture for each view.
    """
    views = []
    for number, outline in enumerate(maps[len(maps) // 2 :]):
        box = _box(outline)
        size = (box[2] - box[0], box[3] - box[1])
        if number == _FRONT:
            drawn = subject
        elif number == _BACK:
            drawn = subject.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        else:
            drawn = subject.resize(
                (1, subject.height if number in _SIDES else 1), Image.Resampling.BOX
            )
        view = Image.new(
            "RGB", outline.size, drawn.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        )
        view.paste(drawn.resize(size, Image.Resampling.BILINEAR), box)
        views.append(view)
    return views


def _box(picture: Image.Image) -> tuple[int, int, int, int]:
    """Give the box of what is not white, or of everything if all is."""
    darkest = np.asarray(picture.convert("RGB")).min(axis=-1)
    box = Image.fromarray(darkest < 250).getbbox()
    return box or (0, 0, *picture.size)
