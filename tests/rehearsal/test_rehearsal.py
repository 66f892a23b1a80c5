"""The rehearsal itself: it repeats, it is quick, it finds what is wrong, and CI's seeds hold."""

import json
import logging
from dataclasses import replace

import pytest

from localcloud.rehearsal.__main__ import main, read_faults
from localcloud.rehearsal.customers import read_arrivals
from localcloud.rehearsal.faults import FaultName
from localcloud.rehearsal.report import tell_breaches
from localcloud.rehearsal.run import Plan, rehearse
from orchestrator.domain.pool import consequences, deadlines, observations, vm_lifecycle
from orchestrator.domain.pool.billing.meter import open_interval
from orchestrator.domain.pool.context import DecisionContext
from orchestrator.domain.pool.idle_policy import StopPlan, plan_stop
from orchestrator.services.reconciliation import ReconciliationService

EVERYTHING = frozenset(FaultName)


class TestRehearse:
    def test_ends_every_job_and_every_vm_when_nothing_goes_wrong(self):
        outcome = rehearse(Plan(seed=1, jobs=20, faults=frozenset()))

        assert outcome.breaches == []
        assert set(outcome.states) <= {"succeeded", "cancelled"}
        assert outcome.figures["estimated_intervals"] == 0
        assert outcome.figures["ledger_error_s"] < 1
        assert outcome.figures["idle_times_without_excuse"] == outcome.figures["idle_times"] > 0
        assert outcome.figures["longest_idle_s"] < 310

    def test_repeats_exactly(self):
        plan = Plan(seed=2, jobs=15)

        first, second = rehearse(plan), rehearse(plan)

        assert first.fired == second.fired
        assert first.timeline == second.timeline
        assert first.digest == second.digest

    def test_leaves_the_level_of_the_logs_as_it_was(self):
        root = logging.getLogger()
        level = root.level

        rehearse(Plan(seed=1, jobs=2, faults=frozenset()))

        assert root.level == level != logging.CRITICAL

    def test_another_seed_is_another_day(self):
        plan = Plan(seed=2, jobs=10)

        assert rehearse(plan).digest != rehearse(replace(plan, seed=3)).digest

    def test_finds_a_vm_that_is_never_put_to_sleep(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(consequences, "begin_drain", lambda *_: None)

        outcome = rehearse(Plan(seed=1, jobs=5, faults=frozenset()))

        assert {breach.rule for breach in outcome.breaches} == {"idle"}
        assert "seed 1 broke" in tell_breaches(outcome, lines=20)

    def test_finds_what_a_terminated_job_leaves_behind(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(observations, "_end_orphan", lambda *_: None)
        plan = Plan(seed=9, jobs=20, faults=frozenset({FaultName.TERMINATED}))

        outcome = rehearse(plan)

        assert {breach.rule for breach in outcome.breaches} == {"orphan"}

    def test_finds_a_bill_that_begins_late(self, monkeypatch: pytest.MonkeyPatch):
        def open_late(vm, *, at, estimated):
            open_interval(vm, at=at + 2.0, estimated=estimated)

        monkeypatch.setattr(vm_lifecycle, "open_interval", open_late)

        outcome = rehearse(Plan(seed=1, jobs=5, faults=frozenset()))

        assert {breach.rule for breach in outcome.breaches} == {"ledger"}

    def test_finds_a_vm_that_is_put_to_sleep_late(self, monkeypatch: pytest.MonkeyPatch):
        def plan_late_stop(*arguments):
            plan = plan_stop(*arguments)
            return plan if plan.at is None else StopPlan(plan.at + 90.0, plan.why)

        for module in (consequences, deadlines):
            monkeypatch.setattr(module, "plan_stop", plan_late_stop)

        outcome = rehearse(Plan(seed=1, jobs=5, faults=frozenset()))

        assert {breach.rule for breach in outcome.breaches} == {"idle"}

    def test_finds_a_vm_that_is_on_and_believed_off(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(observations, "wake", lambda *_: None)
        plan = Plan(seed=2, jobs=60, faults=frozenset({FaultName.STARTED_BY_HAND}))

        outcome = rehearse(plan)

        assert {breach.rule for breach in outcome.breaches} == {"unseen"}

    def test_finds_a_slot_that_no_agent_works_on(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(observations, "_watch_slots", lambda *_: None)
        plan = Plan(seed=1, jobs=20, faults=frozenset({FaultName.SUSPENDED}))

        outcome = rehearse(plan)

        assert {breach.rule for breach in outcome.breaches} == {"empty slot"}

    def test_finds_a_job_whose_workflow_is_gone(self, monkeypatch: pytest.MonkeyPatch):
        async def do_nothing(*_):
            return None

        monkeypatch.setattr(ReconciliationService, "_see_to_rows", do_nothing)
        plan = Plan(seed=2, jobs=20, faults=frozenset({FaultName.STORE_LOST}))

        outcome = rehearse(plan)

        assert {breach.rule for breach in outcome.breaches} == {"no workflow"}

    def test_finds_a_cancelled_job_that_comes_back(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(DecisionContext, "mark_over", lambda *_: None)
        plan = Plan(seed=4, jobs=20, faults=frozenset({FaultName.CANCELLED_AT_BIRTH}))

        outcome = rehearse(plan)

        assert {breach.rule for breach in outcome.breaches} == {"cancelled"}

    def test_takes_a_vm_out_of_the_settings_that_works(self):
        plan = Plan(seed=2, jobs=20, faults=frozenset({FaultName.VM_UNLISTED}))

        outcome = rehearse(plan)

        assert outcome.breaches == []
        assert any("gpu-1 draining (no longer configured)" in line for line in outcome.timeline)
        assert any("gpu-1 is listed again" in line for line in outcome.timeline)

    def test_one_fault_more_moves_no_other(self):
        alone = frozenset({FaultName.CLOCK_JUMP})
        both = frozenset({FaultName.CLOCK_JUMP, FaultName.AGENT_CRASH})
        jumps = [
            [
                line
                for line in rehearse(Plan(seed=1, jobs=20, faults=faults)).timeline
                if "jump" in line
            ]
            for faults in (alone, both)
        ]

        assert jumps[0][0] == jumps[1][0]

    def test_takes_arrivals_from_a_trace(self, tmp_path):
        trace = tmp_path / "trace.csv"
        trace.write_text(
            "TIMESTAMP,tokens\n"
            "2023-11-16 18:15:46.6805900,5\n2023-11-16 18:15:50.9951690,7\n"
            "2023-11-16 18:25:51.2224670,9\n"
        )
        arrivals = tuple(read_arrivals(trace, 10))

        outcome = rehearse(Plan(seed=1, faults=frozenset(), arrivals=arrivals))

        assert arrivals == pytest.approx((10.0, 14.315, 614.542), abs=0.01)
        assert read_arrivals(trace, 10, every=2, stretch=0.5) == pytest.approx(
            [10.0, 312.271], abs=0.01
        )
        assert sum(outcome.states.values()) == 3
        assert outcome.breaches == []

    def test_takes_moments_from_a_column_of_seconds(self, tmp_path):
        trace = tmp_path / "trace.csv"
        trace.write_text("tokens,seconds\n5,0.000\n7,0.052\n")

        assert read_arrivals(trace, 10) == pytest.approx([10.0, 10.052])


class TestCommand:
    def test_writes_a_report_of_every_seed(self, tmp_path, capsys):
        report = tmp_path / "rehearsal.json"

        code = main(["--seed", "5", "--jobs", "8", "--faults", "none", "--report", str(report)])

        written = json.loads(report.read_text())
        assert code == 0
        assert written["is_good"]
        assert written["by_seed"][0]["seed"] == 5
        assert "every rule held" in capsys.readouterr().out

    def test_names_the_faults_it_knows(self):
        assert read_faults("all") == EVERYTHING
        assert read_faults("stock_out,late") == {FaultName.STOCK_OUT, FaultName.LATE}
        with pytest.raises(Exception, match="unknown: earthquake; known are stock_out"):
            read_faults("earthquake")
