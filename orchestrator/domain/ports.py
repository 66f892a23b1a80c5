"""What the rest of the program needs from the outside, as Protocols. The contract is here."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from orchestrator.domain.image_source import ImageSource, NormalisedImage, Posted
from orchestrator.domain.job import JobRow
from orchestrator.domain.pool.policy import Candidate
from orchestrator.domain.pool.state import PoolState

Clock = Callable[[], float]
"""Gives the time in epoch seconds."""


class PoolStore(Protocol):
    """Keeps the pool's one state."""

    def read(self) -> tuple[PoolState, str | None]:
        """Read the state and its version; before the first write: an empty state and None."""

    def write(self, state: PoolState, version: str | None) -> str:
        """Replace the state if it still has this version (None: if there is none yet).

        Returns:
            The new version.

        Raises:
            StoreConflictError: Someone else was first.
        """


class JobTable(Protocol):
    """One row a job, newest first."""

    def insert(self, row: JobRow) -> bool:
        """Add a row; False if there is one already, which is left as it is."""

    def read(self, job_id: str) -> JobRow | None:
        """Read a row."""

    def change(self, job_id: str, change: Callable[[JobRow], JobRow | None]) -> JobRow | None:
        """Replace a row by what `change` makes of it, atomically.

        `change` may be called several times; None from it leaves the row alone.

        Returns:
            The row as it is now, or None if there is no such row.
        """

    def list_page(
        self, *, state: str | None, limit: int, token: str | None
    ) -> tuple[list[JobRow], str | None]:
        """List rows, newest first, and the token of the next page (None at the end).

        Raises:
            InvalidRequestError: The token is none of ours.
        """


class LedgerTable(Protocol):
    """Billed intervals, kept for good."""

    def record(self, interval: dict[str, Any]) -> None:
        """Write an interval (`RecordInterval` as JSON); one that is there already stays."""

    def list_intervals(self, vm: str) -> list[dict[str, Any]]:
        """List a VM's intervals, oldest first, in the shape in which they were recorded."""


class KeyTable(Protocol):
    """Remembers Idempotency-Keys."""

    def find(self, key: str) -> tuple[str, str] | None:
        """Give the job id and the body hash that a key is tied to, None if it is free."""

    def claim(self, key: str, job_id: str, body_hash: str) -> tuple[str, str]:
        """Tie a key to a job, if it is not tied yet.

        Returns:
            The job id and the body hash that the key is tied to, whoever was first.
        """


