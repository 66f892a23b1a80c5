"""A fake of `gpu_agent.engines.Engine`, whose work a test holds up and lets go."""

import threading
from collections.abc import Mapping
from typing import Any

from gpu_agent.engines import Artifact, EngineInfo, Generated, SetUpReport, Watch
from gpu_agent.wire import Stage

WAIT_S = 20.0
"""How long anything here waits for the test before it gives up, in seconds."""


class FakeEngine:
    """Makes ``model.glb`` of a few bytes.

    Attributes:
        entered: Released once for every job that has reached the shape stage.
        may_finish: A job goes on from the shape stage when this is set.
        is_deaf: Whether it ignores being stopped, as a call into native code does.
        error: Raised instead of a model when not None.
        most_at_once: Most jobs that were inside at one time.
    """

    info = EngineInfo(name="fake", version="1", description="Makes nothing.")

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.may_finish = threading.Event()
        self.may_finish.set()
        self.may_set_up = threading.Event()
        self.may_set_up.set()
        self.is_deaf = False
        self.error: BaseException | None = None
        self.set_up_error: Exception | None = None
        self.seen: list[bytes] = []
        self.steps: list[tuple[int, str]] = []
        self.most_at_once = 0
        self._inside = 0

    def set_up(self, report: SetUpReport) -> None:
        for percent, step in self.steps:
            report(percent, "A step.", step)
        report(50, "Half way.")
        assert self.may_set_up.wait(WAIT_S)
        if self.set_up_error is not None:
            raise self.set_up_error

    def close(self) -> None:
        self.may_finish.set()

    def generate(self, image_png: bytes, options: Mapping[str, Any], watch: Watch) -> Generated:
        self._inside += 1
        self.most_at_once = max(self.most_at_once, self._inside)
        try:
            return self._generate(image_png, options, watch)
        finally:
            self._inside -= 1

    def _generate(self, image_png: bytes, options: Mapping[str, Any], watch: Watch) -> Generated:
        self.seen.append(image_png)
        watch.stage(Stage.BACKGROUND)
        watch.stage(Stage.SHAPE, 50)
        self.entered.release()
        for _ in range(int(WAIT_S / 0.01)):
            if self.may_finish.wait(0.01):
                break
            if not self.is_deaf:
                watch.check()
        if self.error is not None:
            raise self.error
        for stage in (Stage.TEXTURE, Stage.FINISH, Stage.EXPORT):
            watch.stage(stage)
        return Generated(
            artifacts=(Artifact(name="model.glb", content_type="model/gltf-binary", data=b"glb"),),
            mesh={"faces": 1, "options": dict(options)},
            seed=7,
            notice="None.",
        )
