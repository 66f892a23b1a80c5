"""The GPU VMs: whether they are there, what they were made from, whether their agents answer."""

import re
from collections.abc import Mapping

from coldforge.doctor.facts import AgentAnswer, FoundVm, PoolVm, WantedVm
from coldforge.doctor.findings import Finding

_LOGS = "on the VM: journalctl -u gpu-agent -b (az vm run-command, or Bastion)"


def judge_vm(vm: WantedVm, found: FoundVm | None) -> list[Finding]:
    """Complain about a VM that is gone, of another size, failed, or stopped but billed."""
    if found is None:
        return [
            Finding(
                code="vm.missing",
                subject=vm.name,
                message=f"The VM {vm.name} is not in the resource group {vm.resource_group}.",
                fix="make plan ENV=…, then make apply ENV=… create it again (it comes up "
                "running and is billed until its first idle stop); or remove it from the VMs in "
                "the Terraform variables.",
            )
        ]
    if found.size.lower() != vm.size.lower():
        return [
            Finding(
                code="vm.wrong_size",
                subject=vm.name,
                message=f"The VM {vm.name} is a {found.size}; the app expects a {vm.size} "
                "and counts its price.",
                fix="make plan ENV=…, then make apply ENV=…, so that both say the same.",
            )
        ]
    if found.power == "stopped":
        return [
            Finding(
                code="vm.stopped_billed",
                subject=vm.name,
                message=f"The VM {vm.name} is stopped, not deallocated: it is billed in full.",
                fix=f"az vm deallocate -g {vm.resource_group} -n {vm.name}",
            )
        ]
    if found.failure:
        return [
            Finding(
                code="vm.failed",
                subject=vm.name,
                message=f"The last operation on {vm.name} failed: {found.failure}.",
                fix="docs/operations.md says what to do for each code; then have it tried again: "
                f"POST /api/pool/vms/{vm.name}/reset",
            )
        ]
    return []


def judge_image(vm: WantedVm, found: FoundVm, wanted: str) -> list[Finding]:
    """Complain about a VM that was made from an older image than the deployment wants."""
    if not wanted or _version(found.image_version) >= _version(wanted):
        return []
    return [
        Finding(
            code="image.too_old",
            subject=vm.name,
            message=f"The VM {vm.name} was made from image {found.image_version or 'unknown'}; "
            f"the deployment wants {wanted}. Terraform does not replace it by itself.",
            fix="Roll it while it is deallocated: docs/operations.md, Roll a VM.",
        )
    ]


def judge_agent(vm: WantedVm, answer: AgentAnswer, pool: PoolVm | None) -> list[Finding]:
    """Complain about an agent that does not answer on a running VM, or not to the app's token."""
    match answer:
        case AgentAnswer.TOKEN_REFUSED:
            return [
                Finding(
                    code="agent.token_differs",
                    subject=vm.name,
                    message=f"The agent on {vm.name} refuses the app's token.",
                    fix="Both read it when they start. Restart the app, or deallocate the VM "
                    "when it is idle; docs/operations.md, Rotate keys.",
                )
            ]
        case AgentAnswer.ODD:
            return [
                Finding(
                    code="agent.odd",
                    subject=vm.name,
                    message=f"What answers at {vm.agent_url} is not a Coldforge agent.",
                    fix=f"Compare agent_url in GPU_VMS with the VM's private address; {_LOGS}",
                )
            ]
        case AgentAnswer.CLOSED | AgentAnswer.SILENT if not is_out_of_sight(answer, pool):
            how = "its port is closed" if answer is AgentAnswer.CLOSED else "nothing comes back"
            return [
                Finding(
                    code="agent.unreachable",
                    subject=vm.name,
                    message=f"The agent of the running VM {vm.name} can't be reached at "
                    f"{vm.agent_url}: {how}.",
                    fix="See whether its unit runs and where it listens (GPU_AGENT_HOST, "
                    f"GPU_AGENT_PORT), {_LOGS}; then the rule of the network security group that "
                    "admits the function subnet.",
                )
            ]
        case _:
            return []


def is_out_of_sight(answer: AgentAnswer, pool: PoolVm | None) -> bool:
    """Tell whether an agent is silent only because this machine is outside its network.

    The app says `ready` of a VM only as long as it reaches the agent itself.
    """
    return answer is AgentAnswer.SILENT and pool is not None and pool.phase == "ready"


def judge_pool(pool: Mapping[str, PoolVm]) -> list[Finding]:
    """Complain about each VM that the pool has given up."""
    return [
        Finding(
            code="vm.broken",
            subject=vm.name,
            message=f"The pool has given up on {vm.name}: {vm.reason or 'no reason given'}.",
            fix=f"Fix that, then have it tried again: POST /api/pool/vms/{vm.name}/reset",
        )
        for vm in pool.values()
        if vm.phase == "broken"
    ]


def judge_wake(pool: Mapping[str, PoolVm], limit_s: float) -> list[Finding]:
    """Complain if no VM became ready; one that is broken is for `judge_pool` to name."""
    phases = {vm.phase for vm in pool.values()}
    if phases & {"ready", "broken"}:
        return []
    if "no_capacity" in phases:
        return [
            Finding(
                code="wake.no_capacity",
                subject=", ".join(pool),
                message="Azure has no room for any of the VMs at the moment.",
                fix="Jobs wait and are tried again by themselves. If it lasts: list a further VM "
                "in another zone or region, docs/operations.md, New region.",
            )
        ]
    return [
        Finding(
            code="wake.timed_out",
            subject=", ".join(pool),
            message=f"No VM became ready within {limit_s:g} s: "
            + ", ".join(f"{vm.name} is {vm.phase}" for vm in pool.values())
            + ".",
            fix=f"See how far the boot came, {_LOGS}; the workflow: GET /api/pool, reason.",
        )
    ]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))
