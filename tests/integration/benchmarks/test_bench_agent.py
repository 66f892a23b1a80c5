"""``make bench-agent`` in its smallest size: it works. `make bench-agent` alone judges figures.

The peer takes part where its web server is installed, which `make test` does not do.
"""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from benchmarks.surfaces import SAME_SURFACE
from localcloud.blueprint import ROOT

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

LIMIT_S = 600


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "bench-agent.json"
    command = [sys.executable, "-m", "benchmarks.agent", "--quick", "--out", str(path)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(path.read_text("utf-8"))


class TestBenchAgent:
    def test_holds_every_model_of_the_agent_to_the_reference(self, report):
        verdicts = [
            one["verdicts"]
            for sides in report["loads"].values()
            for one in sides["ours"]["rounds"]
        ]

        assert len(verdicts) == 5
        assert all(one["right"] > 0 for one in verdicts)
        assert all(one["wrong"] == one["missing"] == 0 for one in verdicts)
        assert report["correct_of_100_ours"] == 100
        # What is right for one task is then wrong for all others, on either side.
        assert report["reference_least_distance"] > 2 * SAME_SURFACE
        assert report["reference_sides_apart"] < report["reference_least_distance"] / 2

    def test_asks_whether_the_agent_lives_meanwhile(self, report):
        """The asker takes one sample at least, however soon the jobs are done."""
        assert report["live_p99_ms"] > 0

    def test_weighs_the_agent_and_counts_its_files(self, report):
        assert set(report["memory_mib"]) == {"2", "4"}
        assert report["memory_mib"]["2"] > 100
        assert report["files_left_ours"] == 0

    @pytest.mark.skipif(find_spec("fastapi") is None, reason="the peer's web server is absent")
    def test_runs_the_peer_beside_it(self, report):
        sequential = report["loads"]["sequential"]["peer"]

        assert sequential["right"] == sequential["jobs"] == 2
        assert report["throughput_ratio_16_clients"] > 0
        assert report["files_left_peer"] > 0
