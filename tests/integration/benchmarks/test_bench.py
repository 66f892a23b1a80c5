"""``make bench`` in its smallest size: it works. Its figures are judged by `make bench` alone."""

import json
import subprocess
import sys

import pytest

from benchmarks.engine.process import FULL, NORMAL, PEER
from benchmarks.engine.workloads import CHAIN, FAN_OUT
from benchmarks.wake.cloud import BUSY_VMS, SLOTS_PER_VM
from localcloud.blueprint import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.nightly]

LIMIT_S = 240


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(path)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(path.read_text("utf-8"))


class TestBench:
    @pytest.mark.parametrize("workload", [CHAIN, FAN_OUT])
    def test_runs_every_side(self, report, workload):
        sides = report["engine"][workload]["sides"]

        assert set(sides) == {NORMAL, FULL, PEER}
        for side in sides.values():
            assert side["instances_per_s"]["median"] > 0
            assert len(side["rounds"]) == 1

    def test_times_each_warm_job_from_both_ends(self, report):
        jobs = report["warm_job"]["jobs"]

        assert len(jobs) == 2
        for job in jobs:
            assert 0 < job["start_ms"] < 60_000
            assert 0 < job["finish_ms"] < 60_000
            assert 0 < job["history_events"] <= 35

    def test_weighs_host_and_agent(self, report):
        assert report["memory"]["host_mib"] > 20
        assert report["memory"]["agent_mib"] > 20

    def test_tells_a_pool_and_its_writers_what_to_do(self, report):
        lengths, writers = report["pool"]["by_length"], report["pool"]["writers"]

        assert [row["waiting"] for row in lengths] == [0, 50]
        assert [len(row["whole_ms"]) for row in lengths] == [6, 6]
        assert [(row["instances"], len(row["whole_ms"])) for row in writers] == [(1, 6), (3, 6)]

    def test_wakes_vms_while_every_slot_of_ten_others_is_polled(self, report):
        """Each poll holds a place of the host's until it ends: there must be more places."""
        wakes = report["wake"]

        assert wakes["polls"] >= BUSY_VMS * SLOTS_PER_VM
        assert len(wakes["quiet_s"]) == len(wakes["polled_s"]) == 2
        # Wakes that waited for places would have seen every poll end, and some again.
        assert wakes["polls_ended"] < wakes["polls"]

    def test_says_what_it_ran_on(self, report):
        assert report["is_quick"]
        assert report["machine"]["cores"] >= 1
