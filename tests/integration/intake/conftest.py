import pytest

from orchestrator.domain.image_rules import ImageLimits
from orchestrator.intake.decoders import DecoderLimits, Decoders


@pytest.fixture(name="make_decoders")
def _make_decoders():
    """Make pools of decoding processes; they end with the test."""
    made = []

    def make(image_limits: ImageLimits | None = None, *, start=None, **limits) -> Decoders:
        more = {} if start is None else {"start": start}
        # The process of the tests may hold anything by now.
        decoders = Decoders(
            image_limits, DecoderLimits(**{"memory_bytes": 10**12, **limits}), **more
        )
        made.append(decoders)
        return decoders

    yield make
    for decoders in made:
        decoders.close()
