"""`MachineProbes` on azure-mgmt-compute and the agent's own wire."""

import re
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.mgmt.compute import ComputeManagementClient

from coldforge.doctor.errors import ProbeError
from coldforge.doctor.facts import AgentAnswer, FoundVm, WantedVm
from coldforge.doctor.probes.rest import translate
from coldforge.errors import SettingError
from coldforge.settings import clean_secret

_CONNECT_S = 3.0
_ANSWER_S = 10.0
_IMAGE_VERSION = re.compile(r"/versions/([^/]+)$", re.IGNORECASE)


class AzureMachineProbes:
    """Looks at GPU VMs. The contract is `MachineProbes`."""

    def __init__(self, compute: ComputeManagementClient) -> None:
        self._compute = compute

    def read_vm(self, vm: WantedVm) -> FoundVm | None:
        """See `MachineProbes.read_vm`."""
        try:
            found = self._compute.virtual_machines.get(
                vm.resource_group, vm.name, expand="instanceView"
            )
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            raise translate(error, "Azure") from error
        return _read_vm(found)

    def knock(self, vm: WantedVm) -> AgentAnswer | None:
        """See `MachineProbes.knock`."""
        parts = urlsplit(vm.agent_url)
        if not parts.hostname:
            raise ProbeError(f"{vm.name} has an agent_url that is not an address")
        try:
            # A port that refuses is a fault; silence may only mean that we are outside.
            socket.create_connection((parts.hostname, parts.port or 80), _CONNECT_S).close()
        except ConnectionRefusedError:
            return AgentAnswer.CLOSED
        except OSError:
            return AgentAnswer.SILENT
        return None

    def ask_agent(self, vm: WantedVm, token: str) -> AgentAnswer:
        """See `MachineProbes.ask_agent`."""
        try:
            secret = clean_secret("token", token) or ""
        except SettingError as error:
            raise ProbeError(f"the agents' token can't be used: {error.message}") from error
        with requests.Session() as session:
            # Neither a proxy nor a .netrc of this machine has to do with it.
            session.trust_env = False
            try:
                answer = session.get(
                    f"{vm.agent_url}/v1/ready",
                    headers={"Authorization": f"Bearer {secret}"},
                    timeout=(_CONNECT_S, _ANSWER_S),
                    allow_redirects=False,
                )
            except requests.RequestException:
                return AgentAnswer.SILENT
        return _read_answer(answer)


def _read_answer(answer: requests.Response) -> AgentAnswer:
    if answer.status_code in (401, 403):
        return AgentAnswer.TOKEN_REFUSED
    try:
        is_ready = answer.json()["ready"]
    except (ValueError, KeyError, TypeError):
        return AgentAnswer.ODD
    return AgentAnswer.READY if is_ready else AgentAnswer.LOADING


def _read_vm(vm: Any) -> FoundVm:
    power = failure = ""
    for status in (vm.instance_view.statuses if vm.instance_view else None) or ():
        kind, _, rest = (status.code or "").partition("/")
        if kind == "PowerState":
            power = rest
        elif kind == "ProvisioningState" and rest.startswith("failed"):
            failure = rest.partition("/")[2] or "ProvisioningFailed"
    image = vm.storage_profile.image_reference if vm.storage_profile else None
    version = _IMAGE_VERSION.search((image.id if image else None) or "")
    return FoundVm(
        id=vm.id,
        size=str(vm.hardware_profile.vm_size) if vm.hardware_profile else "",
        power=power,
        failure=failure,
        image_version=(version[1] if version else "")
        or str((image.exact_version if image else None) or ""),
        principals=_principals(vm.identity),
    )


def _principals(identity: Any) -> tuple[str, ...]:
    if identity is None:
        return ()
    assigned = (identity.user_assigned_identities or {}).values()
    found = [*(one.principal_id for one in assigned), identity.principal_id]
    return tuple(str(one) for one in found if one)
