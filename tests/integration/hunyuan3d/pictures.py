"""Cutouts to make shapes of."""

import io

from PIL import Image, ImageDraw


def cutout(colour=(200, 40, 40), box=(10, 20, 84, 70)):
    """Draw an ellipse on nothing."""
    picture = Image.new("RGBA", (96, 96))
    ImageDraw.Draw(picture).ellipse(box, fill=(*colour, 255))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


RED = cutout()
BLUE = cutout((30, 40, 220), (30, 8, 62, 90))
