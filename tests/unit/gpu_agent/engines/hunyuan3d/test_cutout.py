import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpu_agent.engines.hunyuan3d import cutout as cutouts
from gpu_agent.errors import EngineError
from tests.unit.gpu_agent.engines import alphas


def encode(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def on_nothing(*boxes, size=(100, 80), alpha=255):
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    for box in boxes:
        ImageDraw.Draw(picture).rectangle(box, fill=(200, 40, 40, alpha))
    return encode(picture)


def cut_out(image, find, **options):
    return cutouts.cut_out(image, find, **options).png


def opened(png):
    return Image.open(io.BytesIO(png))


def never(_image):
    pytest.fail("the mask model was asked")


def mask_of(*boxes, haze=0):
    """A mask model that sees boxes, and a haze everywhere else."""

    def find(image):
        mask = Image.new("L", image.size, haze)
        for box in boxes:
            ImageDraw.Draw(mask).rectangle(box, fill=255)
        return np.asarray(mask)

    return find


class TestCutOut:
    def test_keeps_to_the_transparency_of_the_upload(self):
        cutout = opened(cut_out(on_nothing((20, 10, 59, 49)), never))

        assert cutout.mode == "RGBA"
        assert cutout.size == (44, 44)
        assert cutout.getpixel((20, 20)) == (200, 40, 40, 255)
        assert cutout.getpixel((0, 0))[3] == 0

    def test_asks_the_model_about_an_opaque_picture(self):
        photo = encode(Image.new("RGB", (100, 80), (1, 2, 3)))

        cutout = opened(cut_out(photo, mask_of((50, 30, 69, 59))))

        assert cutout.size == (24, 34)
        assert np.asarray(cutout)[..., 3].max() == 255

    def test_takes_the_whole_frame_where_the_background_is_to_stay(self):
        cutout = opened(
            cut_out(encode(Image.new("RGB", (100, 80), (1, 2, 3))), never, remove_background=False)
        )

        assert cutout.size == (100, 80)
        assert np.asarray(cutout)[..., 3].min() == 255

    def test_takes_haze_for_background(self):
        photo = encode(Image.new("RGB", (100, 80)))

        cutout = opened(cut_out(photo, mask_of((50, 30, 69, 59), haze=11)))

        assert cutout.size == (24, 34)

    def test_brings_glass_to_its_own_range(self):
        """On white, as the pipeline shows it, alpha of 90 is a ghost."""
        glass = on_nothing((20, 10, 59, 49), alpha=90)

        assert np.unique(np.asarray(opened(cut_out(glass, never)))[..., 3]).tolist() == [0, 255]

    def test_takes_what_a_glass_of_any_alpha_shows(self):
        cutout = cutouts.cut_out(on_nothing((20, 10, 59, 49), alpha=13), never)

        assert opened(cutout.png).size == (44, 44)
        assert "subject's outline" in cutout.note

    @pytest.mark.parametrize("asked", [None, True])
    def test_looks_for_the_subject_of_a_photo_with_rounded_corners(self, asked):
        photo = np.dstack(
            [np.full((200, 200, 3), (90, 120, 170)), alphas.rounded((200, 200), 0.2)]
        ).astype(np.uint8)
        photo[photo[..., 3] == 0] = 0
        seen = []

        def find(image):
            seen.append(np.asarray(image))
            return mask_of((60, 60, 139, 139))(image)

        cutout = cutouts.cut_out(encode(Image.fromarray(photo)), find, remove_background=asked)

        assert opened(cutout.png).size == (84, 84)
        assert "only corners or edges" in cutout.note
        assert cutout.faults == ()
        # Hidden pixels hold anything; the model is shown how the background goes on.
        assert np.abs(seen[0].astype(int) - (90, 120, 170)).max() <= 1

    def test_keeps_a_photo_with_rounded_corners_where_that_was_asked_for(self):
        photo = np.dstack([np.full((200, 200, 3), 90), alphas.rounded((200, 200), 0.2)])

        cutout = cutouts.cut_out(
            encode(Image.fromarray(photo.astype(np.uint8))), never, remove_background=False
        )

        assert opened(cutout.png).size == (200, 200)
        assert opened(cutout.png).getpixel((0, 0))[3] == 0
        assert "remove_background is false" in cutout.note

    def test_looks_into_a_cut_out_where_that_was_asked_for(self):
        cutout = cutouts.cut_out(
            on_nothing((20, 10, 59, 49)), mask_of((30, 0, 99, 79)), remove_background=True
        )

        assert opened(cutout.png).size == (34, 44)
        assert "remove_background is true" in cutout.note

    @pytest.mark.parametrize(
        ("boxes", "word"),
        [
            ([(50, 30, 56, 37)], "covers only"),
            ([(0, 0, 99, 9), (0, 70, 99, 79), (0, 0, 9, 79), (90, 0, 99, 79)], "all four sides"),
            ([(5, 5, 30, 60), (50, 5, 90, 60)], "2 pieces"),
        ],
    )
    def test_names_what_makes_a_found_subject_doubtful(self, boxes, word):
        photo = encode(Image.new("RGB", (100, 80), (1, 2, 3)))

        assert word in cutouts.cut_out(photo, mask_of(*boxes)).faults[0]

    def test_does_not_doubt_an_outline_that_came_with_the_picture(self):
        two = on_nothing((5, 5, 30, 60), (50, 5, 90, 60))

        assert cutouts.cut_out(two, never).faults == ()

    def test_is_no_larger_than_any_model_looks_at(self):
        photo = encode(Image.new("RGB", (2000, 1000), (9, 9, 9)))

        assert opened(cut_out(photo, never, remove_background=False)).size == (1024, 512)

    @pytest.mark.parametrize(
        "image",
        [
            on_nothing(),
            on_nothing((50, 40, 50, 40)),
            on_nothing((0, 40, 99, 40)),
            on_nothing((0, 40, 99, 42)),
            on_nothing((0, 0, 1500, 5), size=(1600, 40)),
            on_nothing(size=(1, 1)),
            on_nothing((0, 0, 99, 79), alpha=1),
            encode(Image.new("RGBA", (1, 1), (9, 9, 9, 255))),
        ],
        ids=[
            "nothing",
            "a pixel",
            "a line",
            "three px",
            "a thread",
            "1 x 1",
            "haze",
            "1 px photo",
        ],
    )
    def test_says_when_there_is_no_subject(self, image):
        with pytest.raises(EngineError) as caught:
            cut_out(image, mask_of())

        assert (caught.value.code, caught.value.retryable) == ("no_subject_found", False)

    def test_says_when_the_model_sees_none(self):
        with pytest.raises(EngineError, match="stands out") as caught:
            cut_out(encode(Image.new("RGB", (64, 64))), mask_of(haze=3))
        assert caught.value.code == "no_subject_found"
