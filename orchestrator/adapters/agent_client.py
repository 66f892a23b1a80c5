"""The agent's wire over HTTP. Asynchronous, so that forty long-polls cost no thread."""

import json as jsonlib
import logging
from typing import Any

import aiohttp

from gpu_agent.wire import MAX_WAIT_S, AgentStatus, DrainAnswer, JobView, Readiness
from orchestrator.domain.errors import AgentError, AgentUnreachableError
from orchestrator.domain.pool.policy import Candidate

logger = logging.getLogger(__name__)

CALL_S = 10.0
CONNECT_S = 3.0
POLL_SLACK_S = 10.0
MAX_BODY_BYTES = 4 * 1024 * 1024
Shape = type[JobView] | type[Readiness] | type[AgentStatus] | type[DrainAnswer]


class HttpAgentClient:
    """`AgentClient` on aiohttp. One event loop for life, like the Durable client's own session."""

    def __init__(self, *, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def submit(
        self, vm: Candidate, job_id: str, fence: int, submission: dict[str, Any]
    ) -> dict[str, Any]:
        return await self._call(JobView, "PUT", vm, f"/v1/jobs/{job_id}/{fence}", json=submission)

    async def follow(
        self, vm: Candidate, job_id: str, fence: int, *, after: int, wait_s: float
    ) -> dict[str, Any]:
        wait_s = min(wait_s, MAX_WAIT_S)
        return await self._call(
            JobView,
            "GET",
            vm,
            f"/v1/jobs/{job_id}/{fence}?after={after}&wait_s={wait_s:.2f}",
            limit_s=wait_s + POLL_SLACK_S,
        )

    async def stop(self, vm: Candidate, job_id: str, fence: int) -> dict[str, Any]:
        return await self._call(JobView, "DELETE", vm, f"/v1/jobs/{job_id}/{fence}")

    async def ready(self, vm: Candidate) -> dict[str, Any]:
        return await self._call(Readiness, "GET", vm, "/v1/ready", also=503)

    async def lease(self, vm: Candidate, *, epoch: int, ttl_s: float) -> dict[str, Any]:
        lease = {"epoch": epoch, "ttl_s": ttl_s}
        return await self._call(AgentStatus, "PUT", vm, "/v1/lease", json=lease)

    async def drain(self, vm: Candidate, *, epoch: int, drain: int) -> dict[str, Any]:
        request = {"epoch": epoch, "drain": drain}
        return await self._call(DrainAnswer, "POST", vm, "/v1/drain", json=request)

    async def _call(
        self,
        shape: Shape,
        method: str,
        vm: Candidate,
        path: str,
        *,
        json: dict[str, Any] | None = None,
        limit_s: float = CALL_S,
        also: int | None = None,
    ) -> dict[str, Any]:
        """Call, decode, and hold the answer against its shape.

        `also` is a status besides 2xx whose body is the answer, no error.
        """
        timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=CONNECT_S)
        try:
            async with self._open().request(
                method, vm.agent_url + path, json=json, timeout=timeout, allow_redirects=False
            ) as response:
                body = await response.content.read(MAX_BODY_BYTES)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AgentUnreachableError(
                f"no answer from the agent on {vm.name} ({type(error).__name__})"
            ) from error
        is_answer = status < 300 or status == also
        return _decode(vm, status, body, shape if is_answer else None)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # Every slot of every VM may hold a long-poll: no limit of connections of its own.
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=0),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _decode(vm: Candidate, status: int, body: bytes, shape: Shape | None) -> dict[str, Any]:
    try:
        data = jsonlib.loads(body)
    except ValueError as error:
        raise AgentUnreachableError(
            f"the agent on {vm.name} answered {status} without JSON"
        ) from error
    if not isinstance(data, dict):
        raise AgentUnreachableError(f"the agent on {vm.name} answered {status} with no object")
    if shape is not None:
        try:
            shape.from_json(data)
        except ValueError as error:
            raise AgentUnreachableError(f"the agent on {vm.name} answered: {error}") from error
        return data
    raise AgentError(
        str(data.get("code", f"http_{status}")), str(data.get("detail", "")), status=status
    )
