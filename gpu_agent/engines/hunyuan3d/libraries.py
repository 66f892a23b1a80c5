"""Import hy3dgen, torch and rembg the one safe way: offline, quiet, without their surprises.

Nothing else in the agent imports them, so that what is set here holds before their imports.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from gpu_agent.errors import EngineError

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DIFFUSERS_OFFLINE")

_keep: list[Any] = []
"""A torch library takes its operators with it when it is collected."""


def go_offline() -> None:
    """Forbid the libraries to fetch anything, and hy3dgen to count time with CUDA events."""
    for name in _OFFLINE:
        os.environ[name] = "1"
    # hy3dgen's debug timer crashes without CUDA.
    os.environ.pop("HY3DGEN_DEBUG", None)


@cache
def torch() -> Any:
    """Give torch, with torchvision importable beside it."""
    go_offline()
    module: Any = _import("torch")
    if module.version.cuda is None:
        _declare_vision_operators(module)
    return module


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Say in one line what is wrong with weights that can't be loaded in the block.

    Args:
        what: They are, to begin a sentence with.

    Raises:
        EngineError: They don't fit hy3dgen (``weights_corrupt``) or what is left of the GPU's
            memory (``out_of_gpu_memory``).
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        # torch lists every key that does not fit; the first line says what this is.
        first_line = str(error).partition("\n")[0]
        is_full = isinstance(error, torch().OutOfMemoryError)
        raise EngineError(
            "out_of_gpu_memory" if is_full else "weights_corrupt",
            f"{what} can't be loaded{', with what else is on the GPU' if is_full else ''}: "
            f"{first_line}",
        ) from error


@cache
def shapegen() -> Any:
    """Give `hy3dgen.shapegen`, its log lines at their proper level."""
    torch()
    module = _import("hy3dgen.shapegen")
    _hush("hy3dgen.shapgen")  # sic
    return module


@cache
def shapegen_attention_processors() -> Any:
    """Give the module with the attention of hy3dgen's volume decoder."""
    shapegen()
    return _import("hy3dgen.shapegen.models.autoencoders.attention_processors")


@cache
def texgen(rasterizer: str) -> Any:
    """Give `hy3dgen.texgen.pipelines`.

    Args:
        rasterizer: The module to serve as ``custom_rasterizer``: that one itself on CUDA.
    """
    torch()
    sys.modules["custom_rasterizer"] = _import(rasterizer)
    return _import("hy3dgen.texgen.pipelines")


@cache
def rembg() -> Any:
    """Give rembg."""
    go_offline()
    # Without it, rembg's import ends the whole process.
    onnxruntime()
    # Its import compiles an alpha matting that we don't use: 44 s of CPU where nothing is cached,
    # as on a fresh VM.
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    return _import("rembg")


@cache
def onnxruntime() -> Any:
    """Give ONNX Runtime, which runs rembg's model."""
    # Else its import begins to report to Microsoft, and keeps a `.ses` in the temporary folder.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    return _import("onnxruntime")


@cache
def onnx_errors() -> tuple[type[Exception], ...]:
    """Give what ONNX Runtime raises for a file that is no model."""
    state = _import("onnxruntime.capi.onnxruntime_pybind11_state")
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile")
    return tuple(getattr(state, name) for name in names)


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise EngineError(
            "engine_unavailable", f"The hunyuan3d engine lacks {name}: {error}"
        ) from error


def _declare_vision_operators(module: Any) -> None:
    """Let torchvision's CUDA build be imported beside a CPU torch.

    Its compiled operators don't load there, and it fails on naming them. hy3dgen uses nothing but
    `transforms`, so it is enough that they have a schema.
    """
    library = module.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _keep.append(library)


def _hush(name: str) -> None:
    """Take a logger's own console away: the agent's log lines are JSON."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.setLevel(logging.WARNING)
