"""What the control plane asks of the VM as a whole: its lease, its drain, its status."""

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gpu_agent.jobs import agent_state
from gpu_agent.jobs.receipts import sign_receipt
from gpu_agent.jobs.shared_state import SharedState
from gpu_agent.wire import AgentStatus, DrainAnswer, DrainRequest, LeaseRequest, Readiness

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentIdentity:
    """What an agent says of itself.

    Attributes:
        vm_name: Name of the VM.
        token: Signs the receipts of drains.
        engine: ``{name, version, description}``.
        image_version: Version of the VM's disk image, or empty.
        machine_boot: Identity of the machine's boot, or empty.
        max_uptime_s: Hard cap that the switch keeps, in seconds from boot; None if none is set.
        booted_at: When the machine booted, on the boot clock.
        boot_id: Identity of this process.
    """

    vm_name: str
    token: str = field(repr=False)
    engine: Mapping[str, str]
    image_version: str = ""
    machine_boot: str = ""
    max_uptime_s: float | None = None
    booted_at: float = 0.0
    boot_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class VmService:
    """Keeps the lease, closes the door, tells what is held. Safe for many threads.

    Args:
        shared: The agent's state.
        identity: Whose VM.
        slots: Most live jobs.
        readiness: Tells whether jobs are taken.
    """

    def __init__(
        self,
        shared: SharedState,
        identity: AgentIdentity,
        *,
        slots: int,
        readiness: Callable[[], Readiness],
    ) -> None:
        self.identity = identity
        self._shared = shared
        self._slots = slots
        self._readiness = readiness
        self._began_at = shared.clock()
        self._lease_until: float | None = None

    def renew_lease(self, request: LeaseRequest) -> AgentStatus:
        """Let the VM stay up, counted from now.

        Raises:
            ClosedError: Until the machine boots again.
            StaleEpochError: A newer epoch was heard.
        """
        shared = self._shared
        with shared.lock:
            agent_state.check_lease(shared.now, request.epoch)
            shared.hear_epoch(request.epoch)
            self._lease_until = shared.clock() + request.ttl_s
            return self.status()

    def drain(self, request: DrainRequest) -> DrainAnswer:
        """Close the door if nothing is held; the answer to each (epoch, drain) stays the same.

        For good only if the lease is over as well.

        Raises:
            StaleEpochError: A newer epoch was heard.
        """
        shared = self._shared
        with shared.lock:
            if not shared.now.is_closed:
                shared.hear_epoch(request.epoch)
            is_leased = self._lease_until is not None and shared.clock() < self._lease_until
            state, answer = agent_state.drain(shared.now, request, self._sign, is_leased=is_leased)
            if state is not shared.now:
                shared.change(state)
                about = {"epoch": request.epoch, "drain": request.drain, "jobs": answer.jobs}
                logger.info("drained" if answer.drained else "drain refused", extra=about)
            return answer

    def status(self) -> AgentStatus:
        """Give what the agent holds."""
        shared, me = self._shared, self.identity
        with shared.lock:
            now = shared.clock()
            left = None if self._lease_until is None else max(0.0, self._lease_until - now)
            cap_left = None
            if me.max_uptime_s is not None:
                cap_left = round(max(0.0, me.booted_at + me.max_uptime_s - now), 3)
            return AgentStatus(
                vm=me.vm_name,
                boot_id=me.boot_id,
                epoch=shared.now.epoch,
                phase=self._readiness().phase,
                slots=self._slots,
                jobs=[job.brief() for job in shared.now.jobs.values()],
                lease_left_s=None if left is None else round(left, 3),
                uptime_s=round(now - self._began_at, 3),
                engine=dict(me.engine),
                image_version=me.image_version,
                machine_boot=me.machine_boot,
                cap_left_s=cap_left,
                max_uptime_s=me.max_uptime_s,
            )

    def _sign(self, epoch: int, drain: int) -> str:
        me = self.identity
        return sign_receipt(me.token, vm=me.vm_name, boot_id=me.boot_id, epoch=epoch, drain=drain)
