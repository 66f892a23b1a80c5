"""Load that goes on for longer than a VM may be up: the pool drains it before its hard cap."""

import pytest

from localcloud.rehearsal.run import Plan, rehearse
from orchestrator.domain.pool import cap

CAP_S = 7200.0
PLAN = Plan(
    seed=1,
    faults=frozenset(),
    arrivals=tuple(40.0 * number for number in range(200)),
    max_uptime_s=CAP_S,
)
"""A job comes while the one before it is at work: the VM never has an idle window."""


class TestRehearse:
    def test_has_no_job_cut_off_by_the_cap(self):
        outcome = rehearse(PLAN)

        assert outcome.breaches == []
        assert any("of uptime are over soon" in line for line in outcome.timeline)

    def test_finds_a_job_that_is_cut_off(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(cap, "takes_jobs_until", lambda *_: None)

        outcome = rehearse(PLAN)

        assert {breach.rule for breach in outcome.breaches} == {"cap"}
