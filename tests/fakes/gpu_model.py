"""A fake of `gpu_agent.engines.hunyuan3d.model.GpuModel`: closed blobs, and faults on demand.

It runs in the process that owns the GPU. A test talks to it through a folder: ``plan.json`` holds
the faults, ``events.log`` what was done.
"""

import ctypes
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpu_agent.engines import EngineError
from gpu_agent.engines.hunyuan3d.model import (
    OutOfGpuMemoryError,
    RawMesh,
    ShapeRequest,
    ShapeSettings,
    UvMesh,
)

_FOREVER_S = 600.0


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        step: ``load``, ``diffuse``, ``decode`` or ``paint``.
        kind: ``slow`` (until ``go`` is there), ``hang`` (deaf, alive), ``freeze`` (deaf, and holds
            the interpreter's lock), ``segfault``, ``kill``, ``exit``, ``cuda``, ``oom``,
            ``refuse`` or ``no_surface``.
        seed: Only for the job with this seed.
        times: How often.
        above: ``oom`` only: above so many chunks times octree, or jobs in a batch.
    """

    step: str
    kind: str
    seed: int | None = None
    times: int = 1
    above: int | None = None


class Folder:
    """The folder through which a test and the fake talk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def plan(self, *faults: Fault) -> None:
        """Say what will go wrong from now on."""
        for used in self.path.glob("used-*"):
            used.unlink()
        text = json.dumps([vars(fault) for fault in faults])
        part = self.path / "plan.part"
        part.write_text(text)
        part.replace(self.path / "plan.json")

    def let_go(self) -> None:
        """Let what is slow go on."""
        (self.path / "go").touch()

    def events(self) -> list[str]:
        """Give what was done, in order: ``diffuse 7,8``, ``decode 7 @63/8000``, ``load`` …"""
        path = self.path / "events.log"
        return path.read_text().splitlines() if path.exists() else []

    def note(self, event: str) -> None:
        with (self.path / "events.log").open("a") as file:
            file.write(event + "\n")

    def take(self, step: str, seeds: Sequence[int], size: int) -> str | None:
        """Give the kind of the fault that strikes now."""
        path = self.path / "plan.json"
        if not path.exists():
            return None
        for index, fields in enumerate(json.loads(path.read_text())):
            fault = Fault(**fields)
            is_meant = fault.step == step and (fault.seed is None or fault.seed in seeds)
            if not is_meant or (fault.above is not None and size <= fault.above):
                continue
            for turn in range(fault.times):
                try:
                    (self.path / f"used-{index}-{turn}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                return fault.kind
        return None


@dataclass(frozen=True)
class Latents:
    requests: tuple[ShapeRequest, ...]


class FakeGpuModel:
    """Gives an egg whose size depends on image, seed and steps: closed, and the same each time."""

    def __init__(self, folder: str, *, has_texture: bool = True, pause_s: float = 0.0) -> None:
        self._folder = Folder(Path(folder))
        self._has_texture = has_texture
        self._pause_s = pause_s

    def load(self, report: Callable[[int, str], None]) -> None:
        self._folder.note("load")
        report(50, "Half of the fake is loaded.")
        self._strike("load", (), 0, lambda: None)
        report(100, "The fake is loaded.")

    def diffuse(
        self,
        requests: Sequence[ShapeRequest],
        settings: ShapeSettings,
        on_step: Callable[[int, int], None],
    ) -> Any:
        seeds = [request.seed for request in requests]
        self._folder.note(f"diffuse {','.join(map(str, seeds))}")
        self._strike("diffuse", seeds, len(seeds), lambda: on_step(0, settings.steps))
        for done in range(settings.steps):
            time.sleep(self._pause_s)
            on_step(done + 1, settings.steps)
        return Latents(tuple(requests))

    def decode(
        self,
        latents: Any,
        index: int,
        settings: ShapeSettings,
        on_points: Callable[[float], None],
    ) -> RawMesh:
        request = latents.requests[index]
        octree, chunks = settings.octree_resolution, settings.num_chunks
        self._folder.note(f"decode {request.seed} @{octree}/{chunks}")
        self._strike("decode", [request.seed], octree * chunks, lambda: on_points(0.0))
        for quarter in range(4):
            time.sleep(self._pause_s)
            on_points((quarter + 1) / 4)
        return make_egg(request, settings)

    def paint(
        self, mesh: UvMesh, cutout_png: bytes, seed: int, on_share: Callable[[float], None]
    ) -> bytes:
        if not self._has_texture:
            raise EngineError("no_texture_model", "No texture model is configured.")
        self._folder.note(f"paint {seed}")
        self._strike("paint", [seed], 0, lambda: on_share(0.0))
        on_share(1.0)
        colour = mean_colour(cutout_png)
        y, x = np.mgrid[0:64, 0:64]
        light = 0.6 + 0.4 * ((x // 8 + y // 8) % 2)
        file = io.BytesIO()
        Image.fromarray((light[..., None] * colour).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    def _strike(
        self, step: str, seeds: Sequence[int], size: int, call_back: Callable[[], None]
    ) -> None:
        kind = self._folder.take(step, seeds, size)
        if kind is not None:
            self._folder.note(f"{kind} in {step}")
        match kind:
            case "slow":
                self._wait(call_back)
            case "hang":
                threading.Event().wait(_FOREVER_S)
            case "freeze":
                # Called through PyDLL, sleep keeps the interpreter's lock.
                ctypes.PyDLL(None).sleep(int(_FOREVER_S))
            case "segfault":
                ctypes.string_at(0)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(9)
            case "cuda":
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            case "oom":
                raise OutOfGpuMemoryError
            case "refuse":
                raise EngineError("model_missing", "The weights are not whole.")
            case "no_surface":
                raise EngineError("no_surface", "The volume has no surface.")

    def _wait(self, call_back: Callable[[], None]) -> None:
        end = time.monotonic() + _FOREVER_S
        while not (self._folder.path / "go").exists() and time.monotonic() < end:
            call_back()
            time.sleep(0.01)


def make_egg(request: ShapeRequest, settings: ShapeSettings) -> RawMesh:
    """Build a closed egg, wider the redder the image, longer by seed and steps."""
    rings, spokes = (24, 32) if settings.octree_resolution >= 100 else (12, 16)
    colour = mean_colour(request.cutout_png)
    radii = 0.5 + colour[0] / 1000, 0.6 + request.seed % 97 / 500, 0.5 + settings.steps / 1000
    theta = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    phi = np.linspace(0, 2 * np.pi, spokes, endpoint=False)[None]
    ring = np.stack(
        [np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi, np.sin(theta) * np.cos(phi)], -1
    ).reshape(-1, 3)
    points = np.concatenate([[[0, 1, 0]], ring, [[0, -1, 0]]]) * radii
    last = len(points) - 1
    faces = []
    for j in range(spokes):
        k = (j + 1) % spokes
        faces.append((0, 1 + j, 1 + k))
        faces.append((last, last - spokes + k, last - spokes + j))
        for i in range(rings - 2):
            a, b = 1 + i * spokes + j, 1 + i * spokes + k
            faces.append((a, a + spokes, b))
            faces.append((b, a + spokes, b + spokes))
    return RawMesh(vertices=points.astype(np.float32), faces=np.array(faces, np.int32))


def mean_colour(png: bytes) -> np.ndarray:
    """Give the mean RGB of what is not transparent."""
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGBA"), np.float32).reshape(-1, 4)
    return (pixels[:, :3] * pixels[:, 3:]).sum(0) / max(float(pixels[:, 3].sum()), 1.0)
