import pytest

from orchestrator.intake.children import start_template
from orchestrator.intake.decoders import DecoderLimits, Decoders
from orchestrator.intake.image_rules import ImageLimits


@pytest.fixture(name="make_decoders")
def _make_decoders():
    """Make pools of decoding processes; they end with the test."""
    made = []

    def make(
        image_limits: ImageLimits | None = None,
        *,
        start=start_template,
        on_fork=lambda child: None,
        **limits,
    ) -> Decoders:
        def start_watched(clock):
            template = start(clock)
            fork = template.fork

            def fork_watched(is_dropped):
                child = fork(is_dropped)
                on_fork(child)
                return child

            template.fork = fork_watched
            return template

        # The process of the tests may hold anything by now.
        decoders = Decoders(
            image_limits,
            DecoderLimits(**{"memory_bytes": 10**12, **limits}),
            start=start_watched,
        )
        made.append(decoders)
        return decoders

    yield make
    for decoders in made:
        decoders.close()
