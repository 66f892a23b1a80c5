"""What every `PoolStore` keeps, the fake included."""

import asyncio
import threading

import pytest

from orchestrator.adapters.blob_pool_store import BlobPoolStore
from orchestrator.domain.errors import StoreConflictError
from orchestrator.domain.pool import Enqueue, PoolState, decide
from orchestrator.domain.ports import PoolStore
from orchestrator.services.pool import PoolService
from tests.fakes.pool_store import FakePoolStore
from tests.unit.orchestrator.parts import BEGIN, Parts

WRITERS = 10
COMMANDS_EACH = 3


@pytest.fixture(params=["fake", pytest.param("blob", marks=pytest.mark.azurite)])
def store(request: pytest.FixtureRequest) -> PoolStore:
    """Give an empty store of each kind."""
    if request.param == "fake":
        return FakePoolStore()
    return BlobPoolStore(request.getfixturevalue("clean_storage").blobs)


def state_with(*jobs: str) -> PoolState:
    """Build a state that holds all that a state can hold."""
    state, policy = PoolState(), Parts("gpu-1", "gpu-2").policy
    for job_id in jobs:
        state = decide(state, Enqueue(job_id=job_id, fence=1), BEGIN, policy).state
    return state


class TestPoolStore:
    def test_is_empty_before_the_first_write(self, store: PoolStore):
        assert store.read() == (PoolState(), None)

    def test_gives_back_what_was_written(self, store: PoolStore):
        version = store.write(state_with("a", "b"), None)

        assert store.read() == (state_with("a", "b"), version)

    def test_replaces_under_the_version_that_was_read(self, store: PoolStore):
        store.write(state_with("a"), None)
        _, version = store.read()

        newer = store.write(state_with("a", "b"), version)

        assert newer != version
        assert store.read() == (state_with("a", "b"), newer)

    def test_refuses_an_older_version_and_changes_nothing(self, store: PoolStore):
        first = store.write(state_with("a"), None)
        store.write(state_with("b"), first)

        with pytest.raises(StoreConflictError):
            store.write(state_with("c"), first)
        assert store.read()[0] == state_with("b")

    def test_refuses_a_first_write_when_there_is_one(self, store: PoolStore):
        store.write(state_with("a"), None)

        with pytest.raises(StoreConflictError):
            store.write(state_with("b"), None)
        assert store.read()[0] == state_with("a")

    def test_refuses_a_version_of_nothing(self, store: PoolStore):
        with pytest.raises(StoreConflictError):
            store.write(state_with("a"), '"0x8DBADC0FFEE0DDF"')

    def test_lets_exactly_one_of_a_crowd_be_first(self, store: PoolStore):
        store.write(state_with("a"), None)
        _, version = store.read()
        barrier, won = threading.Barrier(6), []

        def write(job_id: str) -> None:
            barrier.wait(10.0)
            try:
                store.write(state_with(job_id), version)
            except StoreConflictError:
                return
            won.append(job_id)

        threads = [threading.Thread(target=write, args=(f"job-{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [ticket.job_id for ticket in store.read()[0].queue] == won
        assert len(won) == 1

    def test_lets_ten_writers_at_once_all_get_on(self, store: PoolStore):
        """Ten instances of the app, which meet only here: nobody is refused, nothing is lost."""

        async def write(writer: int) -> None:
            gate = open_gate(store, parts)
            for number in range(COMMANDS_EACH):
                await gate.apply(Enqueue(job_id=f"{writer}-{number}", fence=1), parts.durable)

        async def crowd() -> None:
            await asyncio.gather(*(write(writer) for writer in range(WRITERS)))

        parts = Parts("gpu-1", "gpu-2")

        asyncio.run(crowd())

        waiting = {ticket.job_id for ticket in store.read()[0].queue}
        assert waiting == {f"{w}-{n}" for w in range(WRITERS) for n in range(COMMANDS_EACH)}


def open_gate(store: PoolStore, parts: Parts) -> PoolService:
    """Give a door of its own to a state, as each instance of the app has one."""
    return PoolService(
        store=store,
        ledger=parts.ledger,
        agents=parts.agents,
        policy=parts.policy,
        clock=lambda: BEGIN,
        workflow_input={},
    )
