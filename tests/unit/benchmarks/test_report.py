from benchmarks.engine.process import FULL, NORMAL, PEER
from benchmarks.engine.workloads import CHAIN, FAN_OUT, Round
from benchmarks.report import Goal, list_goals, report_engines, report_warm_jobs
from benchmarks.warm_job.measure import WarmJob


def rounds(*rates):
    """Rounds of ten instances that come to these rates."""
    return [Round(10 / rate, 0.5, (0.1,) * 10) for rate in rates]


def samples(*, ours, theirs):
    return {
        (workload, side): rounds(*(theirs if side == PEER else ours))
        for workload in (CHAIN, FAN_OUT)
        for side in (NORMAL, FULL, PEER)
    }


class TestReportEngines:
    def test_sets_the_medians_against_each_other(self):
        report = report_engines(samples(ours=(10, 30, 80), theirs=(40, 20, 60)))

        assert round(report[CHAIN]["ratio_of_medians"][NORMAL], 6) == 0.75

    def test_keeps_every_round(self):
        report = report_engines(samples(ours=(10, 30), theirs=(40, 20)))

        assert [r["seconds"] for r in report[CHAIN]["sides"][PEER]["rounds"]] == [0.25, 0.5]


class TestReportWarmJobs:
    def test_gives_medians_and_the_longest_history(self):
        jobs = [WarmJob(1, start, 3, events) for start, events in ((10, 20), (30, 26), (20, 20))]

        report = report_warm_jobs(jobs)

        assert report["warm_start_p50_ms"] == 20
        assert report["history_events_per_job"] == 26


class TestListGoals:
    def test_judges_what_was_measured_and_nothing_else(self):
        report = {"engine": report_engines(samples(ours=(10,), theirs=(20,)))}

        goals = list_goals(report)

        assert [goal.is_met for goal in goals] == [False, False]

    def test_judges_the_bounds_themselves_as_met(self):
        assert Goal("rate", 0.8, 0.8, is_floor=True).is_met
        assert Goal("ms", 150.0, 150.0, is_floor=False).is_met
        assert not Goal("ms", 150.1, 150.0, is_floor=False).is_met
