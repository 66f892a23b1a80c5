"""What the alerts look for is what the app writes."""

import logging
import re

from localcloud.blueprint import ROOT
from tests.unit.orchestrator.parts import JOB, Parts, run

ALERTS = ROOT / "infra" / "terraform" / "modules" / "observability" / "alerts.tf"


class TestBilledButIdle:
    def test_reads_the_name_of_the_vm_out_of_the_apps_log(self, caplog):
        """By it the alert leaves aside the VM that works, and tells of the one beside it."""
        text = ALERTS.read_text("utf-8")
        (begin,) = re.findall(r'Message startswith "([^"]+)"', text)
        (pattern,) = re.findall(r'extract\("([^"]+)", 1, Message\)', text)
        parts = Parts("gpu-1", "gpu-2")
        order = {"job_id": JOB, "fence": 1, "vm": "gpu-2", "after": 0, "stage": None}

        with caplog.at_level(logging.INFO):
            run(parts.job_activities.follow_job({**order, "quiet_s": 0.0}))
        lines = [line for line in caplog.messages if line.startswith(begin)]

        assert [re.search(pattern, line)[1] for line in lines] == ["gpu-2"]
