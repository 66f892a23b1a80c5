"""Whether every role is given that an environment needs; what is seen where one is not.

What should be there, with its symptom, is Terraform's output ``role_assignments``: of the
environment, or of ``infra/terraform/roles`` where a privileged person gives the roles.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from infra.deploy.environment import Environment
from infra.deploy.errors import NotReadyError, ToolFailedError

Assignments = Mapping[str, Mapping[str, str]]
"""By name: ``principal_id``, ``role``, ``scope`` and ``symptom``."""


def find_missing(expected: Assignments, given: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what is missing, a sentence each.

    Args:
        expected: What should be there.
        given: What ``az role assignment list`` prints. An assignment holds below its scope, too.
    """
    held = [
        (one["principalId"].lower(), one["roleDefinitionName"], one["scope"].lower().rstrip("/"))
        for one in given
    ]
    return [
        f"{name}: {one['principal_id']} lacks '{one['role']}' on {one['scope']}. {one['symptom']}"
        for name, one in expected.items()
        if not any(
            principal == one["principal_id"].lower()
            and role == one["role"]
            and f"{one['scope'].lower()}/".startswith(f"{scope}/")
            for principal, role, scope in held
        )
    ]


def read_expected(environment: Environment) -> Assignments:
    """Read what should be there.

    Raises:
        NotReadyError: Neither the environment nor a privileged person has given roles.
    """
    expected = environment.read_outputs().raw.get("role_assignments")
    if expected is None:
        folder = environment.folder.parents[1] / "roles"
        command = ["terraform", f"-chdir={folder}", "output", "-json", "role_assignments"]
        try:
            expected = json.loads(environment.tools.read(command))
        except ToolFailedError as error:
            raise NotReadyError(
                f"{environment.name} leaves its roles to a privileged person, and "
                "infra/terraform/roles was not applied: see infra/terraform/README.md"
            ) from error
    assignments: Assignments = expected
    return assignments


def read_given(environment: Environment, expected: Assignments) -> list[dict[str, Any]]:
    """Ask Azure what is there on every scope, and above."""
    options = ["--include-inherited", "--fill-principal-name", "false", "--output", "json"]
    listing = ["az", "role", "assignment", "list", *options, "--scope"]
    scopes = sorted({one["scope"] for one in expected.values()})
    return [
        assignment
        for scope in scopes
        for assignment in json.loads(environment.tools.read([*listing, scope]))
    ]
