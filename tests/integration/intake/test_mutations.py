"""A thousand damaged files: each has an answer with a code, and the app is never touched."""

import asyncio
import io
import random

import pytest
from PIL import Image
from skimage import data

from orchestrator.domain.errors import ApiError
from orchestrator.domain.image_source import NormalisedImage
from orchestrator.domain.input_errors import InputError
from orchestrator.intake.children import KillReason

FILES = 1000
AT_ONCE = 8
SOURCES = {
    "PNG": {},
    "PNG interlaced palette": {"bits": 4},
    "JPEG": {"quality": 85},
    "JPEG progressive": {"progressive": True},
    "WEBP": {"quality": 80},
    "WEBP lossless": {"lossless": True},
}


def make_source(name: str, options: dict) -> bytes:
    """Build a whole file with a profile and metadata, so that these are damaged as well."""
    image = Image.fromarray(data.coffee()).resize((160, 120))
    if "palette" in name:
        image = image.quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, name.split()[0], exif=exif, **options)
    return buffer.getvalue()


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Damage a file in one to four of six ways."""
    file = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(file))
        length = min(chance.choice((1, 2, 4, 16, 256)), len(file) - at)
        match chance.randrange(6):
            case 0:
                file[at : at + length] = chance.randbytes(length)
            case 1:
                del file[at : at + length]
            case 2:
                file[at:at] = file[at : at + length] * chance.choice((1, 8, 64))
            case 3:
                file[at : at + length] = bytes([chance.choice((0, 0xFF))]) * length
            case 4:
                file[at:at] = chance.randbytes(length)
            case 5:
                file[at ^ 1 if at ^ 1 < len(file) else at] ^= 1 << chance.randrange(8)
        if len(file) < 2:
            break
    if chance.random() < 0.1:
        del file[chance.randrange(1, len(file) + 1) :]
    return bytes(file)


@pytest.fixture(name="sources", scope="module")
def _sources() -> list[bytes]:
    return [make_source(name, options) for name, options in SOURCES.items()]


class TestNormalise:
    def test_answers_a_thousand_damaged_files(self, make_decoders, sources):
        """As an image or as a refusal with a code; a process that ends over one is replaced."""
        decoders = make_decoders()
        answers: list[object] = []

        async def ask(seeds: list[int]) -> None:
            for seed in seeds:
                file = mutate(sources[seed % len(sources)], random.Random(seed))
                try:
                    answers.append(await decoders.normalise(file))
                except (InputError, ApiError) as refused:
                    answers.append(refused)

        async def run() -> None:
            await asyncio.gather(*(ask(list(range(n, FILES, AT_ONCE))) for n in range(AT_ONCE)))

        asyncio.run(run())

        assert len(answers) == FILES
        images = [answer for answer in answers if isinstance(answer, NormalisedImage)]
        refusals = [answer for answer in answers if isinstance(answer, InputError)]
        assert len(images) + len(refusals) == FILES
        assert {type(refusal).code for refusal in refusals} <= {
            "image_blank",
            "image_empty",
            "image_too_costly",
            "image_too_large",
            "image_too_many_pixels",
            "image_too_small",
            "image_truncated",
            "image_unreadable",
            "image_unsupported_type",
        }
        # Some of each, or nothing was tried.
        assert len(images) > FILES / 20
        assert len(refusals) > FILES / 20
        # Whatever ended a process is an answer, and none of it was for lack of time.
        ended = [r for r in refusals if r.code == "image_too_costly" or "cope with" in r.message]
        assert len(decoders.kills) == len(ended)
        assert KillReason.TIME not in {kill.reason for kill in decoders.kills}
        assert not decoders.is_failing
