"""What each target does, in order. Each may be run again after it failed."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra.deploy.environment import Environment, Outputs
from infra.deploy.errors import NotReadyError, RefusedError, ToolFailedError, ToolMissingError
from infra.deploy.guards import (
    Resource,
    find_made_by_azure,
    judge_apply,
    judge_destroy,
    judge_images,
    list_changes,
    list_deleted_groups,
)
from infra.deploy.package import choose_files, write_package
from infra.deploy.roles import find_missing, read_expected, read_given
from infra.deploy.vault import TOKENS, Vault

Say = Callable[[str], None]

PLAN = "coldforge.tfplan"
# What runs must go on under the new code: these replay recorded runs of all workflows.
COMPATIBILITY_TESTS = (
    "tests/unit/orchestrator/workflows/test_stored_histories.py",
    "tests/architecture/test_routes.py",
)
HEALTH_LIMIT_S = 300.0
HEALTH_POLL_S = 5.0
BACKEND = "backend.hcl"


def plan(
    environment: Environment, say: Say, *, replaces: str = "", destroys: bool = False
) -> Mapping[str, Any]:
    """Make a plan, keep it beside the environment's files, and return it.

    Args:
        environment: Of which.
        say: Told what would change.
        replaces: Address of a resource to be made anew, or empty.
        destroys: Whether everything is to go.

    Raises:
        RefusedError: A VM is to be made from an image that is not published.
        DeployError: Terraform can't.
    """
    backend = [f"-backend-config={BACKEND}"] if (environment.folder / BACKEND).exists() else []
    environment.terraform("init", "-input=false", *backend)
    if not destroys:
        _check_images(environment, say)
    mode = ["-destroy"] if destroys else []
    if replaces:
        mode.append(f"-replace={replaces}")
    environment.terraform("plan", "-input=false", f"-out={PLAN}", *mode)
    made: dict[str, Any] = environment.read_terraform("show", "-json", PLAN)
    if not destroys:
        for actions, _, address in list_changes(made):
            say(f"{actions:16} {address}")
        say(f"To carry it out: make apply ENV={environment.name}")
    return made


def apply(environment: Environment, say: Say) -> None:
    """Apply the plan that was made, unless it would end jobs; then make what secrets are missing.

    A VM that boots before there is a token waits for one, billed.

    Raises:
        RefusedError: It would, or there is no plan.
    """
    if not (environment.folder / PLAN).exists():
        raise RefusedError(f"There is no plan: make plan ENV={environment.name}")
    made = environment.read_terraform("show", "-json", PLAN)
    reasons = judge_apply(made, _read_pool_if_any(environment))
    if reasons:
        raise RefusedError(" ".join(reasons))
    environment.terraform("apply", "-input=false", PLAN)
    (environment.folder / PLAN).unlink()
    _make_tokens(environment, environment.read_outputs(), say)
    say(f"Applied. Next: make deploy ENV={environment.name}")


def image(environment: Environment, say: Say, *, version: str, root: Path) -> None:
    """Build an image of the GPU VM and publish it under a version.

    Raises:
        RefusedError: The version is none.
        ToolFailedError: A pin of the image is open, or Packer failed; it has said which or why.
    """
    parts = version.split(".")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise RefusedError("Name the image's version: VERSION=1.4.0")
    outputs = environment.read_outputs()
    environment.check_login(outputs)
    target = outputs.raw["image"]
    regions = sorted(outputs.raw["roles_input"]["scopes"]["vm_resource_groups"])
    variables = {
        "subscription_id": outputs.subscription_id,
        "location": outputs.raw.get("home_region") or regions[0],
        "gallery_resource_group": target["resource_group_name"],
        "gallery_name": target["gallery_name"],
        "gallery_image": target["name"],
        "image_version": version,
        "replication_regions": json.dumps(regions),
    }
    folder = str(root / "vm_image")
    # The build asks this, too, but on a VM that is billed by then.
    environment.tools.show(["python", f"{folder}/scripts/open_pins.py", f"{folder}/versions.json"])
    environment.tools.show(["packer", "init", folder])
    environment.tools.show(
        [
            *("packer", "build"),
            *(f"-var={name}={value}" for name, value in variables.items()),
            folder,
        ]
    )
    say(
        f'Published. Next: image_version = "{version}" in the variables of {environment.name}, '
        f"then make plan ENV={environment.name}. A VM that is there already is not replaced by "
        "that: docs/operations.md, Roll a VM."
    )
    # Packer's way into the gallery; the version does not need it, and it costs what a disk does.
    way = (
        f"/subscriptions/{outputs.subscription_id}/resourceGroups/{target['resource_group_name']}"
        f"/providers/Microsoft.Compute/images/{target['name']}-{version}"
    )
    environment.tools.show(["az", "image", "delete", "--ids", way])


def deploy(
    environment: Environment,
    say: Say,
    *,
    root: Path,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Bring secrets and code to the app, and wait until it answers.

    Runs in flight go on: their state is in storage, recorded runs of every workflow are replayed
    with the new code first, and the agents' lease (15 min) outlasts the restart.

    Raises:
        DeployError: A step can't be done; what is done already may be done again.
    """
    outputs = environment.read_outputs()
    environment.check_login(outputs)
    say("Replay recorded runs with this code")
    environment.tools.show(["python", "-m", "pytest", "-q", *COMPATIBILITY_TESTS])
    _make_tokens(environment, outputs, say)
    package = root / "out" / f"app-{environment.name}.zip"
    tracked = environment.tools.read(["git", "ls-files", "-z"]).split("\0")
    files = choose_files(
        [path for path in tracked if path], (root / ".funcignore").read_text("utf-8")
    )
    write_package(root, files, package)
    say(f"Send {len(files)} files, {package.stat().st_size // 1024} KiB, to be built there")
    environment.tools.show(
        [
            *("az", "functionapp", "deployment", "source", "config-zip"),
            *("--resource-group", outputs.resource_group, "--name", outputs.app_name),
            *("--src", str(package), "--build-remote", "true"),
        ]
    )
    wait_until_well(environment, outputs, sleep=sleep, clock=clock)
    say(f"{outputs.app_url} answers. Next: make doctor ENV={environment.name}")


