"""The histories that the SDK's own tests fabricate, played on our engine.

They come with the wheel of azure-functions-durable as a package called ``tests``, so they run in a
process of their own, with `agreement` as a plugin.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import azure.durable_functions
import pytest

ROOT = Path(__file__).parents[2]
WHEEL = Path(azure.durable_functions.__file__).parents[2]
LIMIT_S = 300

MODULES = {
    "test_retries.py": 6,
    "test_sub_orchestrator_with_retry.py": 3,
    "test_sub_orchestrator.py": 2,
    "test_fan_out_fan_in.py": 5,
    "test_task_any.py": 4,
    "test_external_event.py": 4,
    "test_create_timer.py": 3,
    "test_entity.py": 12,
    "test_continue_as_new.py": 2,
    "test_sequential_orchestrator.py": 20,
    "test_sequential_orchestrator_custom_status.py": 4,
    "test_sequential_orchestrator_with_retry.py": 14,
    "test_call_http.py": 21,
    "test_serialization.py": 1,
    "test_expected_type.py": 5,
}
"""How many histories and batches each fabricates with azure-functions-durable 1.7.0."""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What the SDK's tests said, on our engine."""
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "pytest"),
            *("-c", folder / "pytest.ini", "--rootdir", WHEEL),
            *("--import-mode=importlib", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
            *("-p", "tests.sdk_fixtures.agreement", "-rfE", "-q"),
            *(WHEEL / "tests" / "orchestrator" / module for module in MODULES),
            WHEEL / "tests" / "tasks",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.stdout + done.stderr


class TestFixturesOfTheSdk:
    def test_all_agree_with_what_the_engine_writes(self, report):
        failed = re.findall(r"^(?:FAILED|ERROR) \S+::.*", report, re.MULTILINE)

        assert failed == [], report[-6000:]
        assert re.search(r"^\d+ passed", report, re.MULTILINE), report[-6000:]

    @pytest.mark.parametrize("module", MODULES)
    def test_are_compared(self, report, module):
        assert f"compared {MODULES[module]} of {module}\n" in report
