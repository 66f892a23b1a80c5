"""Paint a mesh with hy3dgen's texture pipeline: light removed, six views painted and baked."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from gpu_agent.engines.hunyuan3d import libraries, stand_in
from gpu_agent.engines.hunyuan3d.model import UvMesh
from gpu_agent.engines.hunyuan3d.presets import TEXTURE_REPOSITORY

Report = Callable[[float], None]

_LIGHT, _VIEWS = "delight_model", "multiview_model"
_SHARES = {_LIGHT: (0.0, 0.35), _VIEWS: (0.4, 0.9)}
"""Where each diffusion begins and ends in the whole, by the steps and sizes of both."""

_CPU_RASTERIZER = "gpu_agent.engines.hunyuan3d.rasterizer"


class Painter:
    """One texture pipeline; not re-entrant.

    Args:
        pipeline: hy3dgen's ``Hunyuan3DPaintPipeline``.
        device: Where its diffusions run.

    Attributes:
        models: The two diffusions, by hy3dgen's names.
    """

    def __init__(self, pipeline: Any, device: str) -> None:
        self._pipeline = pipeline
        self._device = device
        self.models = dict(pipeline.models)

    def paint(self, mesh: UvMesh, cutout: Image.Image, seed: int, on_share: Report) -> bytes:
        """Paint a mesh; see `GpuModel.paint`."""
        import trimesh

        bare = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        bare.visual = trimesh.visual.TextureVisuals(uv=mesh.uv)
        self._pipeline.models.update(
            {
                name: _Reported(
                    model, share=_SHARES[name], on_share=on_share, seed=self._seed(name, seed)
                )
                for name, model in self.models.items()
            }
        )
        on_share(0.0)
        painted = self._pipeline(bare, cutout)
        on_share(1.0)
        file = io.BytesIO()
        painted.visual.material.image.convert("RGB").save(file, "PNG", compress_level=1)
        return file.getvalue()

    def _seed(self, name: str, seed: int) -> Any:
        """Give the generator of a diffusion, or None for the one of hy3dgen's own choice.

        Light is removed the same way each time; hy3dgen would paint the views so too, and then a
        second try with another seed would be the first one again.
        """
        if name == _LIGHT:
            return None
        return libraries.torch().Generator(self._device).manual_seed(seed)


def load_painter(weights: Path, device: str, *, edge_px: int) -> Painter:
    """Load the texture pipeline.

    Args:
        weights: Folder of the weights.
        device: ``cuda``; or ``cpu``, where stand-ins paint and no weights are needed.
        edge_px: Edge of the texture and of the views baked into it, in pixels.

    Raises:
        EngineError: The weights or the compiled rasteriser can't be loaded.
    """
    if device == "cuda":
        texgen = libraries.texgen("custom_rasterizer")
        repository = str(weights.resolve() / TEXTURE_REPOSITORY)
        with libraries.loading("The texture model"):
            pipeline = texgen.Hunyuan3DPaintPipeline.from_pretrained(repository)
    else:
        texgen = libraries.texgen(_CPU_RASTERIZER)
        kind = texgen.Hunyuan3DPaintPipeline
        # Its own constructor knows no device but CUDA.
        pipeline = kind.__new__(kind)
        pipeline.config = texgen.Hunyuan3DTexGenConfig("", "")
        pipeline.config.device = device
        pipeline.models = {_LIGHT: stand_in.flatten_light, _VIEWS: stand_in.paint_views}
        pipeline.render = texgen.MeshRender(device=device)
    _set_size(pipeline, edge_px)
    # Unwrapping holds the interpreter's lock for seconds; the mesh comes unwrapped.
    texgen.mesh_uv_wrap = _as_it_is
    return Painter(pipeline, device)


def _set_size(pipeline: Any, edge_px: int) -> None:
    pipeline.config.render_size = pipeline.config.texture_size = edge_px
    pipeline.render.set_default_render_resolution(edge_px)
    pipeline.render.set_default_texture_resolution(edge_px)
    pipeline.render.bake_unreliable_kernel_size = int(2 / 512 * edge_px)


def _as_it_is(mesh: Any) -> Any:
    return mesh


class _Reported:
    """A model of the pipeline that tells how far it is, and takes a generator from us."""

    def __init__(
        self, model: Any, *, share: tuple[float, float], on_share: Report, seed: Any
    ) -> None:
        self._model = model
        self._share = share
        self._on_share = on_share
        self._seed = seed

    def __call__(self, *inputs: Any) -> Any:
        begin, end = self._share
        self._on_share(begin)
        diffusion = getattr(self._model, "pipeline", None)
        if diffusion is not None:
            self._model.pipeline = _Stepped(
                diffusion, lambda part: self._on_share(begin + part * (end - begin)), self._seed
            )
        try:
            outputs = self._model(*inputs)
        finally:
            if diffusion is not None:
                self._model.pipeline = diffusion
        self._on_share(end)
        return outputs


class _Stepped:
    """A diffusers pipeline that reports its steps, for callers that pass no callback."""

    def __init__(self, pipeline: Any, on_part: Report, generator: Any) -> None:
        self._pipeline = pipeline
        self._on_part = on_part
        self._generator = generator

    @property
    def device(self) -> Any:
        """Where the pipeline runs; asked for by hy3dgen."""
        return self._pipeline.device

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        steps = options["num_inference_steps"]

        def on_step_end(_pipeline: Any, step: int, _time: Any, tensors: Any) -> Any:
            self._on_part((step + 1) / steps)
            return tensors

        if self._generator is not None:
            options["generator"] = self._generator
        return self._pipeline(*inputs, callback_on_step_end=on_step_end, **options)
