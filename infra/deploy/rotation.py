"""``make rotate``: the app goes from one of the agents' two tokens to the other."""

import re
import time
from collections.abc import Callable

from infra.deploy.environment import Environment, Outputs
from infra.deploy.errors import NotReadyError, RefusedError
from infra.deploy.guards import find_busy
from infra.deploy.steps import Say, wait_until_well
from infra.deploy.vault import TOKENS, Vault

TOKEN_SETTING = "GPU_AGENT_TOKEN"  # noqa: S105 - its name
UPTIME_SLACK_S = 3600.0
"""For a boot, and for a deallocation that Azure is late with."""


def rotate(
    environment: Environment,
    say: Say,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> None:
    """Have the app show the agents' other token, and draw the one that it showed anew.

    No agent that is up refuses the app: it learned both tokens when its VM booted, and the other
    one has not changed since. Nobody has to read a secret for that.

    Raises:
        RefusedError: An agent that is up may have learned an older one.
        NotReadyError: A token is missing, or the app does not come up with the other one, and
            then nothing was drawn anew.
    """
    outputs = environment.read_outputs()
    environment.check_login(outputs)
    vault = Vault(environment.tools, outputs.vault_id)
    reference = environment.read_setting(outputs, TOKEN_SETTING)
    shown = _find_shown(reference)
    (other,) = set(TOKENS) - {shown}
    drawn = vault.list_drawn()
    if other not in drawn:
        raise NotReadyError(f"There is no {other}: make deploy ENV={environment.name} makes it.")
    if now() - drawn[other] < outputs.longest_uptime_s + UPTIME_SLACK_S:
        _refuse_if_busy(environment, outputs, other)
    say(f"The app now shows {other}, which agents accept already")
    environment.write_setting(
        outputs, TOKEN_SETTING, reference.replace(f"/secrets/{shown}", f"/secrets/{other}")
    )
    wait_until_well(environment, outputs, sleep=sleep, clock=clock)
    vault.write_token(shown)
    say(
        f"{shown} was drawn anew. A VM that is up accepts the old one until it sleeps, "
        f"{outputs.longest_uptime_s / 3600:g} h at most; deallocate it if the token was stolen."
    )


def _find_shown(reference: str) -> str:
    match = re.fullmatch(r"@Microsoft\.KeyVault\(SecretUri=\S+/secrets/([\w-]+)/?\)", reference)
    if match is None or match[1] not in TOKENS:
        # It may hold a secret itself, so it is not shown.
        raise RefusedError(
            f"The app's setting {TOKEN_SETTING} refers to none of {', '.join(TOKENS)}: "
            "docs/operations.md, Rotate keys, says how to set it."
        )
    return match[1]


def _refuse_if_busy(environment: Environment, outputs: Outputs, other: str) -> None:
    pool = environment.read_pool(outputs)
    if pool is None:
        raise RefusedError("The app does not say whether a VM is up; coldforge doctor says why.")
    if busy := find_busy(pool):
        raise RefusedError(
            f"{other} was drawn less than {outputs.longest_uptime_s / 3600:g} h ago, and an agent "
            f"that is up may have learned an older one: {busy}. Wait until all sleep."
        )
