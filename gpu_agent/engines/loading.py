"""From an engine's name to the engine; only the one that is asked for is imported."""

from importlib import import_module
from typing import cast

from gpu_agent.engines import Engine, Equipment
from gpu_agent.errors import SettingsError

_ENGINES = {
    "preview": ("gpu_agent.engines.preview", "build_engine"),
    "hunyuan3d": ("gpu_agent.engines.hunyuan3d.build", "build_engine"),
}


def load_engine(name: str, equipment: Equipment) -> Engine:
    """Make the engine of a name; it is not set up yet.

    Raises:
        SettingsError: There is no such engine, or what it needs is not installed.
    """
    if name not in _ENGINES:
        known = ", ".join(sorted(_ENGINES))
        raise SettingsError(f"GPU_AGENT_ENGINE names no engine: {name!r}. Allowed: {known}.")
    module, kind = _ENGINES[name]
    try:
        return cast(Engine, getattr(import_module(module), kind)(equipment))
    except ImportError as error:
        raise SettingsError(f"The engine {name!r} can't be loaded: {error}") from error
