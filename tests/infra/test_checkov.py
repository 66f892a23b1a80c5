"""checkov finds nothing but what the skip list names, and the list skips nothing that matters."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.workbench import CONFIGURATION

CHECKOV = Path(sys.prefix) / "checkov" / "bin" / "checkov"
SKIP_LIST = CONFIGURATION / ".checkov.yaml"
NEVER_SKIPPED = re.compile(
    r"public|private|network|internet|expos|tls|https|transit|encrypt|identit|managed key|shared "
    r"key|access key|password|secret",
    re.IGNORECASE,
)


def read_skip_list():
    """Give the reason for each check that is skipped."""
    lines = SKIP_LIST.read_text("utf-8").split("skip-check:\n")[1].splitlines()
    matches = [re.fullmatch(r"  - (CKV2?_AZURE_\d+) # (\S.*\.)", line) for line in lines]
    assert all(matches), "a line of the skip list has no reason"
    return {match[1]: match[2] for match in matches if match}


@pytest.fixture(name="report", scope="module")
def _report(tmp_path_factory):
    """What checkov says with nothing skipped: of a copy, for it reads the list beside the code."""
    copy = tmp_path_factory.mktemp("checkov") / "terraform"
    shutil.copytree(CONFIGURATION, copy, ignore=shutil.ignore_patterns(SKIP_LIST.name))
    if not CHECKOV.exists():
        pytest.fail("checkov is missing: `make infra` installs it")
    command = [CHECKOV, "--directory", copy, "--framework", "terraform", "--skip-download"]
    done = subprocess.run(
        [*command, "--compact", "--soft-fail", "--output", "json"],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return json.loads(done.stdout)


class TestCheckov:
    def test_finds_nothing_but_what_the_list_skips(self, report):
        failed = {check["check_id"] for check in report["results"]["failed_checks"]}

        assert report["summary"]["parsing_errors"] == 0
        assert report["summary"]["passed"] > 50
        assert failed == read_skip_list().keys()

    def test_skips_nothing_about_access_transport_identity_or_keys(self, report):
        titles = {
            check["check_id"]: check["check_name"]
            for kind in ("failed_checks", "passed_checks")
            for check in report["results"][kind]
        }

        skipped = [titles[name] for name in read_skip_list()]

        assert [title for title in skipped if NEVER_SKIPPED.search(title)] == []