class FileStore(Protocol):
    """Blobs by path ``container/name``."""

    def write(self, path: str, data: bytes, content_type: str) -> None:
        """Write a file; nothing of it is visible before it is whole."""

    def create(self, path: str, data: bytes, content_type: str) -> bool:
        """Write a file unless there is one, which is left as it is.

        Returns:
            False if there was one. It may be this one: a call whose answer is lost is repeated.
        """

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone stays gone."""

    def exists(self, path: str) -> bool:
        """Tell whether there is such a file."""

    def read(self, path: str) -> bytes | None:
        """Read a file, None if there is none."""

    def chunks(self, path: str) -> Iterator[bytes] | None:
        """Read a file in pieces, None if there is none."""

    def link(self, path: str, *, valid_s: float, name: str) -> str:
        """Make a link that reads this one file for a while without further rights."""


class PowerState(NamedTuple):
    """A VM as ARM sees it.

    Attributes:
        power: ``running``, ``starting``, ``deallocating``, ``deallocated``, ``stopped`` …, or
            None when ARM leaves it out for a moment.
        failure_code: Of the last operation, if that failed.
    """

    power: str | None
    failure_code: str | None = None
    failure_message: str = ""


class VmPower(Protocol):
    """Starts and deallocates VMs.

    All calls return within `arm_timeout_s` and never wait for the operation to end.

    Raises:
        ArmError: Azure refused, or did not answer in time (code ``Unreachable``).
    """

    def start(self, vm: Candidate) -> None:
        """Ask for a start; on a VM that runs this changes nothing."""

    def deallocate(self, vm: Candidate) -> None:
        """Ask for a deallocation; on a VM that is deallocated this changes nothing."""

    def read(self, vm: Candidate) -> PowerState:
        """Read the power state."""


class AgentClient(Protocol):
    """Speaks to the agent of a VM. Bodies are `gpu_agent.wire`'s, as JSON objects.

    Raises:
        AgentError: The agent refused.
        AgentUnreachableError: There was no answer.
    """

    async def submit(
        self, vm: Candidate, job_id: str, fence: int, submission: dict[str, Any]
    ) -> dict[str, Any]:
        """Hand a job over, or join it if the agent has it: `JobView`."""

    async def follow(
        self, vm: Candidate, job_id: str, fence: int, *, after: int, wait_s: float
    ) -> dict[str, Any]:
        """Wait for news of a job: `JobView`."""

    async def stop(self, vm: Candidate, job_id: str, fence: int) -> dict[str, Any]:
        """Cancel a job: `JobView`."""

    async def ready(self, vm: Candidate) -> dict[str, Any]:
        """Ask whether it takes jobs: `Readiness`, also while it is not ready."""

    async def lease(self, vm: Candidate, *, epoch: int, ttl_s: float) -> dict[str, Any]:
        """Renew the lease: `AgentStatus`."""

    async def drain(self, vm: Candidate, *, epoch: int, drain: int) -> dict[str, Any]:
        """Ask it to close its door: `DrainAnswer`."""


class Durable(Protocol):
    """The part of the Durable client that is used (`adapters.durable_client`).

    Raises:
        UnknownJobError: There is no such instance.
        InstanceOverError: It has ended.
    """

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None, client_input: Any
    ) -> str:
        """Start an instance."""

    async def raise_event(self, instance_id: str, event_name: str, event_data: Any) -> None:
        """Send an event."""

    async def get_status(
        self, instance_id: str, *, show_history: bool = False, show_history_output: bool = False
    ) -> Any:
        """Read an instance's status; falsy if there is none."""

    async def terminate(self, instance_id: str, reason: str) -> None:
        """End an instance; one that has ended stays as it is."""

    async def suspend(self, instance_id: str, reason: str) -> None:
        """Hold an instance.

        Raises:
            InstanceStateError: It is held already.
        """

    async def resume(self, instance_id: str, reason: str) -> None:
        """Let a held instance go on.

        Raises:
            InstanceStateError: It is not held.
        """

    async def purge(self, instance_id: str) -> int | None:
        """Delete the history of an instance that is over.

        Returns:
            How many were deleted: 0 if there is none, None if it is not over.
        """

    def create_http_management_payload(self, instance_id: str) -> dict[str, str]:
        """Give the host's own URLs of an instance; they carry a key to every instance."""


class Reading(Protocol):
    """Reads one request, for which a place is held."""

    async def body(self, posted: Posted) -> tuple[list[ImageSource], dict[str, Any]]:
        """Read a body: the images, and the fields beside them.

        Raises:
            ApiError: The body is wrong.
            InputError: An image is where it must not be, or too large.
            BusyError: It can't be read now.
        """

    async def image(self, source: ImageSource) -> NormalisedImage:
        """Fetch an image if need be, check and normalise it.

        Raises:
            InputError: Saying what is wrong with it.
            BusyError: There is no room for it now.
        """


class Intake(Protocol):
    """Reads what strangers send, apart from the app's own process."""

    @property
    def is_failing(self) -> bool:
        """Whether no image can be read."""

    async def probe(self) -> None:
        """If so, try again, and take a few seconds for that at most."""

    def admit(self, posted: Posted) -> AbstractContextManager[Reading]:
        """Hold a place for a request, for the block in which it is read.

        Raises:
            InputError: The body is too large, whatever waits.
            BusyError: Too much waits already.
        """

    def admit_image(self, size_bytes: int) -> AbstractContextManager[Reading]:
        """Hold a place for an image that is stored already, or for one to be fetched (0 bytes).

        Raises:
            BusyError: Too much waits already.
        """
