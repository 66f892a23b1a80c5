"""GPU VMs through Azure Resource Manager."""

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.mgmt.compute import ComputeManagementClient

from orchestrator.domain.errors import ArmError
from orchestrator.domain.pool.policy import Candidate
from orchestrator.domain.ports import PowerState


class AzureVmPower:
    """`VmPower` on the real SDK.

    Retries are left to the workflows (`retry_total=0`): the SDK would sleep for any Retry-After,
    and Compute's may be 20 minutes. Operations are only posted (`polling=False`) and judged by
    the VM's instanceView, which needs no state and no right beyond the VM's own.
    """

    def __init__(
        self, *, credential: TokenCredential, subscription_id: str, url: str, timeout_s: float
    ) -> None:
        self._client = ComputeManagementClient(
            credential,
            subscription_id,
            base_url=url,
            retry_total=0,
            connection_timeout=timeout_s,
            read_timeout=timeout_s,
        )

    def start(self, vm: Candidate) -> None:
        try:
            self._client.virtual_machines.begin_start(vm.resource_group, vm.name, polling=False)
        except AzureError as error:
            raise _arm_error(error) from error

    def deallocate(self, vm: Candidate) -> None:
        try:
            self._client.virtual_machines.begin_deallocate(
                vm.resource_group, vm.name, polling=False
            )
        except AzureError as error:
            raise _arm_error(error) from error

    def read(self, vm: Candidate) -> PowerState:
        try:
            view = self._client.virtual_machines.instance_view(vm.resource_group, vm.name)
        except AzureError as error:
            raise _arm_error(error) from error
        power, failure_code, failure_message = None, None, ""
        for status in view.statuses or []:
            kind, _, rest = (status.code or "").partition("/")
            if kind == "PowerState":
                power = rest
            elif kind == "ProvisioningState" and rest.startswith("failed"):
                failure_code = rest.partition("/")[2] or "ProvisioningFailed"
                failure_message = status.message or ""
        return PowerState(power, failure_code, failure_message)


def _arm_error(error: AzureError) -> ArmError:
    """Judge by ``error.code`` alone: a failed operation arrives with HTTP status 200."""
    if not isinstance(error, HttpResponseError):
        return ArmError("Unreachable", f"no answer from Azure ({type(error).__name__})")
    code = error.error.code if error.error is not None else None
    message = error.error.message if error.error is not None else None
    header = error.response.headers.get("Retry-After") if error.response is not None else None
    if error.status_code == 429:
        code = "TooManyRequests"
    return ArmError(
        code or f"http_{error.status_code}",
        message or error.reason or "",
        retry_after_s=float(header) if header and header.isdecimal() else None,
    )
