"""Named sets of options, and which weights each of them needs."""

from collections.abc import Iterable
from dataclasses import dataclass

BACKGROUND_MODEL = "isnet-general-use"
"""rembg's model. Named always: rembg's default asks for a paid licence."""

BACKGROUND_FILE = f"rembg/models/{BACKGROUND_MODEL}/{BACKGROUND_MODEL}.onnx"
TEXTURE_REPOSITORY = "tencent/Hunyuan3D-2"
TEXTURE_PARTS = tuple(
    f"{TEXTURE_REPOSITORY}/{name}" for name in ("hunyuan3d-delight-v2-0", "hunyuan3d-paint-v2-0")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a caller gets by naming it; `HunyuanOptions` says what may be asked for instead.

    Attributes:
        repository: Folder of the weights, named like the repository they were published in.
        bundle: Its subfolder with DiT, VAE and DINOv2 in one file.
        vae: Its subfolder with the VAE that was distilled for FlashVDM, or None for the bundle's.
        steps: Diffusion steps.
        guidance_scale: How closely the picture is followed.
        octree_resolution: Cells along an edge of the volume.
        flash_vdm: Decode only near the surface: seven times fewer points, a little coarser.
        num_chunks: Points decoded at once.
        face_count: Most faces of the model.
        texture: Whether it is painted.
        texture_size: Edge of the texture in pixels.
    """

    repository: str
    bundle: str
    vae: str | None
    steps: int
    guidance_scale: float
    octree_resolution: int
    flash_vdm: bool
    num_chunks: int = 20_000
    face_count: int
    texture: bool
    texture_size: int

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders that hold its weights."""
        names = (self.bundle,) if self.vae is None else (self.bundle, self.vae)
        return tuple(f"{self.repository}/{name}" for name in names)


PRESETS = {
    # A look at the form, as soon as it can be had.
    "draft": Preset(
        repository="tencent/Hunyuan3D-2mini",
        bundle="hunyuan3d-dit-v2-mini-turbo",
        vae="hunyuan3d-vae-v2-mini-turbo",
        steps=5,
        guidance_scale=5.0,
        octree_resolution=252,
        flash_vdm=True,
        face_count=20_000,
        texture=False,
        texture_size=1024,
    ),
    "standard": Preset(
        repository="tencent/Hunyuan3D-2",
        bundle="hunyuan3d-dit-v2-0-turbo",
        vae="hunyuan3d-vae-v2-0-turbo",
        steps=5,
        guidance_scale=5.0,
        octree_resolution=380,
        flash_vdm=True,
        face_count=40_000,
        texture=True,
        texture_size=1024,
    ),
    # The undistilled model, every point of the volume decoded.
    "high": Preset(
        repository="tencent/Hunyuan3D-2",
        bundle="hunyuan3d-dit-v2-0",
        vae=None,
        steps=50,
        guidance_scale=5.0,
        octree_resolution=380,
        flash_vdm=False,
        face_count=80_000,
        texture=True,
        texture_size=2048,
    ),
}
DEFAULT_PRESET = "standard"


def parts_of(presets: Iterable[str], *, texture: bool) -> tuple[str, ...]:
    """List the weights that some presets need, the background model's among them."""
    parts = {part: None for name in presets for part in PRESETS[name].parts}
    return (*parts, *(TEXTURE_PARTS if texture else ()), BACKGROUND_FILE)
