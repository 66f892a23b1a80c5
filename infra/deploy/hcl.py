"""Terraform's files as values, as far as an environment's own need it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2
from lark.exceptions import LarkError

from infra.deploy.errors import DeployError

# What an environment says until its first image is there: no VMs, and then these.
_NOT_YET = re.compile(r"\$\{.*?\?\s*\{\s*\}\s*:\s*(?P<then>\{.*\})\s*\}", re.DOTALL)


def load(path: Path) -> dict[str, Any]:
    """Read a file.

    Raises:
        DeployError: There is none, or it is not HCL.
    """
    try:
        body: dict[str, Any] = hcl2.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise DeployError(f"there is no {path}") from error
    except LarkError as error:
        raise DeployError(f"{path} can't be read: {error}") from error
    return body


def find_call(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments by which an environment calls the module ``coldforge``.

    Raises:
        DeployError: It does not.
    """
    for module in body.get("module") or ():
        for call in module.values():
            if isinstance(call, dict) and str(call.get("source", "")).endswith('coldforge"'):
                return call
    raise DeployError("the environment does not call the module coldforge")


def plain(value: Any) -> Any:
    """Return a literal as Python has it; what is none is handed on as text."""
    if isinstance(value, dict):
        return {bare(name): plain(one) for name, one in value.items() if name != "__is_block__"}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, str):
        return value
    if match := _NOT_YET.fullmatch(value):
        return plain(hcl2.loads(f"then = {match['then']}\n")["then"])
    return bare(value)


def bare(text: str) -> str:
    """Return a text without its quotes."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
