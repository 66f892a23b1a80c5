"""`GpuModel` on the real hy3dgen pipelines, on CUDA or, for tests and the demo, on a CPU."""

import io
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpu_agent.engines.hunyuan3d import libraries
from gpu_agent.engines.hunyuan3d.model import (
    OutOfGpuMemoryError,
    RawMesh,
    ShapeRequest,
    ShapeSettings,
    UvMesh,
)
from gpu_agent.engines.hunyuan3d.painting import Painter, load_painter
from gpu_agent.engines.hunyuan3d.presets import PRESETS, Preset, parts_of
from gpu_agent.engines.hunyuan3d.progress import PointCounter
from gpu_agent.engines.hunyuan3d.rows import compact
from gpu_agent.engines.hunyuan3d.weights import Weights
from gpu_agent.errors import EngineError

_HALF_BOX = 1.01
"""Half the edge of the decoded box; must be a float, or hy3dgen fails."""

_TEXTURE_EDGE_PX = {"cuda": 2048, "cpu": 256}
"""A CPU would need minutes for the larger one."""


class TorchModel:
    """Keeps one pipeline for each bundle of weights; see `GpuModel` for its contract.

    Args:
        weights: Folder of the weights, with their manifest.
        presets: Names of those that are offered, at least one.
        device: ``cuda``, in half precision, or ``cpu``, in single.
        texture: Whether textures are painted; on a CPU by stand-ins (`stand_in`).
        texture_edge_px: Edge of what `paint` gives, in pixels; None for 2048, or 256 on a CPU.
        threads: Torch's CPU threads, or None for its own choice.

    Attributes:
        pipelines: hy3dgen's, by preset, once loaded.
    """

    def __init__(
        self,
        weights: Path,
        *,
        presets: Sequence[str] = tuple(PRESETS),
        device: str = "cuda",
        texture: bool = True,
        texture_edge_px: int | None = None,
        threads: int | None = None,
    ) -> None:
        self._weights = weights
        self._presets = tuple(presets)
        self._device = device
        self._texture = texture
        self._texture_edge_px = texture_edge_px or _TEXTURE_EDGE_PX[device]
        self._painter: Painter | None = None
        self._threads = threads
        self.pipelines: dict[str, Any] = {}

    def load(self, report: Callable[[int, str], None]) -> None:
        """Load every configured preset's weights and warm up; see `GpuModel`."""
        weights = Weights.open(self._weights)
        weights.check_sizes_and_headers(
            parts_of(self._presets, texture=self._needs_texture_weights)
        )
        report(5, "The weights have the right sizes; importing torch.")
        torch = libraries.torch()
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        self._load_shapes(report)
        if self._texture:
            report(75, "Loading the texture model.")
            self._painter = load_painter(
                self._weights, self._device, edge_px=self._texture_edge_px
            )
        report(90, "Making a first model, to warm up.")
        self._warm_up()
        report(100, "The models are ready.")

    def diffuse(
        self,
        requests: Sequence[ShapeRequest],
        settings: ShapeSettings,
        on_step: Callable[[int, int], None],
    ) -> Any:
        """Run the diffusion of one batch; see `GpuModel`."""
        pipeline = self.pipelines[settings.preset]
        torch = libraries.torch()

        def on_callback(step: int, _timestep: Any, _outputs: Any) -> None:
            on_step(step + 1, settings.steps)

        with self._memory_errors_named():
            return pipeline(
                image=[_picture(request.cutout_png) for request in requests],
                # A generator for each, so that a picture's noise does not depend on its company.
                generator=[
                    torch.Generator(self._device).manual_seed(request.seed) for request in requests
                ],
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance_scale,
                output_type="latent",
                enable_pbar=False,
                callback=on_callback,
                callback_steps=1,
            )

    def decode(
        self,
        latents: Any,
        index: int,
        settings: ShapeSettings,
        on_points: Callable[[float], None],
    ) -> RawMesh:
        """Decode one shape of a batch; see `GpuModel`."""
        pipeline = self.pipelines[settings.preset]
        torch = libraries.torch()
        _set_decoder(pipeline.vae, flash_vdm=settings.flash_vdm)
        counter = PointCounter(
            settings.octree_resolution, flash_vdm=settings.flash_vdm, on_share=on_points
        )
        hook = pipeline.vae.geo_decoder.register_forward_hook(
            lambda _module, _inputs, output: counter.add(output.shape[0] * output.shape[1])
        )
        try:
            with self._memory_errors_named(), torch.inference_mode():
                # Any type but "latent" and "trimesh" gives plain arrays, untouched by trimesh.
                mesh = pipeline._export(
                    latents[index : index + 1],
                    output_type="arrays",
                    box_v=_HALF_BOX,
                    mc_level=0.0,
                    num_chunks=settings.num_chunks,
                    octree_resolution=settings.octree_resolution,
                    mc_algo=None,
                    enable_pbar=False,
                )[0]
        finally:
            hook.remove()
        if mesh is None:
            # The extractor has printed the cause to stderr and swallowed it.
            raise _no_surface()
        counter.finish()
        # Marching cubes winds them the other way round.
        return _without_undecoded(mesh.mesh_v, mesh.mesh_f[:, ::-1])

    def paint(
        self, mesh: UvMesh, cutout_png: bytes, seed: int, on_share: Callable[[float], None]
    ) -> bytes:
        """Paint the texture of a mesh; see `GpuModel`."""
        if self._painter is None:
            raise EngineError("no_texture_model", "No texture model is configured.")
        with self._memory_errors_named():
            return self._painter.paint(mesh, _picture(cutout_png), seed, on_share)

    @property
    def _needs_texture_weights(self) -> bool:
        return self._texture and self._device == "cuda"

    def _load_shapes(self, report: Callable[[int, str], None]) -> None:
        names = self._presets
        for number, name in enumerate(names):
            report(10 + 65 * number // len(names), f"Loading the weights of {name}.")
            with libraries.loading(f"The weights of {name}"):
                self.pipelines[name] = self._load_shape(PRESETS[name])

    def _load_shape(self, preset: Preset) -> Any:
        shapegen = libraries.shapegen()
        torch = libraries.torch()
        # An absolute path wins over hy3dgen's own folder and is never looked for on the network.
        repository = str(self._weights.resolve() / preset.repository)
        common = {
            "device": self._device,
            "dtype": torch.float16 if self._device == "cuda" else torch.float32,
        }
        pipeline = shapegen.Hunyuan3DDiTFlowMatchingPipeline.from_pretrained(
            repository, subfolder=preset.bundle, **common
        )
        if preset.vae is not None:
            # Not by enable_flashvdm: it finds the VAE by the folder's name, and makes it fp16.
            pipeline.vae = shapegen.pipelines.ShapeVAE.from_pretrained(
                repository, subfolder=preset.vae, **common
            )
        for part in (pipeline.model, pipeline.vae, pipeline.conditioner):
            part.eval().requires_grad_(requires_grad=False)
        return pipeline

    def _warm_up(self) -> None:
        picture = Image.new("RGBA", (64, 64))
        picture.paste((160, 120, 80, 255), (16, 16, 48, 48))
        file = io.BytesIO()
        picture.save(file, "PNG")
        for name in self._presets:
            settings = ShapeSettings(
                preset=name,
                steps=1,
                guidance_scale=PRESETS[name].guidance_scale,
                octree_resolution=16,
                num_chunks=PRESETS[name].num_chunks,
                flash_vdm=False,
            )
            request = ShapeRequest(cutout_png=file.getvalue(), seed=0)
            latents = self.diffuse([request], settings, lambda _done, _all: None)
            try:
                self.decode(latents, 0, settings, lambda _share: None)
            except EngineError as error:
                # One step of real weights need not give a surface; it has warmed them anyway.
                if error.code != "no_surface":
                    raise

    @contextmanager
    def _memory_errors_named(self) -> Iterator[None]:
        torch = libraries.torch()
        try:
            yield
        except torch.OutOfMemoryError as error:
            # Without what the failed step has left, a smaller one would not fit either; and while
            # the error lives, so do the frames that it came through, with all their tensors.
            traceback.clear_frames(error.__traceback__)
            if self._device == "cuda":
                torch.cuda.empty_cache()
            raise OutOfGpuMemoryError(str(error).partition("\n")[0]) from error


def _without_undecoded(vertices: Any, faces: Any) -> RawMesh:
    """Leave out what lies where FlashVDM has decoded nothing.

    It fills the volume off the surface with NaN, and marching cubes makes tens of thousands of
    faces of that, none of which touches the surface.
    """
    whole = faces[np.isfinite(vertices).all(axis=-1)[faces].all(axis=-1)]
    if len(whole) == 0:
        raise _no_surface()
    return compact(vertices, whole)


def _no_surface() -> EngineError:
    return EngineError("no_surface", "The model's volume has no surface.", retryable=True)


def _set_decoder(vae: Any, *, flash_vdm: bool) -> None:
    """Choose how volumes are decoded, forgetting what a cancelled decoding has left."""
    # Its default extractor, dmc, needs a CUDA package of its own.
    vae.enable_flashvdm_decoder(enabled=flash_vdm, mc_algo="mc")
    if not flash_vdm:
        attention = vae.geo_decoder.cross_attn_decoder.attn.attention
        processors = libraries.shapegen_attention_processors()
        attention.attn_processor = processors.CrossAttentionProcessor()


def _picture(cutout_png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(cutout_png)) as opened:
        return opened.convert("RGBA")
