"""The agent as it is, with an engine that returns at once: ``python -m …instant_agent``.

What is left of a job's time is then what the control plane, the store and the agent itself take.
"""

import os
from collections.abc import Mapping
from typing import Any

from gpu_agent.engines import Artifact, EngineInfo, Generated, SetUpReport, Watch
from gpu_agent.host.logs import set_up_logs
from gpu_agent.service import Service
from gpu_agent.settings import Settings
from gpu_agent.wire import Stage


class InstantEngine:
    """Makes the same few bytes of every image."""

    info = EngineInfo(
        name="instant", version="1", description="Makes nothing, for measurements only."
    )

    def set_up(self, report: SetUpReport) -> None:
        """Be ready."""

    def close(self) -> None:
        """End nothing."""

    def generate(self, image_png: bytes, options: Mapping[str, Any], watch: Watch) -> Generated:
        """Give two small artifacts."""
        watch.stage(Stage.SHAPE)
        return Generated(
            artifacts=(
                Artifact(name="model.glb", content_type="model/gltf-binary", data=b"glTF"),
                Artifact(name="preview.png", content_type="image/png", data=b"png"),
            ),
            mesh={},
            seed=0,
            notice="A measurement; no model.",
        )


def main() -> None:
    """Run the agent until a signal ends it."""
    set_up_logs()
    Service(Settings.from_environ(os.environ), InstantEngine()).run()


if __name__ == "__main__":
    main()
