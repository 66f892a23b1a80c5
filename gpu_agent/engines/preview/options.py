"""Options of the preview engine, checked once more than the caller did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gpu_agent.engines import EngineError
from gpu_agent.engines.mask_faults import QUALITIES

_MOST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewOptions:
    """How a model is wanted.

    Attributes:
        seed: Named in the result. This engine draws nothing, so every seed gives one model.
        face_count: Most faces of the model, 2,000 to 200,000.
        texture: Whether the photo is put on the model; else it has the subject's mean colour.
        remove_background: Whether to look for the subject; else the whole frame is it, or what
            the photo's own transparency leaves. None where that transparency decides.
        min_quality: One of `QUALITIES`: with ``full``, a doubtful subject is an error.
        texture_size: Longest edge of the texture in pixels, 256 to 2048.
    """

    seed: int = 0
    face_count: int = 36_000
    texture: bool = True
    remove_background: bool | None = None
    min_quality: str = "reduced"
    texture_size: int = 1024

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Self:
        """Read options; absent ones and None take the default, unknown ones are ignored.

        Raises:
            EngineError: A value is of the wrong type or out of range (``invalid_options``).
        """
        return cls(
            seed=_whole(options, "seed", 0, 0, _MOST_SEED),
            face_count=_whole(options, "face_count", 36_000, 2_000, 200_000),
            texture=_truth(options, "texture") is not False,
            remove_background=_truth(options, "remove_background"),
            min_quality=_quality(options),
            texture_size=_whole(options, "texture_size", 1024, 256, 2048),
        )


def _whole(options: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise EngineError(
            "invalid_options", f"{name} must be a whole number from {low} to {high}."
        )
    return value


def _truth(options: Mapping[str, Any], name: str) -> bool | None:
    value = options.get(name)
    if value is not None and not isinstance(value, bool):
        raise EngineError("invalid_options", f"{name} must be true or false.")
    return value


def _quality(options: Mapping[str, Any]) -> str:
    value = options.get("min_quality")
    if value is None:
        return "reduced"
    if not isinstance(value, str) or value not in QUALITIES:
        raise EngineError("invalid_options", f"min_quality must be {' or '.join(QUALITIES)}.")
    return value
