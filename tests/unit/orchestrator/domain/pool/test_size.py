"""What 5,000 waiting jobs take: every command reads and writes the whole state."""

import secrets

import orjson
import pytest

from orchestrator.domain.fence import fence_of
from orchestrator.domain.job import MAX_BATCH, new_id
from orchestrator.domain.pool import Candidate, Enqueue, PoolPolicy, PoolState, VmReady, decide

NOW = 1.8e9
BETWEEN_S = 0.0012345678
POLICY = PoolPolicy(
    candidates=tuple(
        Candidate(
            name=f"gpu-{n}",
            resource_group="r",
            size="s",
            region="e",
            zone=None,
            price_per_hour_usd=3.673,
            agent_url=f"http://gpu-{n}",
        )
        for n in range(10)
    )
)


@pytest.fixture(scope="module", name="crowded")
def _crowded() -> PoolState:
    """Ten VMs, all slots taken, 5,000 jobs behind them."""
    state, now = PoolState(), NOW
    for number in range(5_040):
        # A real clock's digits, and the longest ids: those of a batch.
        now = NOW + number * BETWEEN_S
        job_id = f"{new_id(int(now * 1000), secrets.randbits(80))}-{number % MAX_BATCH + 1}"
        command = Enqueue(job_id=job_id, fence=fence_of(int(now * 1000), 1), round=1)
        state = decide(state, command, now, POLICY).state
    for vm in list(state.vms.values()):
        state = decide(state, VmReady(vm=vm.name, epoch=vm.epoch), now, POLICY).state
    return state


class TestState:
    def test_takes_at_most_100_bytes_a_ticket(self, crowded: PoolState):
        assert len(crowded.queue) == 5_000
        assert sum(len(vm.slots) for vm in crowded.vms.values()) == 40

        whole = len(orjson.dumps(crowded.to_json()))
        empty = len(orjson.dumps({**crowded.to_json(), "queue": []}))

        assert (whole - empty) / 5_000 <= 100
        assert empty < 32_000

    def test_comes_back_from_json_as_it_was(self, crowded: PoolState):
        assert PoolState.from_json(orjson.loads(orjson.dumps(crowded.to_json()))) == crowded
