"""What a caller may ask of an engine. An engine that does not know an option ignores it."""

from collections.abc import Mapping
from typing import Any

from orchestrator.domain.errors import InvalidRequestError
from orchestrator.domain.json_values import shown

WHOLE_OPTIONS = {
    "seed": (0, 2**31 - 1),
    "face_count": (2_000, 200_000),
    "texture_size": (256, 2048),
    "steps": (1, 100),
    "octree_resolution": (16, 512),
}
NUMBER_OPTIONS = {"guidance_scale": (0.0, 20.0)}
TRUTH_OPTIONS = ("texture", "remove_background", "flash_vdm")
CHOICE_OPTIONS = {
    "preset": ("draft", "standard", "high"),
    "min_quality": ("full", "reduced"),
}
KNOWN_OPTIONS = frozenset({*WHOLE_OPTIONS, *NUMBER_OPTIONS, *TRUTH_OPTIONS, *CHOICE_OPTIONS})


def check_options(data: Any) -> dict[str, Any]:
    """Check options and give them back; null means not given, and 3.0 is the whole number 3.

    Raises:
        InvalidRequestError: Naming the option that is wrong and what it may be.
    """
    if not isinstance(data, Mapping):
        raise InvalidRequestError("options must be a JSON object")
    if unknown := set(data) - KNOWN_OPTIONS:
        name = shown(min(unknown))
        raise _invalid(f"unknown option '{name}'. Allowed: {', '.join(sorted(KNOWN_OPTIONS))}")
    given = {name: _to_whole(name, value) for name, value in data.items() if value is not None}
    for name, value in given.items():
        if complaint := _complain(name, value):
            raise _invalid(f"option {name} must be {complaint}")
    return given


def _to_whole(name: str, value: Any) -> Any:
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if name in WHOLE_OPTIONS and is_whole else value


def _complain(name: str, value: Any) -> str | None:
    """Say what an option must be, or give None if it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in TRUTH_OPTIONS:
        return None if isinstance(value, bool) else "true or false"
    if choices := CHOICE_OPTIONS.get(name):
        is_one = isinstance(value, str) and value in choices
        return None if is_one else f"one of {', '.join(choices)}"
    if limits := NUMBER_OPTIONS.get(name):
        is_right = is_number and limits[0] <= value <= limits[1]
        return None if is_right else f"a number from {limits[0]:g} to {limits[1]:g}"
    low, high = WHOLE_OPTIONS[name]
    is_right = is_number and isinstance(value, int) and low <= value <= high
    return None if is_right else f"a whole number from {low} to {high}"


def _invalid(sentence: str) -> InvalidRequestError:
    return InvalidRequestError(sentence, code="invalid_option")
