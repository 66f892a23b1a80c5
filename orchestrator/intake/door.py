"""The door for what strangers send: it admits a request, and has its body and images read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.domain.image_source import ImageSource, NormalisedImage, Posted
from orchestrator.intake.admission import Admission, Place
from orchestrator.intake.decoders import Decoders
from orchestrator.intake.urls import ImageFetcher


class GuardedIntake:
    """The `Intake` that reads in processes of its own and fetches under the rules for URLs."""

    def __init__(self, *, decoders: Decoders, fetcher: ImageFetcher, admission: Admission) -> None:
        self._decoders = decoders
        self._fetcher = fetcher
        self._admission = admission

    @property
    def is_failing(self) -> bool:
        """Whether no image can be read."""
        return self._decoders.is_failing

    async def probe(self) -> None:
        """If so, try again, and take a few seconds for that at most."""
        await self._decoders.probe()

    @contextmanager
    def admit(self, posted: Posted) -> Iterator["GuardedReading"]:
        """Hold a place for a request while it is read; first of all judge its size."""
        size_bytes = len(posted.body)
        self._decoders.check_size(posted.what, posted.content_type, size_bytes)
        with self.admit_image(size_bytes) as reading:
            yield reading

    @contextmanager
    def admit_image(self, size_bytes: int) -> Iterator["GuardedReading"]:
        """Hold a place for an image that is stored already."""
        with self._admission.admit(size_bytes) as place:
            yield GuardedReading(self._decoders, self._fetcher, place)


class GuardedReading:
    """The `Reading` of one request, which holds a place."""

    def __init__(self, decoders: Decoders, fetcher: ImageFetcher, place: Place) -> None:
        self._decoders = decoders
        self._fetcher = fetcher
        self._place = place

    async def body(self, posted: Posted) -> tuple[list[ImageSource], dict[str, Any]]:
        """Read a body."""
        return await self._decoders.parse(*posted)

    async def image(self, source: ImageSource) -> NormalisedImage:
        """Fetch an image if need be, check and normalise it."""
        data = source.data
        if data is None:
            data = await self._fetcher.fetch(source.url or "", on_bytes=self._place.grow)
        return await self._decoders.normalise(data)