def _check_images(environment: Environment, say: Say) -> None:
    """Say in a sentence what Terraform would say in azurerm's words.

    Raises:
        RefusedError: An image is not published.
    """
    wanted = environment.read_wanted_images()
    if not wanted:
        return
    try:
        published = environment.list_images(environment.read_outputs())
    except NotReadyError:
        published = frozenset()
    except (ToolFailedError, ToolMissingError) as error:
        reason = str(error).splitlines()[0]
        say(f"Not checked whether image {', '.join(sorted(wanted))} is published: {reason}")
        return
    if reasons := judge_images(wanted, published, name=environment.name):
        raise RefusedError(" ".join(reasons))


def verify_roles(environment: Environment, say: Say) -> None:
    """See that every role is given.

    Raises:
        NotReadyError: One is not; the message says what is seen without it.
    """
    expected = read_expected(environment)
    missing = find_missing(expected, read_given(environment, expected))
    if missing:
        raise NotReadyError("\n".join([f"{len(missing)} roles are missing.", *missing]))
    say(f"All {len(expected)} roles are given.")


def destroy(environment: Environment, say: Say, *, confirmed: str) -> None:
    """Remove an environment, if nothing else goes with it.

    Raises:
        RefusedError: It would take what Terraform did not create, end jobs, or was not confirmed.
    """
    made = plan(environment, say, destroys=True)
    reasons = judge_destroy(
        made,
        _list_inventory(environment, made),
        _read_pool_if_any(environment),
        name=environment.name,
        confirmed=confirmed,
    )
    if reasons:
        raise RefusedError("\n".join(reasons))
    try:
        environment.terraform("apply", "-input=false", PLAN)
    except ToolFailedError:
        # Terraform deletes no group that holds anything, and Application Insights has left
        # something behind. While it was there, it would have made that again.
        left = find_made_by_azure(
            _list_inventory(environment, plan(environment, say, destroys=True))
        )
        if not left:
            raise
        say(f"Delete what Azure had made by itself, and go on: {', '.join(left)}")
        environment.tools.show(["az", "resource", "delete", "--ids", *left])
        environment.terraform("apply", "-input=false", PLAN)
    (environment.folder / PLAN).unlink(missing_ok=True)
    say(f"{environment.name} is gone. The vault's name stays taken for 90 days (soft delete).")


def _list_inventory(environment: Environment, made: Mapping[str, Any]) -> list[Resource]:
    """List what is in the groups that a plan deletes."""
    return [
        resource
        for group in list_deleted_groups(made)
        for resource in environment.list_resources(group)
    ]


def _make_tokens(environment: Environment, outputs: Outputs, say: Say) -> None:
    vault = Vault(environment.tools, outputs.vault_id)
    drawn = vault.list_drawn()
    for name in TOKENS:
        if name not in drawn:
            say(f"Make the secret {name}")
            vault.write_token(name)


def _read_pool_if_any(environment: Environment) -> Mapping[str, Any] | None:
    try:
        outputs = environment.read_outputs()
    except NotReadyError:
        return None
    return environment.read_pool(outputs)


def wait_until_well(
    environment: Environment,
    outputs: Outputs,
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    """Wait until the app answers, which it has just been made to start.

    Raises:
        NotReadyError: It does not.
    """
    deadline = clock() + HEALTH_LIMIT_S
    while environment.read_pool(outputs) is None:
        if clock() >= deadline:
            raise NotReadyError(
                f"{outputs.app_url} does not answer {HEALTH_LIMIT_S:g} s after its start: "
                f"make doctor ENV={environment.name}"
            )
        sleep(HEALTH_POLL_S)
