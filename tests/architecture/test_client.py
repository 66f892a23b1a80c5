"""The client says no more and no less than what the server can answer."""

from coldforge.wording import WAITS
from orchestrator.domain.pool.slots import waiting
from orchestrator.domain.pool.state import Vm, VmPhase
from tests.unit.orchestrator.domain.pool.bench import make_policy

POLICY = make_policy("gpu")


class TestWaits:
    def test_are_worded_as_far_as_the_server_names_them(self):
        named = {
            waiting({"gpu": Vm(name="gpu", phase=phase, retry_at=1.0)}, 0.0, POLICY)["waiting_for"]
            for phase in VmPhase
        }

        assert WAITS.keys() == named | {waiting({}, 0.0, POLICY)["waiting_for"]}
