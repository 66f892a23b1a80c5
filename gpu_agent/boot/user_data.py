"""The VM's user data, as Terraform writes it: JSON of two objects.

``settings`` maps names of variables to their values, ``secrets`` maps names of variables to the
secrets in Key Vault that hold their values::

    {"settings": {"GPU_AGENT_VM_NAME": "gpu-1"},
     "secrets": {"GPU_AGENT_TOKEN": "https://v.vault.azure.net/secrets/gpu-agent-token"}}
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpu_agent.boot.errors import UserDataError

_NAME = re.compile(r"GPU_(AGENT|ENGINE|SWITCH)_[A-Z0-9_]+")
_SECRET_NAMES = frozenset({"GPU_AGENT_TOKEN", "GPU_AGENT_TOKEN_PREVIOUS"})
_SECRET_URL = re.compile(r"https://[^\s/?#]+/secrets/[0-9A-Za-z-]+(/[0-9a-f]+)?")
# In double quotes systemd takes a backslash before these, and before nothing else, for an escape.
_QUOTED = re.compile(r'(["\\$`])')


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """What this VM is told.

    Attributes:
        settings: Variables and their values.
        secrets: Variables and the URLs of their values in Key Vault.
    """

    settings: Mapping[str, str]
    secrets: Mapping[str, str]


def read_user_data(encoded: str) -> UserData:
    """Read what the instance metadata service gives.

    Args:
        encoded: JSON in base64.

    Raises:
        UserDataError: Names what is wrong; never a value.
    """
    try:
        data = json.loads(base64.b64decode(encoded, validate=True))
    except ValueError as error:
        raise UserDataError("the user data is no JSON in base64") from error
    settings, secrets = _read_texts(data, "settings"), _read_texts(data, "secrets")
    if wrong := sorted(name for name in settings if not _NAME.fullmatch(name)):
        raise UserDataError(f"these are no settings of agent, engine or switch: {wrong}")
    # Every program on the VM can read the user data.
    if shown := sorted(_SECRET_NAMES & settings.keys()):
        raise UserDataError(f"these belong in Key Vault, not in the user data: {shown}")
    if unclear := sorted(name for name, value in settings.items() if not value.isprintable()):
        raise UserDataError(f"these hold a line break or another control character: {unclear}")
    if unknown := sorted(secrets.keys() - _SECRET_NAMES):
        raise UserDataError(f"these are no secrets of the agent: {unknown}")
    if no_url := sorted(name for name, url in secrets.items() if not _SECRET_URL.fullmatch(url)):
        raise UserDataError(f"these are no addresses of secrets in Key Vault: {no_url}")
    if "GPU_AGENT_TOKEN" not in secrets:
        raise UserDataError("the user data does not say where GPU_AGENT_TOKEN is")
    return UserData(settings=settings, secrets=secrets)


def render_environment(values: Mapping[str, str]) -> str:
    r"""Write variables as a file for ``EnvironmentFile=``, one ``NAME="value"`` a line.

    Args:
        values: Each without line breaks.
    """
    lines = []
    for name, value in values.items():
        escaped = _QUOTED.sub(r"\\\1", value)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


def _read_texts(data: Any, key: str) -> dict[str, str]:
    found = data.get(key) if isinstance(data, dict) else None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise UserDataError(f"the user data holds no object of texts under {key!r}")
    return found
