"""The image's own scripts install the agent from its lock, and a job runs from what they made."""

import os
import sys

PASSED_ON = ("PATH", "HOME", "PIP_CERT", "PIP_INDEX_URL", "PIP_CACHE_DIR")


class TestInstallAgent:
    def test_makes_a_prefix_from_the_lock_in_which_the_smoke_job_runs(self, run, image, tmp_path):
        # Without the real engine: for CUDA it is 5 GB, and for the Python of Ubuntu 24.04 alone.
        lock = "requirements/agent.txt"
        scripts, home = image / "scripts", tmp_path / "home"
        given = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        # The interpreter that the environment of these tests was made from: it has nothing.
        python = f"{sys.base_prefix}/bin/python3"

        installed = run(
            *("bash", scripts / "install-agent.sh"),
            *(home, image.parent / "gpu_agent", image.parent / lock),
            env={**given, "PYTHON": python},
        )
        assert installed.returncode == 0, installed.stdout
        checked = run("bash", scripts / "check-agent.sh", home, "preview", env=given)

        assert checked.returncode == 0, checked.stdout
        assert "faces, closed" in checked.stdout
