"""Which image versions an environment's VMs are to be made from, read from its files."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.deploy.errors import DeployError
from infra.deploy.hcl import bare, find_call, load, plain

_VARIABLE = re.compile(r"\$\{var\.(\w+)\}")


def read_wanted_images(folder: Path, environ: Mapping[str, str]) -> frozenset[str]:
    """Read the versions; what no file tells plainly, such as a function's result, is left out.

    Args:
        folder: Of the environment.
        environ: Terraform's own way to set a variable: ``TF_VAR_image_version``.
    """
    try:
        regions = plain(find_call(load(folder / "main.tf")).get("regions"))
        variables = _read_variables(folder, environ)
        vms = [vm for region in regions.values() for vm in (region.get("vms") or {}).values()]
        named = [str(vm.get("image_version", "")) for vm in vms]
    except (DeployError, AttributeError, ValueError):
        return frozenset()
    found = {_resolve(version, variables) for version in named}
    return frozenset(version for version in found if re.fullmatch(r"[0-9.]+", version))


def _resolve(version: str, variables: Mapping[str, Any]) -> str:
    match = _VARIABLE.fullmatch(version)
    return str(variables.get(match[1], "")) if match else version


def _read_variables(folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the variables in Terraform's order: a later source wins."""
    found: dict[str, Any] = {
        bare(name): plain(body.get("default"))
        for variable in load(folder / "variables.tf").get("variable") or ()
        for name, body in variable.items()
    }
    found |= {
        name.removeprefix("TF_VAR_"): value
        for name, value in environ.items()
        if name.startswith("TF_VAR_")
    }
    own = [folder / "terraform.tfvars", folder / "terraform.tfvars.json"]
    automatic = [*folder.glob("*.auto.tfvars"), *folder.glob("*.auto.tfvars.json")]
    for path in (*own, *sorted(automatic)):
        if path.exists():
            told = json.loads(path.read_text("utf-8")) if path.suffix == ".json" else load(path)
            found |= {name: plain(value) for name, value in told.items()}
    return found
