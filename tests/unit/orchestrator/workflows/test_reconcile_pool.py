"""The eternal timer: tick, sleep, begin anew."""

from orchestrator.workflows.reconcile_pool import reconcile_pool
from tests.fakes.workflow import BEGIN, Drive, script

NOW = BEGIN.timestamp()


def drive(reply: dict, **how) -> Drive:
    return Drive(reconcile_pool, {"generation": 4, "kind": "x"}, script(tick_pool=[reply]), **how)


class TestReconcilePool:
    def test_sleeps_until_the_pools_next_deadline_and_begins_anew(self):
        ran = drive({"answer": "sleep", "until": NOW + 60})

        assert ran.calls == [("tick_pool", {"generation": 4})]
        assert ran.waits == [60]
        assert ran.context.began_anew_with == {"generation": 4, "kind": "x"}

    def test_sleeps_by_the_hosts_clock_although_the_apps_was_put_back(self):
        ran = drive({"answer": "sleep", "until": NOW - 3540, "for_s": 60.0})

        assert ran.waits == [60]

    def test_is_woken_early_by_a_look(self):
        ran = drive({"answer": "sleep", "until": NOW + 900}, happens=lambda name: name == "look")

        assert ran.waits == []
        assert [timer.is_cancelled for timer in ran.context.timers] == [True]
        assert ran.context.began_anew_with is not None

    def test_does_not_sleep_when_the_deadline_has_passed(self):
        ran = drive({"answer": "sleep", "until": NOW})

        assert ran.context.timers == []
        assert ran.context.began_anew_with is not None

    def test_ends_when_a_newer_generation_has_taken_over(self):
        ran = drive({"answer": "superseded"})

        assert ran.output == {"answer": "superseded"}
        assert ran.context.began_anew_with is None
