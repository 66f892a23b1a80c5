from benchmarks.engine.process import FULL, NORMAL, PEER
from benchmarks.engine.workloads import CHAIN, FAN_OUT, Round
from benchmarks.goals import Goal
from benchmarks.pool.measure import Commands, Writers
from benchmarks.pool.report import list_pool_goals, report_pool
from benchmarks.report import list_goals, report_engines, report_warm_jobs
from benchmarks.wake.measure import Wakes
from benchmarks.wake.report import list_wake_goals, report_wakes
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


def commands(*, waiting, whole_ms, decide_ms, ticket_bytes=90.0):
    return Commands(
        waiting=waiting,
        state_bytes=1000,
        ticket_bytes=ticket_bytes,
        whole_ms=whole_ms,
        decide_ms=decide_ms,
        decide_cpu_ms=decide_ms,
    )


class TestReportPool:
    def test_holds_the_longest_queue_to_the_goals(self):
        short = commands(waiting=0, whole_ms=[500.0], decide_ms=[500.0])
        long = commands(waiting=5_000, whole_ms=[40.0] * 99 + [99.0], decide_ms=[49.0])

        goals = list_pool_goals(report_pool([short, long], []))

        assert [goal.is_met for goal in goals] == [True, True, True]

    def test_counts_what_a_crowd_of_writers_gets_in(self):
        crowd = Writers(
            waiting=5_000, writers=2, instances=1, seconds=2.0, whole_ms=[100.0, 300.0]
        )

        (row,) = report_pool([], [crowd])["writers"]

        assert row["commands_per_s"] == 1.0
        assert row["whole"]["p99_ms"] == 300.0


class TestReportWakes:
    def test_sets_wakes_beside_polls_against_those_beside_none(self):
        report = report_wakes(
            Wakes(polls=40, polls_ended=0, quiet_s=[2.0, 1.0], polled_s=[1.5, 4.5])
        )

        assert report["ratio_of_medians"] == 2.0
        assert [goal.is_met for goal in list_wake_goals(report)] == [False]


class TestListGoals:
    def test_judges_what_was_measured_and_nothing_else(self):
        report = {"engine": report_engines(samples(ours=(10,), theirs=(20,)))}

        goals = list_goals(report)

        assert [goal.is_met for goal in goals] == [False, False]

    def test_judges_the_bounds_themselves_as_met(self):
        assert Goal("rate", 0.8, 0.8, is_floor=True).is_met
        assert Goal("ms", 150.0, 150.0, is_floor=False).is_met
        assert not Goal("ms", 150.1, 150.0, is_floor=False).is_met
