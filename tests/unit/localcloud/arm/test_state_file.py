"""State that outlives the process."""

import json

import pytest

from localcloud.arm import machine
from localcloud.arm.errors import ArmDetail
from localcloud.arm.faults import read_fault
from localcloud.arm.state_file import RegionState, load_state, save_state
from localcloud.arm.vm import Agent, Pace, StartPlan

PACE = Pace()


class TestSaveState:
    def test_is_undone_by_load_state(self, tmp_path):
        path = tmp_path / "state.json"
        plan = StartPlan(failure=ArmDetail("AllocationFailed", "no room"))
        failed, _ = machine.start(
            machine.new_vm("a", now=0.0), PACE, now=1.0, operation_id="op-1", plan=plan
        )
        failed = machine.advance(failed, now=50.0)
        again, _ = machine.start(failed, PACE, now=60.0, operation_id="op-2")
        running = machine.note_agent(machine.advance(again, now=70.0), Agent(pid=3, created_at=9))
        running = machine.note_switch(running, Agent(pid=4, created_at=9))
        fault = read_fault({"name": "throttled", "count": 3}, fault_id=4)
        leaving, _ = machine.deallocate(
            running, Pace(), now=30.0, operation_id="o", failure=ArmDetail("Code", "why")
        )
        vms = {"a": failed, "b": again, "c": running, "d": leaving}
        state = RegionState(tag="tag", vms=vms, faults=(fault,), fault_count=4)

        save_state(path, state)

        assert load_state(path) == state


class TestLoadState:
    def test_reads_a_state_of_before_vms_had_switches(self, tmp_path):
        path = tmp_path / "state.json"
        save_state(path, RegionState(tag="tag", vms={"a": machine.new_vm("a", now=0.0)}))
        body = json.loads(path.read_text())
        del body["vms"]["a"]["switch"]
        path.write_text(json.dumps(body))

        assert load_state(path).vms["a"].switch == Agent()

    def test_finds_none_where_none_was_saved(self, tmp_path):
        assert load_state(tmp_path / "state.json") is None

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"tag": "t", "vms": {"a": {}}}'])
    def test_names_a_file_that_it_can_not_read(self, tmp_path, content):
        path = tmp_path / "state.json"
        path.write_text(content)

        with pytest.raises(ValueError, match=r"state\.json"):
            load_state(path)
