import json
from dataclasses import replace

import pytest
import trimesh

from benchmarks.agent.crowd import Round
from benchmarks.agent.live import Asked
from benchmarks.agent.measure import BARE_PEER, BURST, SIXTEEN, Measured, Remains
from benchmarks.agent.meshes import Verdict, judge, least_distance
from benchmarks.agent.report import draw_servers, list_agent_goals, report_servers
from benchmarks.agent.sides import Made
from benchmarks.agent.tasks import OURS, PEER, list_tasks
from benchmarks.goals import NOT_MEASURED
from benchmarks.report import draw_goals, write_report

TASK = list_tasks(32)[0]


def a_round(*, right=10, wrong=0, missing=0, seconds=1.0, live_ms=()):
    return Round(
        seconds=seconds,
        cpu_s=1.0,
        latencies_s=[0.1] * (right + wrong),
        verdicts={"right": right, "wrong": wrong, "missing": missing},
        refusals=0,
        problems=[],
        live=[Asked(late_s=0.001, answered_s=ms / 1000) for ms in live_ms],
    )


def measured(**changes):
    given = {
        "least_distance": 5e-4,
        "sides_apart": 5e-5,
        "rounds": {
            (SIXTEEN, OURS): [a_round(seconds=s, live_ms=[1.0, 2.0]) for s in (1, 2, 4)],
            (SIXTEEN, PEER): [a_round(seconds=4, live_ms=[500.0])],
            (SIXTEEN, BARE_PEER): [a_round(seconds=3)],
            (BURST, OURS): [a_round(right=100, live_ms=[40.0])],
            (BURST, PEER): [a_round(right=20, wrong=3, missing=77, live_ms=[900.0])],
        },
        "memory_mib": {100: 1000.0, 500: 1010.0},
        "remains": {OURS: Remains(130, 7, 7), PEER: Remains(120, 3, 243)},
    }
    return Measured(**{**given, **changes})


def unasked():
    """Rounds in which nobody asked for the cheapest answer in time."""
    silent = measured()
    silent.rounds = {
        key: [replace(one, live=[]) for one in rounds] for key, rounds in silent.rounds.items()
    }
    return silent


def cells(table):
    return [cell for column in table.columns for cell in column.cells]


class TestReportServers:
    def test_sets_the_medians_of_right_models_per_second_against_each_other(self):
        report = report_servers(measured())

        assert report["throughput_ratio_16_clients"] == pytest.approx(5 / 2.5)
        sixteen = report["loads"][SIXTEEN]
        assert sixteen["ratio_to_peer_bare"] == pytest.approx(5 / (10 / 3))

    def test_counts_a_wrong_model_as_little_as_a_missing_one(self):
        report = report_servers(measured())

        assert report["correct_of_100_ours"] == 100
        assert report["correct_of_100_peer"] == 20

    def test_takes_the_slowest_answers_of_both_loads(self):
        report = report_servers(measured())

        assert report["live_p99_ms"] == pytest.approx(40.0)
        assert report["peer_live_p99_ms"] == pytest.approx(900.0)

    def test_has_no_figure_of_answers_that_nobody_asked_for(self, tmp_path):
        """A short round is over before the asker has started."""
        report = report_servers(unasked())

        assert report["live_p99_ms"] is report["live_late_p99_ms"] is None
        assert report["peer_live_p99_ms"] is None
        write_report(report, tmp_path / "report.json")
        assert json.loads((tmp_path / "report.json").read_text())["live_p99_ms"] is None
        assert cells(draw_servers(report)[1]).count(NOT_MEASURED) == 3

    def test_has_no_ratio_to_a_peer_without_a_right_model(self, tmp_path):
        lost = measured()
        lost.rounds[SIXTEEN, PEER] = [a_round(right=0, missing=10)]

        report = report_servers(lost)

        assert report["throughput_ratio_16_clients"] is None
        write_report(report, tmp_path / "report.json")

    def test_has_no_growth_of_an_agent_that_has_ended(self):
        report = report_servers(measured(memory_mib={100: 0.0, 500: 0.0}))

        assert report["memory_growth"] is None

    def test_leaves_the_peer_out_where_it_did_not_take_part(self):
        alone = measured(remains={OURS: Remains(110, 7, 7)})
        alone.rounds = {key: of for key, of in alone.rounds.items() if key[1] == OURS}

        report = report_servers(alone)

        assert "throughput_ratio_16_clients" not in report
        assert report["files_left_ours"] == 0


class TestListAgentGoals:
    def test_is_met_by_a_good_run(self):
        assert all(goal.is_met for goal in list_agent_goals(report_servers(measured())))

    @pytest.mark.parametrize(
        ("change", "missed"),
        [
            ({"memory_mib": {100: 1000.0, 500: 1100.0}}, "memory_growth"),
            ({"remains": {OURS: Remains(1, 7, 8), PEER: Remains(1, 1, 1)}}, "files_left_ours"),
        ],
    )
    def test_is_missed_by(self, change, missed):
        goals = list_agent_goals(report_servers(measured(**change)))

        assert [goal.name for goal in goals if not goal.is_met] == [missed]

    def test_is_missed_by_what_was_not_measured(self):
        goals = list_agent_goals(report_servers(unasked()))

        assert [goal.name for goal in goals if not goal.is_met] == ["live_p99_ms"]
        assert NOT_MEASURED in cells(draw_goals(goals))


class TestJudge:
    @pytest.mark.parametrize(
        ("changed", "verdict"),
        [
            (lambda mesh: mesh, Verdict.RIGHT),
            (lambda mesh: mesh.subdivide(), Verdict.RIGHT),
            (lambda mesh: mesh.apply_scale(1.001), Verdict.WRONG),
        ],
        ids=["same", "more_vertices", "larger"],
    )
    def test_compares_surfaces_and_not_rows(self, changed, verdict):
        glb = changed(trimesh.creation.box()).export(file_type="glb")

        assert judge(Made(TASK, 1.0, glb), {TASK.name: trimesh.creation.box()}) is verdict

    def test_calls_a_model_that_never_came_missing(self):
        assert judge(Made(TASK, 1.0, b"", problem="lost"), {}) is Verdict.MISSING


class TestLeastDistance:
    def test_is_that_of_the_pair_that_is_most_alike(self):
        sheets = [
            trimesh.Trimesh([[0, 0, z], [1, 0, z], [0, 1, z]], [[0, 1, 2]])
            for z in (0.0, 1.0, 1.25)
        ]

        assert least_distance(sheets) == 0.25
