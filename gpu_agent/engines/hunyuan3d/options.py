"""What a caller may ask of the engine, checked before any GPU time is spent.

hy3dgen checks nothing: it swallows options that it does not know, takes a guidance of NaN, and
makes a blob of pure noise in 0 steps. The control plane has checked the same limits before
(`orchestrator.domain.options`); a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gpu_agent.engines.hunyuan3d.model import ShapeSettings
from gpu_agent.engines.hunyuan3d.presets import DEFAULT_PRESET, PRESETS
from gpu_agent.engines.mask_faults import QUALITIES
from gpu_agent.errors import EngineError

FLASH_VDM_OCTREES = (63, 126, 252, 380)
"""The only ones at which FlashVDM gives the mesh its true size: its grid has (4k - 1) * 2^n cells,
and the surface is divided by the octree that was asked for."""

WHOLE = {
    "steps": (1, 100),
    "octree_resolution": (16, 512),
    "face_count": (2_000, 200_000),
    "texture_size": (256, 2048),
    "seed": (0, 2**31 - 1),
}
TRUTH = ("texture", "remove_background", "flash_vdm")
GUIDANCE = (0.0, 20.0)
KNOWN = frozenset({"preset", "guidance_scale", "min_quality", *WHOLE, *TRUTH})


@dataclass(frozen=True, slots=True, kw_only=True)
class HunyuanOptions:
    """How a model is wanted. What is not said is the preset's.

    Attributes:
        preset: One of `PRESETS`, which names the weights.
        steps: Diffusion steps, 1 to 100.
        guidance_scale: How closely the picture is followed, 0 to 20.
        octree_resolution: Cells along an edge of the volume, 16 to 512; with FlashVDM one of
            `FLASH_VDM_OCTREES`.
        flash_vdm: Whether FlashVDM decodes the volume.
        face_count: Most faces of the model, 2,000 to 200,000.
        texture: Whether it is painted; without, it has one colour.
        texture_size: Edge of the texture in pixels, 256 to 2048.
        remove_background: Whether to look for the subject, or None where the picture's
            transparency decides.
        min_quality: One of `QUALITIES`: with ``reduced``, a GPU that is short of memory makes a
            coarser volume, and a doubtful subject is taken.
        seed: Of the noise, 0 to 2**31 - 1, or None for any. It gives the same model again to
            within the noise of the arithmetic, on the same weights, device and libraries.
    """

    preset: str
    steps: int
    guidance_scale: float
    octree_resolution: int
    flash_vdm: bool
    face_count: int
    texture: bool
    texture_size: int
    remove_background: bool | None
    min_quality: str
    seed: int | None

    @classmethod
    def from_mapping(
        cls,
        options: Mapping[str, Any],
        *,
        presets: tuple[str, ...] = tuple(PRESETS),
        can_paint: bool = True,
    ) -> Self:
        """Read options; absent ones and None take the preset's value.

        Args:
            options: As the caller gave them.
            presets: Those whose weights are loaded, at least one.
            can_paint: Whether a texture model is loaded.

        Raises:
            EngineError: One is unknown, of the wrong type, out of range, or does not go with the
                others or with what is loaded (``invalid_options``).
        """
        given = {name: value for name, value in options.items() if value is not None}
        if unknown := sorted(set(given) - KNOWN):
            raise _invalid(
                f"unknown option {', '.join(map(repr, unknown))}: known are "
                f"{', '.join(sorted(KNOWN))}"
            )
        default = DEFAULT_PRESET if DEFAULT_PRESET in presets else presets[0]
        name = _choice(given, "preset", presets, default)
        preset = PRESETS[name]
        asked = cls(
            preset=name,
            steps=_whole(given, "steps", preset.steps),
            guidance_scale=_guidance(given, preset.guidance_scale),
            octree_resolution=_whole(given, "octree_resolution", preset.octree_resolution),
            flash_vdm=_truth(given, "flash_vdm", preset.flash_vdm),
            face_count=_whole(given, "face_count", preset.face_count),
            texture=_truth(given, "texture", preset.texture and can_paint),
            texture_size=_whole(given, "texture_size", preset.texture_size),
            remove_background=(
                _truth(given, "remove_background", True) if "remove_background" in given else None
            ),
            min_quality=_choice(given, "min_quality", QUALITIES, "reduced"),
            seed=_whole(given, "seed", 0) if "seed" in given else None,
        )
        if asked.flash_vdm and asked.octree_resolution not in FLASH_VDM_OCTREES:
            raise _invalid(
                "with flash_vdm, octree_resolution must be one of "
                f"{', '.join(map(str, FLASH_VDM_OCTREES))}; set flash_vdm to false for another"
            )
        if asked.texture and not can_paint:
            raise _invalid("this machine has no texture model: set texture to false")
        return asked

    @property
    def shape_settings(self) -> ShapeSettings:
        """How the shape is made."""
        return ShapeSettings(
            preset=self.preset,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            octree_resolution=self.octree_resolution,
            num_chunks=PRESETS[self.preset].num_chunks,
            flash_vdm=self.flash_vdm,
        )


def _whole(given: Mapping[str, Any], name: str, default: int) -> int:
    low, high = WHOLE[name]
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _invalid(f"{name} must be a whole number from {low} to {high}")
    return value


def _truth(given: Mapping[str, Any], name: str, default: bool) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise _invalid(f"{name} must be true or false")
    return value


def _choice(given: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str) -> str:
    value = given.get(name, default)
    if not isinstance(value, str) or value not in choices:
        raise _invalid(f"{name} must be one of {', '.join(choices)}")
    return value


def _guidance(given: Mapping[str, Any], default: float) -> float:
    low, high = GUIDANCE
    value = given.get("guidance_scale", default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise _invalid(f"guidance_scale must be a number from {low:g} to {high:g}")
    return float(value)


def _invalid(sentence: str) -> EngineError:
    return EngineError("invalid_options", f"{sentence[0].upper()}{sentence[1:]}.")
