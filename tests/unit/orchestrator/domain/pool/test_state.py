"""The stored state across versions of the app."""

import pytest

from orchestrator.domain.pool import PoolState, Release, VmPhase
from orchestrator.domain.pool.state import VERSION
from tests.unit.orchestrator.domain.pool.bench import Bench

LATER_FIELDS = ("settled", "prewarm_vms", "prewarm_until")
"""Of the state, added since the first version."""
LATER_VM_FIELDS = ("home", "parts", "shares", "gap_s", "cold_s", "counted_to")
FIRST_SLOT_LENGTH = 9


def as_first_written(stored: dict) -> dict:
    """Give a stored state as the first app with this version would have written it."""
    early = {name: value for name, value in stored.items() if name not in LATER_FIELDS}
    early["vms"] = {
        name: {
            **{field: value for field, value in vm.items() if field not in LATER_VM_FIELDS},
            "slots": [slot[:FIRST_SLOT_LENGTH] for slot in vm["slots"]],
        }
        for name, vm in stored["vms"].items()
    }
    early["accounts"] = {
        name: {field: value for field, value in account.items() if field != "months"}
        for name, account in stored["accounts"].items()
    }
    return early


class TestFromJson:
    def test_goes_on_from_what_an_older_app_has_written(self):
        pool = Bench()
        pool.run("a")
        pool.state = PoolState.from_json(as_first_written(pool.state.to_json()))

        done = pool.tell(Release(job_id="a", fence=1))
        pool.idle_out()

        assert done["answer"] == "done"
        assert pool.phase() == VmPhase.DRAINING

    def test_leaves_out_what_a_newer_app_has_added(self):
        """So that a deployment can be taken back."""
        pool = Bench()
        pool.run("a")
        stored = pool.state.to_json()
        newer = {**stored, "moods": []}
        newer["vms"] = {name: {**vm, "mood": "good"} for name, vm in stored["vms"].items()}
        newer["accounts"] = {n: {**one, "mood": "good"} for n, one in stored["accounts"].items()}

        assert PoolState.from_json(newer) == pool.state

    def test_refuses_another_version_and_says_what_to_do(self):
        stored = {**PoolState().to_json(), "version": VERSION + 1}

        with pytest.raises(ValueError, match="deploy the newer app again"):
            PoolState.from_json(stored)
