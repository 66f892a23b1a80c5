"""The one door to the pool: conflicts, effects, confirmations."""

import asyncio

import pytest

from orchestrator.domain.errors import AgentUnreachableError, StoreConflictError
from orchestrator.domain.pool import Cancel, Enqueue, Release, VmLost, decide
from orchestrator.services.pool import MAX_CONFLICTS
from tests.unit.orchestrator.parts import JOB, OTHER_JOB, Parts


class TestApply:
    def test_stores_what_was_decided_and_gives_the_reply(self, parts: Parts):
        reply = parts.apply(Enqueue(job_id=JOB, fence=1))

        assert (reply["answer"], reply["position"]) == ("wait", 1)
        assert [ticket.job_id for ticket in parts.state.queue] == [JOB]

    def test_decides_again_when_someone_else_was_first(self, parts: Parts):
        def interfere() -> None:
            parts.store.before_write = lambda: None
            state, version = parts.store.read()
            other = Enqueue(job_id=OTHER_JOB, fence=1)
            parts.store.write(decide(state, other, parts.now, parts.policy).state, version)

        parts.store.before_write = interfere

        parts.apply(Enqueue(job_id=JOB, fence=1))

        assert {ticket.job_id for ticket in parts.state.queue} == {JOB, OTHER_JOB}

    def test_gives_up_when_others_write_for_ever(self, parts: Parts, monkeypatch):
        monkeypatch.setattr("orchestrator.services.pool.LONGEST_PAUSE_S", 0.0)
        tries = []

        def interfere() -> None:
            tries.append(1)
            raise StoreConflictError

        parts.store.before_write = interfere

        with pytest.raises(StoreConflictError):
            parts.apply(Enqueue(job_id=JOB, fence=1))
        assert len(tries) == MAX_CONFLICTS

    def test_lets_a_crowd_in_one_by_one(self, parts: Parts):
        async def crowd() -> None:
            commands = [Enqueue(job_id=f"job-{n}", fence=1) for n in range(12)]
            await asyncio.gather(*(parts.gate.apply(c, parts.durable) for c in commands))

        asyncio.run(crowd())

        assert len(parts.state.queue) == 12
        assert len(parts.durable.started("wake_vm")) == 1

    def test_has_those_of_one_process_take_turns(self, parts: Parts):
        """None of them decides on a state that another is about to replace."""
        tries = []
        parts.store.before_write = lambda: tries.append(1)

        async def crowd() -> None:
            commands = [Enqueue(job_id=f"job-{n}", fence=1) for n in range(12)]
            await asyncio.gather(*(parts.gate.apply(c, parts.durable) for c in commands))

        asyncio.run(crowd())

        assert len(tries) == parts.store.writes

    def test_answers_although_the_confirmation_finds_the_door_jammed(
        self, parts: Parts, monkeypatch
    ):
        monkeypatch.setattr("orchestrator.services.pool.LONGEST_PAUSE_S", 0.0)

        def jam_after_the_first() -> None:
            def conflict() -> None:
                raise StoreConflictError

            parts.store.before_write = conflict

        parts.store.before_write = jam_after_the_first

        reply = parts.apply(Enqueue(job_id=JOB, fence=1))

        assert reply["answer"] == "wait"
        assert "wake:gpu-1" in parts.state.outbox


class TestEffects:
    def test_starts_a_workflow_under_its_fixed_id_and_confirms(self, parts: Parts):
        parts.apply(Enqueue(job_id=JOB, fence=1))

        epoch = parts.vm().epoch
        wake = parts.durable.instances[f"wake-gpu-1-{epoch}"]
        assert wake.name == "wake_vm"
        assert wake.input_ == {
            "kind": "WakeVm",
            "vm": "gpu-1",
            "epoch": epoch,
            "wake_poll_s": 10.0,
            "ready_poll_s": 2.0,
            "unreachable_s": 60.0,
        }
        assert "pool-reconciler-1" in parts.durable.instances
        assert parts.state.outbox == {}

    def test_one_that_lives_already_is_as_good(self, parts: Parts):
        for instance_id in (f"wake-gpu-1-{int(parts.now)}", "pool-reconciler-1"):
            asyncio.run(parts.durable.start_new("any", instance_id, None))

        parts.apply(Enqueue(job_id=JOB, fence=1))

        assert parts.state.outbox == {}

    def test_one_that_fails_stays_and_is_issued_again_by_a_later_command(self, parts: Parts):
        parts.durable.errors["start_new"] = [Exception("storage is away")] * 2

        parts.apply(Enqueue(job_id=JOB, fence=1))
        left = set(parts.state.outbox)
        parts.now += parts.policy.reissue_s
        parts.apply(Enqueue(job_id=OTHER_JOB, fence=1))

        assert left == {"wake:gpu-1", "reconciler"}
        assert parts.state.outbox == {}
        assert len(parts.durable.started("wake_vm")) == 1

    def test_tells_an_offer_by_an_event_to_the_job(self, ready: Parts):
        ready.durable.instances[OTHER_JOB] = ready.durable.instances["pool-reconciler-1"]
        ready.apply(VmLost(vm="gpu-1", epoch=ready.vm().epoch, reason="gone"))
        ready.apply(Enqueue(job_id=OTHER_JOB, fence=7, round=3))
        asyncio.run(ready.vms.deallocate_vm(ready.order(), ready.durable))
        for _ in range(2):
            asyncio.run(ready.vms.check_deallocated(ready.order(), ready.durable))
        ready.apply(Enqueue(job_id=OTHER_JOB, fence=7, round=3))
        asyncio.run(ready.vms.start_vm(ready.order(), ready.durable))
        for _ in range(3):
            asyncio.run(ready.vms.check_wake(ready.order(), ready.durable))

        assert (OTHER_JOB, "slot-7-3", None) in ready.durable.events

    def test_an_offer_that_could_not_be_told_is_no_error(self, ready: Parts):
        ready.apply(Release(job_id=JOB, fence=1))
        reply = ready.apply(Enqueue(job_id="nobody", fence=1))

        assert reply["answer"] == "slot"


class TestStop:
    def test_frees_the_slot_once_the_agent_has_confirmed(self, ready: Parts):
        ready.apply(Cancel(job_id=JOB, fence=1))

        assert ("stop", "gpu-1", JOB, 1) in ready.agents.calls
        assert ready.vm().slots == {}
        assert ready.state.outbox == {}

    def test_keeps_the_slot_while_the_agent_is_silent(self, ready: Parts):
        ready.agents.silent.add("gpu-1")

        ready.apply(Cancel(job_id=JOB, fence=1))
        held = ready.vm().slots[JOB]
        ready.agents.silent.clear()
        ready.now += ready.policy.reissue_s
        ready.apply(Enqueue(job_id=OTHER_JOB, fence=1))

        assert held.releasing
        assert JOB not in ready.vm().slots

    def test_an_agent_that_fails_once_is_asked_again(self, ready: Parts):
        ready.agents.errors["stop"] = [AgentUnreachableError("no answer")]

        ready.apply(Cancel(job_id=JOB, fence=1))
        ready.apply(Cancel(job_id=JOB, fence=1))
        too_early = [call for call in ready.agents.calls if call[0] == "stop"]
        ready.now += ready.policy.reissue_s
        ready.apply(Cancel(job_id=JOB, fence=1))

        assert len(too_early) == 1
        assert ready.vm().slots == {}
